//! A database that goes, and comes back.

use std::time::Duration;

use lapin::BasicProperties;
use roomsweep::model::ids::JobId;
use tokio::time::{Instant, sleep};

use super::{SOON, ids, ledger, publish, tables, two_workers, until_over};
use crate::flow::{evidence, stage};
use crate::support::cluster::Cluster;
use crate::support::database::Database;
use crate::support::eventually;
use crate::support::sandbox::Sandbox;

#[tokio::test]
async fn the_rate_is_the_same_while_the_database_is_stopped_and_nothing_is_missing_afterwards() {
    let mut cluster = Cluster::start().await;
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&["--latency", "30ms"]).await;
    let workers = two_workers(&namespace, &tables(&sandbox, &cluster.url(), "")).await;
    publish(&namespace, "volcengine", "b", ids("away", 1_400)).await;
    evidence::until_arrived(&sandbox, 240).await;

    cluster.stop().await;
    let from = stage::wall();
    sleep(Duration::from_secs(10)).await;
    let to = stage::wall();
    let waiting = namespace.depth(&namespace.of("ledger")).await.unwrap_or(0);
    cluster.restart().await;
    let ledger = ledger(&cluster.url()).await;
    until_over(&ledger, "b", 1_400, Duration::from_secs(40)).await;
    let seen = evidence::seen(&sandbox).await;
    let (before, during): (Vec<_>, Vec<_>) = seen.iter().filter(|seen| seen.at < to).partition(|seen| seen.at < from);
    let (before, during) = (evidence::mean_rate(before), evidence::mean_rate(during));
    println!("{before:.1} a second before, {during:.1} while it was stopped; {waiting} results waited");
    assert!(during > 0.85 * before, "{before:.1} a second before, {during:.1} while it was stopped");
    assert_eq!(seen.len(), 1_400);
    let jobs: Vec<JobId> = ids("away", 1_400).into_iter().map(|id| JobId::parse(id).unwrap()).collect();
    let known = ledger.settled(&jobs);
    assert_eq!(known.await.unwrap().len(), 1_400, "every result is there");
    for worker in workers {
        let log = worker.process.log();
        let told = log.lines().filter(|line| line.contains("results wait in their queue")).count();
        assert!(told <= 1, "an outage is told once: {log}");
        worker.stop().await;
    }
    assert_eq!(evidence::drain_all(&namespace, "results").await.len(), 1_400);
    evidence::assert_empty(&namespace).await;
}

#[tokio::test]
async fn what_the_ledger_does_not_take_is_among_the_dead_letters_and_the_rest_is_recorded() {
    let (namespace, database) = (stage::namespace().await, Database::new().await);
    let sandbox = Sandbox::start(&[]).await;
    let ledger = ledger(database.url()).await;
    let workers = two_workers(&namespace, &tables(&sandbox, database.url(), "")).await;
    publish(&namespace, "volcengine", "b", ids("good", 60)).await;
    let properties = BasicProperties::default().with_message_id("bad".into());
    namespace.publish("", &namespace.of("ledger"), b"no result", properties).await;
    until_over(&ledger, "b", 60, SOON).await;
    let dead = namespace.drain(&namespace.of("dead"), 1, SOON).await.remove(0);
    let headers = crate::support::rabbit::text_headers(&dead.properties);
    assert_eq!(dead.body, b"no result");
    assert!(headers["x-error"].starts_with("not a result: "), "{headers:?}");
    assert_eq!(headers["x-job-id"], "bad");
    assert!(workers.iter().any(|worker| worker.process.log().contains("a result that the ledger does not take")));
}

#[tokio::test]
async fn a_long_queue_of_results_is_recorded_quickly() {
    const MANY: usize = 5_000;
    let (namespace, database) = (stage::namespace().await, Database::new().await);
    let sandbox = Sandbox::start(&[]).await;
    let ledger = ledger(database.url()).await;
    let tables = tables(&sandbox, database.url(), "");
    stage::Worker::start(&namespace, &tables).await.stop().await;
    let at = stage::wall().to_string();
    for id in ids("many", MANY) {
        let result = serde_json::json!({ "job_id": id, "batch_id": "many", "provider": "volcengine", "app_id": "app-1",
            "room_id": id, "lane": "bulk", "outcome": "dismissed", "request_id": id, "http_status": 200, "error": null,
            "attempts": 1, "run": 1, "attempt_log": [{ "at": at, "verdict": "dismissed", "http_status": 200,
            "request_id": id, "error": null, "duration_ms": 5 }], "attempts_omitted": 0, "received_at": at,
            "settled_at": at, "reason": null, "requested_by": null, "labels": {}, "worker": "w" });
        let body = result.to_string().into_bytes();
        namespace.publish("", &namespace.of("ledger"), &body, BasicProperties::default()).await;
    }
    let worker = stage::Worker::start(&namespace, &tables).await;
    let start = Instant::now();
    until_over(&ledger, "many", MANY as u64, SOON).await;
    let rate = MANY as f64 / start.elapsed().as_secs_f64();
    println!("{rate:.0} results a second");
    eventually("all are acked", SOON, || async {
        (namespace.depth(&namespace.of("ledger")).await == Some(0)).then_some(())
    })
    .await;
    worker.stop().await;
    evidence::assert_empty(&namespace).await;
}
