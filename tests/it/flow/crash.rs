//! `kill -9` at any moment.

use std::time::Duration;

use super::evidence::{self, Results, assert_empty, assert_within_quota};
use super::stage::{self, Job, Worker};
use crate::support::sandbox::Sandbox;

fn job(index: usize) -> Job {
    let fault = if (index / 2).is_multiple_of(20) { "fail500x1-" } else { "" };
    Job::new("volcengine", "bulk", format!("{fault}crash-{index}"))
}

#[tokio::test]
async fn killed_workers_lose_no_job() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&["--latency", "200ms"]).await;
    let table = stage::volcengine(&sandbox.endpoint(), "");
    let jobs: Vec<Job> = (0..500).map(job).collect();

    let mut worker = Worker::start(&namespace, &table).await;
    // Killed while the router is at it.
    let routing = stage::publish(&namespace, &jobs);
    let (_, _) = tokio::join!(routing, evidence::until_arrived(&sandbox, 1));
    worker.process.kill();
    for requests in [120, 300] {
        let mut worker = Worker::start(&namespace, &table).await;
        evidence::until_arrived(&sandbox, requests).await;
        worker.process.kill();
    }
    let worker = Worker::start(&namespace, &table).await;
    let mut results = evidence::results_of(&namespace, &jobs, Duration::from_secs(90)).await;
    worker.stop().await;
    evidence::take_results(&namespace, &mut results, usize::MAX, Duration::from_millis(300)).await;

    check(&results, &jobs);
    assert_within_quota(&sandbox, "volcengine", 60).await;
    assert_empty(&namespace).await;
    let repeated: usize = results.values().map(|mine| mine.len() - 1).sum();
    println!("three kills: {repeated} results of {} came twice", jobs.len());
}

fn check(results: &Results, jobs: &[Job]) {
    assert_eq!(results.len(), jobs.len());
    for settled in results.values().flatten() {
        assert_eq!(settled.outcome, "dismissed", "{settled:#?}");
    }
}
