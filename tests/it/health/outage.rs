//! A provider that is down: its breaker opens, probes are few, and each takes another job.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Scene, assert_all, by_wall, full_rate_after};
use crate::flow::evidence::{self, Seen, arrived};
use crate::flow::stage::{self, bulk, wall};
use crate::side_by_side::side_by_side;
use crate::support::sandbox::Sandbox;

/// How the provider fails.
#[derive(Debug, Clone, Copy)]
enum Failure {
    /// By this fault of the sandbox's.
    Fault(&'static str),
    /// Nobody listens.
    Gone,
}

/// Takes the provider down for `down` while it is sent to at its full rate of `qps`, then up again.
async fn outage(failure: Failure, down: Duration, qps: usize) {
    let mut scene = Scene::start(&[], |endpoint| {
        stage::volcengine(endpoint, "timeout = '4s'").replace("qps = 60", &format!("qps = {qps}"))
    })
    .await;
    let jobs = bulk("volcengine", "outage", 15 * qps);
    stage::publish(&scene.namespace, &jobs).await;
    evidence::until_arrived(&scene.sandbox, qps as u64).await;
    let mut before = Vec::new();
    let began = Instant::now();
    match failure {
        Failure::Fault(fault) => scene.sandbox.set_faults(&format!("[[rule]]\ndo = '{fault}'\n")).await,
        Failure::Gone => {
            // Stopped, not killed: what it has answered is in its log.
            before = by_wall(evidence::seen(&scene.sandbox).await);
            scene.sandbox.process.signal(Signal::TERM);
            scene.sandbox.process.ended(Duration::from_secs(5)).await;
        }
    }
    scene.suspended("volcengine", "outage").await;
    let opened = wall();
    let status = scene.status("volcengine").await;
    assert_eq!((&status["health"], &status["suspended"]), (&"suspended".into(), &"outage".into()), "{status}");
    assert!(status["since"].is_string(), "{status}");
    sleep_until(began + down).await;
    match failure {
        Failure::Fault(_) => scene.sandbox.set_faults("").await,
        Failure::Gone => scene.sandbox = Sandbox::start_at(scene.sandbox.address, &[]).await,
    }
    let mended = wall();
    scene.back("volcengine", Duration::from_secs(20)).await;
    let full = loop {
        let seen = evidence::seen(&scene.sandbox).await;
        match full_rate_after(&seen, mended, qps * 3 / 4) {
            Some(full) => break full,
            None => assert!(wall().duration_since(mended).as_secs() < 25, "the full rate does not come back"),
        }
        sleep(Duration::from_millis(200)).await;
    };
    let (admin, log) = (scene.worker.metrics().await, scene.worker.process.log());
    assert_eq!(scene.said("volcengine", "suspended: its jobs stay queued"), 1, "{log}");
    assert_eq!(scene.said("volcengine", "back after"), 1, "{log}");
    assert_eq!(admin.count("roomsweep_effective_qps", &["volcengine"]), qps);

    let seen = [before.clone(), by_wall(evidence::seen(&scene.sandbox).await)].concat();
    let probes: Vec<&Seen> = seen.iter().filter(|one| (opened..mended).contains(&one.at)).collect();
    println!("{failure:?} for {down:?}: {} requests while it was down, full rate after {full:?}", probes.len());
    assert!(probes.len() <= 60, "{} requests after the breaker opened", probes.len());
    let rooms: BTreeSet<&str> = probes.iter().map(|probe| probe.room_id.as_str()).collect();
    assert_eq!(rooms.len(), probes.len(), "each probe takes another job: {probes:#?}");
    assert!(full <= Duration::from_secs(20), "{full:?}");

    let results = scene.end_of_outage(&jobs, failure, before).await;
    assert_all(&results, "dismissed");
}

impl Scene {
    /// What a vanished sandbox saw last is not known: only then are there request IDs that no log has.
    async fn end_of_outage(self, jobs: &[stage::Job], failure: Failure, before: Vec<Seen>) -> evidence::Results {
        match failure {
            Failure::Fault(_) => self.end(jobs, Duration::from_secs(120), before).await,
            Failure::Gone => {
                let results = evidence::results_of(&self.namespace, jobs, Duration::from_secs(120)).await;
                self.worker.stop().await;
                evidence::assert_one_each(&results, jobs);
                evidence::assert_empty(&self.namespace).await;
                results
            }
        }
    }
}

#[tokio::test]
async fn a_minute_of_server_errors_exhausts_no_job_and_costs_few_requests() {
    outage(Failure::Fault("fail500"), Duration::from_secs(60), 60).await;
}

#[test]
fn an_outage_of_any_kind_exhausts_no_job() {
    let down = Duration::from_secs(12);
    side_by_side!(
        outage(Failure::Gone, down, 20),
        outage(Failure::Fault("hang"), down, 20),
        outage(Failure::Fault("garbage"), down, 20),
        outage(Failure::Fault("slow100-error200"), down, 20),
    );
}

#[tokio::test]
async fn few_failures_among_successes_open_nothing() {
    let scene = Scene::start(&[], |endpoint| stage::volcengine(endpoint, "")).await;
    scene.sandbox.set_faults("[[rule]]\nchance = 0.5\nseed = 7\ndo = 'fail503x1'\n").await;
    let jobs = bulk("volcengine", "flaky", 200);
    stage::publish(&scene.namespace, &jobs).await;
    evidence::until_arrived(&scene.sandbox, 250).await;
    assert_eq!(scene.said("volcengine", "suspended"), 0);
    assert!(arrived(&scene.sandbox).await >= 250);
    let results = scene.end(&jobs, super::SOON, Vec::new()).await;
    assert_all(&results, "dismissed");
}
