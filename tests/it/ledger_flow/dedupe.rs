//! Jobs that come again.

use std::time::Duration;

use super::{SOON, ids, ledger, publish, tables, until_over};
use crate::flow::evidence;
use crate::flow::stage::{self, Worker};
use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::sandbox::Sandbox;

#[tokio::test]
async fn jobs_that_come_again_are_answered_and_sent_unchecked_only_while_the_database_is_away() {
    let mut cluster = Cluster::start().await;
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&["--latency", "30ms"]).await;
    let ledger = ledger(&cluster.url()).await;
    let worker = Worker::start(&namespace, &tables(&sandbox, &cluster.url(), "dedupe = true")).await;
    let count = async |result: &str| {
        let labels = ["provider=\"volcengine\"", &format!("result=\"{result}\"")];
        worker.metrics().await.count("roomsweep_dedupe_total", &labels)
    };
    let settled = async |jobs: usize| {
        eventually(&format!("{jobs} settled"), SOON, || async {
            let metrics = worker.metrics().await;
            (metrics.count("roomsweep_jobs_settled_total", &["outcome=\"dismissed\""]) == jobs).then_some(())
        })
        .await;
    };

    publish(&namespace, "volcengine", "b", ids("one", 120)).await;
    until_over(&ledger, "b", 120, SOON).await;
    let first = evidence::drain_all(&namespace, "results").await;
    publish(&namespace, "volcengine", "b", ids("one", 120)).await;
    settled(240).await;
    assert_eq!(evidence::arrived(&sandbox).await, 120, "nothing was sent again");
    assert_eq!((count("answered").await, count("checked").await, count("unchecked").await), (120, 120, 0));
    let again = evidence::drain_all(&namespace, "results").await;
    let sorted = |results: &[crate::support::rabbit::Delivered]| {
        let mut results: Vec<String> = results.iter().map(|result| result.json().to_string()).collect();
        results.sort();
        results
    };
    assert_eq!(sorted(&first), sorted(&again), "they were answered with what they had");

    cluster.stop().await;
    let from = stage::wall();
    publish(&namespace, "volcengine", "b", ids("two", 300)).await;
    settled(540).await;
    let took = stage::wall().duration_since(from).as_secs_f64();
    println!("300 took {took:.1} s while it was away");
    assert!(took < 8.0, "{took}: the rate suffers");
    assert!(count("unchecked").await >= 290, "{}", count("unchecked").await);
    cluster.restart().await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    publish(&namespace, "volcengine", "b", ids("one", 30)).await;
    settled(570).await;
    let answered = count("answered").await;
    assert!(answered >= 120 + 20, "{answered}: it is asked again once it is back");
    worker.stop().await;
}
