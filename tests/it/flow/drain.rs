//! SIGTERM: what is on the wire lands, the rest stays in its queue.

use std::time::Duration;

use rustix::process::Signal;

use super::evidence::{self, Results, assert_empty, assert_one_each, assert_within_quota, by_room, waiting_jobs};
use super::stage::{self, Worker, bulk};
use crate::support::sandbox::Sandbox;
use crate::support::{eventually, http};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_drained_worker_leaves_every_job_settled_or_waiting() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&["--latency", "400ms"]).await;
    let tables = stage::volcengine(&sandbox.endpoint(), "") + &stage::huawei(&sandbox.endpoint(), "");
    let worker = Worker::start(&namespace, &tables).await;
    let jobs = [bulk("volcengine", "drain", 360), bulk("huawei", "drain-h", 100)].concat();
    stage::publish(&namespace, &jobs).await;
    evidence::until_arrived(&sandbox, 150).await;
    let open = sandbox.stats().await["clouds"]["volcengine"]["open"].as_u64();
    assert!(open > Some(0), "some are on the wire when it is asked to end");
    worker.stop().await;

    let settled = namespace.depth(&namespace.of("results")).await.expect("a queue") as usize;
    let seen = evidence::seen(&sandbox).await;
    assert_eq!(seen.len(), settled, "what was sent is settled");
    assert!(seen.iter().all(|seen| seen.answered), "every answer was waited for");
    assert!((150..jobs.len() - 50).contains(&settled), "{settled} settled: ended too early or too late to tell");
    eventually("what is not settled waits", SOON, || async {
        (waiting_jobs(&namespace).await + settled == jobs.len()).then_some(())
    })
    .await;

    let worker = Worker::start(&namespace, &tables).await;
    let results = evidence::results_of(&namespace, &jobs, SOON).await;
    worker.stop().await;
    assert_one_each(&results, &jobs);
    let seen = evidence::seen(&sandbox).await;
    assert!(by_room(&seen).values().all(|requests| requests.len() == 1), "a room was sent twice");
    assert_within_quota(&sandbox, "volcengine", 60).await;
    assert_within_quota(&sandbox, "huawei", 20).await;
    assert_empty(&namespace).await;
}

#[tokio::test]
async fn a_second_sigterm_ends_a_draining_worker_at_once() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&[]).await;
    let mut worker = Worker::start(&namespace, &stage::volcengine(&sandbox.endpoint(), "timeout = '60s'")).await;
    let jobs = bulk("volcengine", "hang-once", 40);
    stage::publish(&namespace, &jobs).await;
    evidence::until_arrived(&sandbox, 10).await;
    worker.process.signal(Signal::TERM);
    eventually("a draining worker is not ready", SOON, || async {
        let reply = http::get(worker.admin, "/readyz").await.ok()?;
        (reply.status == 503).then_some(())
    })
    .await;
    worker.process.signal(Signal::TERM);
    assert_eq!(worker.process.ended(Duration::from_secs(5)).await.code(), Some(143));
    eventually("all jobs wait again", SOON, || async { (waiting_jobs(&namespace).await == jobs.len()).then_some(()) })
        .await;
    let mut results = Results::new();
    evidence::take_results(&namespace, &mut results, 1, Duration::from_millis(200)).await;
    assert!(results.is_empty(), "{results:?}");
}
