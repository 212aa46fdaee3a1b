//! SIGTERM at full load.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use super::Scene;
use crate::flow::evidence::{self, by_room, waiting_jobs};
use crate::flow::stage::{self, Worker, bulk};
use crate::support::eventually;

/// As many as are on the wire at 60 a second with answers of three seconds, almost.
const LOAD: u64 = 80;

fn tables(endpoint: &str) -> String {
    let tables = stage::volcengine(endpoint, "") + &stage::huawei(endpoint, "");
    // With answers this slow a longer way would allow for fewer requests at a time.
    tables.replace(stage::TRANSIT, "")
}

#[tokio::test]
async fn a_worker_that_ends_under_full_load_sends_nothing_twice_and_loses_nothing() {
    let mut scene = Scene::start(&["--latency", "3s"], tables).await;
    let jobs = [bulk("volcengine", "full", 500), bulk("huawei", "full-h", 160)].concat();
    stage::publish(&scene.namespace, &jobs).await;
    eventually("a full load", 2 * super::SOON, || async {
        let stats = scene.sandbox.stats().await;
        (stats["clouds"]["volcengine"]["open"].as_u64() >= Some(LOAD)).then_some(())
    })
    .await;
    let asked = Instant::now();
    scene.worker.process.signal(Signal::TERM);
    assert_eq!(scene.worker.process.ended(Duration::from_secs(25)).await.code(), Some(0));
    println!("drained in {:?}", asked.elapsed());
    let seen = evidence::seen(&scene.sandbox).await;
    let settled = scene.namespace.depth(&scene.namespace.of("results")).await.expect("a queue") as usize;
    assert!(settled < jobs.len() - 100, "ended too late to tell");
    assert_eq!(seen.len(), settled, "what was sent is settled, and what was not is not");
    eventually("the others wait", super::SOON, || async {
        (waiting_jobs(&scene.namespace).await + settled == jobs.len()).then_some(())
    })
    .await;

    scene.worker = Worker::start(&scene.namespace, &tables(&scene.sandbox.endpoint())).await;
    let results = scene.end(&jobs, 2 * super::SOON, Vec::new()).await;
    super::assert_all(&results, "dismissed");
    assert!(results.values().flatten().all(|result| result.attempts == 1), "a room was sent twice");
    assert!(by_room(&seen).values().all(|requests| requests.len() == 1));
}
