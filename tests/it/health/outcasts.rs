//! Jobs that are refused for themselves, in words that are meant for all: they end rejected, and hold up nobody.

use std::time::Duration;

use jiff::Timestamp;

use super::{SOON, Scene};
use crate::flow::evidence::{self, Results};
use crate::flow::stage::{self, Job, bulk};
use crate::side_by_side::side_by_side;

/// The words of a cloud for a bad key and a wrong action, and what a firewall says.
const WORDS: [&str; 3] = ["noauth", "noapi", "forbidden"];

fn is_bad(id: &str) -> bool {
    WORDS.iter().any(|word| id.starts_with(word))
}

/// Every so many-th of the jobs is refused, the last one too.
fn with_outcasts(provider: &'static str, jobs: usize, every: usize) -> Vec<Job> {
    let mut jobs = bulk(provider, "good", jobs);
    for (n, job) in jobs.iter_mut().enumerate().filter(|(n, _)| n % every == every - 1) {
        job.id = format!("{}-bad-{n}", WORDS[n / every % WORDS.len()]);
    }
    jobs
}

/// From the first request to the last good one, in seconds.
fn lasted(results: &Results) -> f64 {
    let attempts = results.values().flatten().flat_map(|result| &result.attempt_log);
    let first = attempts.map(|attempt| attempt.at).min().expect("attempts");
    let good = results.values().flatten().filter(|result| !is_bad(&result.job_id));
    let ends: Option<Timestamp> = good.flat_map(|result| &result.attempt_log).map(|attempt| attempt.at).max();
    ends.expect("good jobs").duration_since(first).as_secs_f64()
}

async fn outcasts(provider: &'static str, jobs: Vec<Job>, options: &[&str], qps: f64, least: f64) {
    let scene = Scene::start(options, |endpoint| stage::volcengine(endpoint, "") + &stage::huawei(endpoint, "")).await;
    stage::publish_by(&scene.namespace, &jobs, |_| stage::Door::RoutingKey).await;
    let results = evidence::results_of(&scene.namespace, &jobs, 4 * SOON).await;
    evidence::assert_one_each(&results, &jobs);
    let mut good = 0;
    for result in results.values().flatten() {
        if is_bad(&result.job_id) {
            assert_eq!((result.outcome.as_str(), result.attempts), ("rejected", 3), "{result:#?}");
        } else {
            good += 1;
            assert_eq!((result.outcome.as_str(), result.attempts), ("dismissed", 1), "{result:#?}");
        }
    }
    let share = f64::from(good) / lasted(&results) / qps;
    println!("{provider}: {good} good ones of {} at {share:.2} of the quota", jobs.len());
    assert!(share >= least, "{share:.2} of the quota");
    assert_eq!(scene.said(provider, "suspended: its jobs stay queued"), 0);
    let Scene { worker, namespace, .. } = scene;
    worker.stop().await;
    let bad = jobs.iter().filter(|job| is_bad(&job.id)).count();
    assert_eq!(evidence::drain_all(&namespace, "dead").await.len(), bad);
    evidence::assert_empty(&namespace).await;
}

#[test]
fn a_job_that_is_refused_for_itself_is_rejected_at_the_third_and_holds_up_nobody() {
    let slow: [&str; 2] = ["--latency", "150ms"];
    let together = [bulk("volcengine", "noauth-bad", 50), bulk("volcengine", "good", 500)].concat();
    side_by_side!(
        outcasts("volcengine", with_outcasts("volcengine", 500, 500), &[], 60.0, 0.85),
        outcasts("volcengine", with_outcasts("volcengine", 1_000, 20), &[], 60.0, 0.5),
        outcasts("huawei", with_outcasts("huawei", 300, 20), &slow, 20.0, 0.5),
        outcasts("volcengine", together, &slow, 60.0, 0.5),
    );
}

/// Nobody else is there to show whose fault it is; the first job that comes does, at once.
#[tokio::test]
async fn a_job_alone_that_is_refused_delays_no_other_one() {
    let scene = Scene::start(&[], |endpoint| stage::volcengine(endpoint, "")).await;
    let alone = [Job::new("volcengine", "bulk", "noauth-alone".into())];
    stage::publish(&scene.namespace, &alone).await;
    scene.suspended("volcengine", "credentials").await;
    let others = bulk("volcengine", "good", 60);
    stage::publish(&scene.namespace, &others).await;
    let published = stage::wall();
    let results = evidence::results_of(&scene.namespace, &others, SOON).await;
    let last = results.values().flatten().flat_map(|result| &result.attempt_log).map(|attempt| attempt.at).max();
    let waited = last.expect("attempts").duration_since(published).as_secs_f64();
    assert!(waited < 10.0, "no pause of a suspension: {waited} s");
    let results = evidence::results_of(&scene.namespace, &alone, 2 * SOON).await;
    let refused = &results["noauth-alone"][0];
    assert_eq!(refused.outcome, "rejected", "{refused:#?}");
    assert!(refused.attempts >= 3);
    scene.back("volcengine", Duration::from_secs(1)).await;
    let Scene { worker, .. } = scene;
    worker.stop().await;
}
