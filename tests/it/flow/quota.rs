//! Never more than the quota in any closed second, by the provider's clock, on a bad network and with slow answers.

use std::time::Duration;

use tokio::time::sleep;

use super::evidence::{self, Seen, assert_one_each, assert_within_quota};
use super::stage::{self, Worker, bulk};
use crate::support::proxy::{Proxy, Way};
use crate::support::sandbox::Sandbox;

const STALL: Duration = Duration::from_millis(300);
const STALLS: usize = 12;

/// With the `max_transit` that is usual.
fn usual(endpoint: &str, more: &str) -> String {
    stage::volcengine(endpoint, more).replace(stage::TRANSIT, "")
}

/// Holds one way after the other again and again.
async fn stall_now_and_then(proxies: &[&Proxy]) {
    for n in 0..STALLS {
        sleep(Duration::from_millis(500 + 130 * (n as u64 % 4))).await;
        let ways = [&[Way::ToServer][..], &[Way::ToClient], &[Way::ToServer, Way::ToClient]][n % 3];
        proxies.iter().for_each(|proxy| ways.iter().for_each(|&way| proxy.stall(way)));
        sleep(STALL).await;
        proxies.iter().for_each(|proxy| ways.iter().for_each(|&way| proxy.resume(way)));
    }
}

/// How often nothing arrived for most of a stall, and then several requests at once.
fn bursts_after_a_gap(seen: &[Seen]) -> usize {
    let times: Vec<u64> = seen.iter().map(|seen| seen.t_us).collect();
    let stalled = |window: &&[u64]| window[1] - window[0] > 240_000 && window[4] - window[1] < 15_000;
    times.windows(5).filter(stalled).count()
}

/// The same stalls with `pacing = "send"` show that they would take the rate above the quota.
#[tokio::test]
async fn stalls_on_the_way_never_take_strict_pacing_above_the_quota() {
    let (strict, loose) = (stage::namespace().await, stage::namespace().await);
    let clouds = Sandbox::start(&[]).await;
    let patient_clouds = Sandbox::start(&["--qps-volcengine", "unlimited"]).await;
    let (proxy, other_proxy) = (Proxy::start(clouds.address).await, Proxy::start(patient_clouds.address).await);
    let table = |proxy: &Proxy, more: &str| usual(&format!("http://{}", proxy.address), more);
    let worker = Worker::start(&strict, &table(&proxy, "pacing = 'strict'")).await;
    let other_worker = Worker::start(&loose, &table(&other_proxy, "pacing = 'send'")).await;

    let jobs = bulk("volcengine", "stalled", 700);
    stage::publish(&strict, &jobs).await;
    stage::publish(&loose, &jobs).await;
    evidence::until_arrived(&clouds, 1).await;
    stall_now_and_then(&[&proxy, &other_proxy]).await;
    let within = Duration::from_secs(60);
    let results = evidence::results_of(&strict, &jobs, within).await;
    evidence::results_of(&loose, &jobs, within).await;
    worker.stop().await;
    other_worker.stop().await;

    assert_one_each(&results, &jobs);
    assert_within_quota(&clouds, "volcengine", 60).await;
    let seen = evidence::seen(&clouds).await;
    let stalls = bursts_after_a_gap(&seen);
    let (busiest, loose_busiest) = (
        evidence::busiest_second(&clouds, "volcengine").await,
        evidence::busiest_second(&patient_clouds, "volcengine").await,
    );
    println!(
        "{stalls} stalls seen; strict: {:.1} a second, {busiest} in the busiest; send: {loose_busiest} in the busiest",
        evidence::mean_rate(&seen)
    );
    assert!(stalls >= STALLS / 3, "only {stalls} stalls were seen by the sandbox");
    assert!(loose_busiest > 60, "the stalls were harmless: {loose_busiest} even without strict pacing");
}

/// The most requests on the wire at the same time, if each is answered after so long.
fn open_at_once(seen: &[Seen], answered_after: Duration) -> usize {
    let open = |now: &Seen| {
        let age = |earlier: &Seen| Duration::from_micros(now.t_us.saturating_sub(earlier.t_us));
        seen.iter().filter(|seen| seen.number <= now.number && age(seen) < answered_after).count()
    };
    seen.iter().map(open).max().unwrap_or(0)
}

#[tokio::test]
async fn slow_answers_never_take_the_rate_above_the_quota() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&["--latency", "3s"]).await;
    let worker = Worker::start(&namespace, &usual(&sandbox.endpoint(), "")).await;
    let jobs = bulk("volcengine", "slow", 400);
    stage::publish(&namespace, &jobs).await;
    let results = evidence::results_of(&namespace, &jobs, Duration::from_secs(60)).await;
    worker.stop().await;
    assert_one_each(&results, &jobs);
    assert_within_quota(&sandbox, "volcengine", 60).await;
    let seen = evidence::seen(&sandbox).await;
    let most = open_at_once(&seen, Duration::from_secs(3));
    assert!(most > 100, "only {most} at once: slow answers hold requests back that the quota allows");
    println!(
        "answers after 3 s: {most} at once, {:.1} requests a second of {:.1}",
        evidence::mean_rate(&seen),
        60.0 / 1.501
    );
}
