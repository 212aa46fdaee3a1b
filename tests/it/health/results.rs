//! A full queue of results: sending stops, what was accepted waits in hand, and goes out when there is room.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{SOON, Scene};
use crate::flow::evidence::{self, Results};
use crate::flow::stage::{self, bulk};

/// Several tries, at growing pauses.
const FULL: Duration = Duration::from_secs(20);

#[tokio::test]
async fn what_was_accepted_while_results_were_full_goes_out_once_and_nothing_is_sent_again() {
    let tables = |endpoint: &str| stage::volcengine(endpoint, "[results]\nmax_bytes = 20000");
    let scene = Scene::start(&[], tables).await;
    let mut jobs = bulk("volcengine", "full", 300);
    jobs[299].provider = "nobody";
    stage::publish(&scene.namespace, &jobs).await;
    scene.suspended("volcengine", "results").await;
    sleep(FULL).await;
    let sent = evidence::seen(&scene.sandbox).await.len();
    sleep(FULL / 4).await;
    assert_eq!(evidence::seen(&scene.sandbox).await.len(), sent, "sending has stopped");
    assert!(sent < 250, "{sent} requests");
    assert_eq!(scene.said("volcengine", "suspended: its jobs stay queued"), 1, "one line says so");
    let told = scene.worker.process.log().lines().filter(|line| line.contains("ERROR")).count();
    assert!(told <= 2, "{told} lines, one of them for the intake");

    let (mut results, end) = (Results::new(), Instant::now() + 3 * SOON);
    while results.len() < jobs.len() {
        assert!(Instant::now() < end, "{} results", results.len());
        evidence::take_results(&scene.namespace, &mut results, jobs.len(), Duration::from_secs(1)).await;
    }
    evidence::assert_one_each(&results, &jobs);
    for result in results.values().flatten() {
        let expected = if result.provider == "nobody" { "invalid" } else { "dismissed" };
        assert_eq!(result.outcome, expected, "{result:#?}");
    }
    assert_eq!(evidence::seen(&scene.sandbox).await.len(), 299, "each was sent once");
    let Scene { worker, namespace, .. } = scene;
    worker.stop().await;
    evidence::drain_all(&namespace, "dead").await;
    evidence::assert_empty(&namespace).await;
}
