//! Credentials that are refused: all stops, one probe now and then, and all goes on by itself.

use std::time::Duration;

use jiff::SignedDuration;
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};

use super::{SOON, Scene, assert_all};
use crate::flow::evidence::{self, Results};
use crate::flow::stage::{self, bulk};
use crate::side_by_side::side_by_side;
use crate::support::sandbox::Sandbox;

/// A little less than the least time between two probes.
const PROBE: SignedDuration = SignedDuration::from_secs(29);
/// What a worker needs to take in an answer that has come, and another job's: that one is sent a second later.
const PROOF: SignedDuration = SignedDuration::from_millis(1_250);
const LATENCY: [&str; 2] = ["--latency", "200ms"];

fn by_token(endpoint: &str) -> String {
    format!(
        "[providers.huawei]\nkind = 'huawei'\nauth = 'token'\nendpoint = '{endpoint}'\niam_endpoint = '{endpoint}'\n\
         domain = 'sandbox-domain'\nuser = 'sandbox-user'\npassword = 'sandbox-password'\n\
         project_id = 'sandbox-project'\nqps = 20\n"
    )
}

/// When refused requests went out and were answered, in order, by the worker's own log of them.
fn refused(results: &Results, provider: &str) -> Vec<(Timestamp, Timestamp)> {
    let mine = results.values().flatten().filter(|result| result.provider == provider);
    let attempts = mine.flat_map(|result| &result.attempt_log).filter(|attempt| attempt.verdict == "unauthorized");
    let mut spans: Vec<_> =
        attempts.map(|attempt| (attempt.at, attempt.at + Duration::from_millis(attempt.duration_ms))).collect();
    spans.sort();
    spans
}

/// Nothing went out once the first refusal was known, but probes, each half a minute after what was refused before.
#[track_caller]
fn assert_probed_slowly(refused: &[(Timestamp, Timestamp)], what: &str) -> usize {
    let first = refused.iter().map(|span| span.1).min().expect("refusals") + PROOF;
    let (wire, probes): (Vec<_>, Vec<_>) = refused.iter().copied().partition(|span| span.0 <= first);
    println!("{what}: {} on the wire at the first refusal, then probes: {probes:?}", wire.len());
    let mut last = wire.iter().map(|span| span.1).max().expect("the first");
    for (sent, answered) in &probes {
        assert!(sent.duration_since(last) >= PROBE, "{what}: {refused:?}");
        last = *answered;
    }
    probes.len()
}

/// The cloud knows another key from the start; later it comes to know ours.
async fn wrong_key(provider: &'static str, option: &[&str], tables: fn(&str) -> String, wrong: Duration) {
    let mut scene = Scene::start(&[&LATENCY, option].concat(), tables).await;
    let jobs = bulk(provider, "key", 100);
    stage::publish(&scene.namespace, &jobs).await;
    scene.suspended(provider, "credentials").await;
    let began = Instant::now();
    let status = scene.status(provider).await;
    assert_eq!((&status["health"], &status["suspended"]), (&"suspended".into(), &"credentials".into()), "{status}");
    assert!(status["since"].is_string() && status["next_probe"].is_string(), "{status}");

    sleep_until(began + wrong).await;
    assert_eq!(scene.namespace.depth(&scene.namespace.of("results")).await, Some(0), "a wrong key settles nothing");
    assert_eq!(scene.said(provider, "suspended: its jobs stay queued"), 1);
    let iam = scene.sandbox.stats().await["clouds"]["iam"]["refused_signatures"].as_u64().expect("a number");

    // Between two probes nobody notices that it is away.
    scene.sandbox.process.kill();
    scene.sandbox = Sandbox::start_at(scene.sandbox.address, &LATENCY).await;
    scene.back(provider, Duration::from_secs(40)).await;
    assert_eq!(scene.said(provider, "back after"), 1);
    let results = evidence::results_of(&scene.namespace, &jobs, 2 * SOON).await;
    scene.worker.stop().await;
    evidence::assert_one_each(&results, &jobs);
    assert_all(&results, "dismissed");
    for result in results.values().flatten() {
        assert!(result.attempt_log.iter().all(|attempt| attempt.verdict != "transient"), "{result:#?}");
    }
    evidence::assert_empty(&scene.namespace).await;

    let expected = (wrong.as_secs() / 30) as usize;
    if option[0] == "--iam-user" {
        // Nothing but the password was refused: one fetch for all that waited, and one a probe.
        println!("{option:?}: {iam} fetches refused");
        assert!((1 + expected..=2 + expected).contains(&(iam as usize)), "{iam} fetches");
    } else {
        assert_eq!(assert_probed_slowly(&refused(&results, provider), provider), expected);
    }
}

#[test]
fn a_wrong_key_fails_no_job_and_is_tried_once_in_thirty_seconds() {
    // Past the first probe, before the second.
    let wrong = Duration::from_secs(35);
    side_by_side!(
        wrong_key("volcengine", &["--keys-volcengine", "sandbox-ak:other"], |at| stage::volcengine(at, ""), wrong),
        wrong_key("huawei", &["--keys-huawei", "sandbox-ak:other"], |at| stage::huawei(at, ""), wrong),
        wrong_key("huawei", &["--iam-user", "sandbox-domain:sandbox-user:other"], by_token, wrong),
        refused_under_load(),
    );
}

/// At full rate, by the words that the clouds have for it.
async fn refused_under_load() {
    let tables = |endpoint: &str| stage::volcengine(endpoint, "") + &stage::huawei(endpoint, "");
    let scene = Scene::start(&LATENCY, tables).await;
    let jobs = [bulk("volcengine", "load", 400), bulk("huawei", "load-h", 150)].concat();
    stage::publish(&scene.namespace, &jobs).await;
    evidence::until_arrived(&scene.sandbox, 120).await;
    scene.sandbox.set_faults("[[rule]]\ndo = 'noauth'\n").await;
    for provider in ["volcengine", "huawei"] {
        scene.suspended(provider, "credentials").await;
    }
    let settled = scene.namespace.depth(&scene.namespace.of("results")).await;
    assert!(settled < Some(500), "{settled:?}: refused too late to tell");
    scene.sandbox.set_faults("").await;
    for provider in ["volcengine", "huawei"] {
        scene.back(provider, Duration::from_secs(40)).await;
    }
    let results = scene.end(&jobs, 3 * SOON, Vec::new()).await;
    assert_all(&results, "dismissed");
    for provider in ["volcengine", "huawei"] {
        assert_eq!(assert_probed_slowly(&refused(&results, provider), provider), 0);
    }
}
