//! Whose fault it is: a foreign application is the job's, a wrong endpoint is ours.

use std::time::Duration;

use tokio::time::sleep;

use super::{SOON, Scene};
use crate::flow::evidence::{self, waiting_jobs};
use crate::flow::stage::{self, Job, bulk};
use crate::side_by_side::side_by_side;

#[tokio::test]
async fn a_job_for_a_foreign_application_is_rejected_alone() {
    let scene = Scene::start(&[], |endpoint| stage::volcengine(endpoint, "") + &stage::huawei(endpoint, "")).await;
    let mut jobs = [bulk("volcengine", "good", 100), bulk("huawei", "good-h", 100)].concat();
    let foreign = ["volcengine", "huawei"].map(|provider| Job::new(provider, "bulk", format!("foreign-{provider}")));
    for job in &foreign {
        jobs.insert(jobs.len() / 2, job.clone());
    }
    stage::publish(&scene.namespace, &jobs).await;
    let namespace = &scene.namespace;
    let results = evidence::results_of(namespace, &jobs, SOON).await;
    for result in results.values().flatten() {
        let expected = if result.job_id.starts_with("foreign-") { "rejected" } else { "dismissed" };
        assert_eq!((result.outcome.as_str(), result.attempts), (expected, 1), "{result:#?}");
    }
    assert_eq!(scene.said("volcengine", "suspended") + scene.said("huawei", "suspended"), 0);
    assert_eq!(namespace.drain(&namespace.of("dead"), 3, Duration::from_secs(1)).await.len(), 2);
    let Scene { worker, namespace, .. } = scene;
    worker.stop().await;
    evidence::assert_empty(&namespace).await;
}

/// All jobs wait, whatever the provider said to the few that were sent.
async fn settles_nothing(scene: Scene, provider: &'static str) {
    let jobs = bulk(provider, "typo", 120);
    stage::publish(&scene.namespace, &jobs).await;
    scene.suspended(provider, "configuration").await;
    sleep(Duration::from_secs(4)).await;
    let attempts = scene.worker.metrics().await.count("roomsweep_attempts_total", &[provider]);
    assert!(attempts < 60, "{attempts} requests for one typing error");
    assert_eq!(scene.status(provider).await["suspended"], "configuration");
    assert_eq!(scene.said(provider, "suspended: its jobs stay queued"), 1);
    let Scene { worker, namespace, .. } = scene;
    worker.stop().await;
    assert_eq!(namespace.depth(&namespace.of("results")).await, Some(0));
    assert_eq!(namespace.depth(&namespace.of("dead")).await, Some(0));
    assert_eq!(waiting_jobs(&namespace).await, jobs.len());
}

#[test]
fn an_endpoint_or_action_that_is_wrong_settles_nothing() {
    let unknown = async |provider| {
        let tables = |endpoint: &str| stage::volcengine(endpoint, "") + &stage::huawei(endpoint, "");
        let scene = Scene::start(&["--rules", "/dev/null"], tables).await;
        scene.sandbox.set_faults("[[rule]]\ndo = 'noapi'\n").await;
        settles_nothing(scene, provider).await;
    };
    let elsewhere = async |provider| {
        // Somebody else's server: it knows neither path nor method.
        let other = Scene::start(&[], |endpoint| stage::volcengine(endpoint, "")).await;
        let admin = format!("http://{}", other.worker.admin);
        let tables = |_: &str| stage::volcengine(&admin, "") + &stage::huawei(&admin, "");
        settles_nothing(Scene::start(&[], tables).await, provider).await;
    };
    side_by_side!(unknown("volcengine"), unknown("huawei"), elsewhere("volcengine"), elsewhere("huawei"));
}
