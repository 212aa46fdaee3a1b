//! Several workers on the same queues: one quota, one sender for each provider at a time.

use std::time::Duration;

use super::evidence::{self, assert_empty, assert_one_each, assert_within_quota};
use super::stage::{self, Worker, bulk};
use crate::support::sandbox::Sandbox;

const VOLCENGINE: &str = "provider=\"volcengine\"";

#[tokio::test]
async fn of_two_workers_one_sends_for_a_provider_and_the_other_takes_over() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&["--latency", "100ms"]).await;
    let tables = stage::volcengine(&sandbox.endpoint(), "") + &stage::huawei(&sandbox.endpoint(), "");
    let one = Worker::start(&namespace, &tables).await;
    let other = Worker::start(&namespace, &tables).await;
    let jobs = [bulk("volcengine", "two", 450), bulk("huawei", "two-h", 120)].concat();
    stage::publish(&namespace, &jobs).await;
    evidence::until_arrived(&sandbox, 200).await;

    let sent = |scrape: &evidence::Metrics| scrape.count("roomsweep_attempts_total", &[VOLCENGINE]);
    let (by_one, by_other) = (sent(&one.metrics().await), sent(&other.metrics().await));
    assert!((by_one == 0) != (by_other == 0), "both send: {by_one} and {by_other}");
    let (sender, stand_by) = if by_one > 0 { (one, other) } else { (other, one) };
    sender.stop().await;
    let results = evidence::results_of(&namespace, &jobs, Duration::from_secs(60)).await;
    stand_by.stop().await;

    assert_one_each(&results, &jobs);
    assert_within_quota(&sandbox, "volcengine", 60).await;
    assert_within_quota(&sandbox, "huawei", 20).await;
    assert_empty(&namespace).await;
    let seen = evidence::seen(&sandbox).await;
    for cloud in ["volcengine", "huawei"] {
        let mut senders: Vec<&str> = Vec::new();
        for request in seen.iter().filter(|seen| seen.cloud == cloud) {
            let worker = results[&request.room_id][0].worker.as_str();
            if senders.last() != Some(&worker) {
                senders.push(worker);
            }
        }
        println!("{cloud} was sent to by {senders:?}");
        assert!(senders.len() <= 2, "{cloud}: they took turns: {senders:?}");
        assert!(cloud == "huawei" || senders.len() == 2, "nobody took over: {senders:?}");
    }
}
