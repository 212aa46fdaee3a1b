//! A provider that allows half of its quota for a while.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::{SOON, Scene};
use crate::flow::evidence::{self, Results, Seen};
use crate::flow::stage::{self, bulk};
use crate::side_by_side::side_by_side;
use crate::support::eventually;

/// Until the rate has found its place.
const SETTLING: Duration = Duration::from_secs(6);

/// Throttles to half the quota for `time`, said in the way that `options` ask for; at `least` this part of it is used.
async fn half(provider: &'static str, quota: usize, options: &[&str], time: Duration, least: f64) {
    let scene = Scene::start(options, |endpoint| match provider {
        "huawei" => stage::huawei(endpoint, ""),
        _ => stage::volcengine(endpoint, "").replace("qps = 60", &format!("qps = {quota}")),
    })
    .await;
    let allowed = quota / 2;
    let jobs = bulk(provider, "half", quota * (time.as_secs() as usize + 40));
    stage::publish(&scene.namespace, &jobs).await;
    evidence::until_arrived(&scene.sandbox, 2 * quota as u64).await;
    scene.sandbox.set_faults(&format!("[[rule]]\ncloud = '{provider}'\nqps = {allowed}\n")).await;
    let (began, from) = (Instant::now(), stage::wall());
    sleep(SETTLING).await;
    let settled = stage::wall();
    let status = scene.status(provider).await;
    assert_eq!(status["health"], "throttled", "{status}");
    sleep_until(began + time).await;
    let until = stage::wall();
    scene.sandbox.set_faults("").await;

    let seen = evidence::seen(&scene.sandbox).await;
    let during = |since| -> Vec<&Seen> { seen.iter().filter(|one| (since..until).contains(&one.at)).collect() };
    let refused = |seen: &[&Seen]| seen.iter().filter(|one| one.kind == "throttled").count();
    let (all, steady) = (during(from), during(settled));
    let passed = (steady.len() - refused(&steady)) as f64;
    let rate = passed / until.duration_since(settled).as_secs_f64() / allowed as f64;
    let share = |seen: &[&Seen]| refused(seen) as f64 / seen.len() as f64;
    println!(
        "{provider} {options:?} {time:?}: {:.1} % of what is allowed, {:.1} % refused, {:.1} % with the beginning",
        100.0 * rate,
        100.0 * share(&steady),
        100.0 * share(&all)
    );
    assert!((least..=1.02).contains(&rate), "{provider} {options:?}: {rate}");
    assert!(share(&steady) < 0.05, "{provider} {options:?}: {}", share(&steady));

    let mended = Instant::now();
    eventually("the full rate", Duration::from_secs(32), || async {
        sleep(Duration::from_millis(200)).await;
        let metrics = scene.worker.metrics().await;
        (metrics.count("roomsweep_effective_qps", &[provider]) == quota).then_some(())
    })
    .await;
    println!("{provider} {options:?}: full rate again after {:?}", mended.elapsed());
    let mut results = Results::new();
    evidence::take_results(&scene.namespace, &mut results, jobs.len(), Duration::from_millis(500)).await;
    let throttled = results.values().flatten().filter(|result| {
        assert_eq!(result.outcome, "dismissed", "{result:#?}");
        result.attempt_log.iter().any(|attempt| attempt.verdict == "throttled")
    });
    assert!(throttled.count() > 0);
    assert_eq!(scene.said(provider, "suspended"), 0);
}

#[test]
fn a_minute_at_half_the_quota_is_used_well() {
    let minute = Duration::from_secs(60);
    side_by_side!(half("volcengine", 60, &[], minute, 0.8), half("huawei", 20, &[], minute, 0.8));
}

#[test]
fn every_word_for_throttling_is_understood() {
    // Shorter than a minute, and held back for a second by each Retry-After, a busy machine needs some slack.
    let time = Duration::from_secs(26);
    side_by_side!(
        half("volcengine", 20, &["--throttle-volcengine", "400"], time, 0.75),
        half("volcengine", 20, &["--throttle-volcengine", "inside-200"], time, 0.75),
        half("volcengine", 20, &["--retry-after", "1s", "--latency", "50ms"], time, 0.6),
        half("huawei", 20, &["--retry-after", "1s"], time, 0.6),
    );
}

#[tokio::test]
async fn a_throttle_costs_no_attempt_however_often_it_comes() {
    let scene = Scene::start(&[], |endpoint| stage::volcengine(endpoint, "")).await;
    let jobs = bulk("volcengine", "throttled12-often", 2);
    stage::publish(&scene.namespace, &jobs).await;
    let results = scene.end(&jobs, 2 * SOON, Vec::new()).await;
    for result in results.values().flatten() {
        assert_eq!((result.outcome.as_str(), result.attempts), ("dismissed", 13), "{result:#?}");
    }
}
