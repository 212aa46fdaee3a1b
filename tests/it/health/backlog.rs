//! What waits, as the metrics tell it.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{SOON, Scene};
use crate::flow::evidence::Metrics;
use crate::flow::stage::{self, Worker, bulk};
use crate::support::eventually;
use crate::support::proxy::Proxy;
use crate::support::rabbit::URL;
use crate::support::sandbox::Sandbox;

/// How late the metrics may be, twice over for a busy machine.
const LATE: Duration = Duration::from_secs(10);

fn told(metrics: &Metrics) -> usize {
    metrics.count("roomsweep_backlog_jobs", &["provider=\"volcengine\""])
}

/// Jobs that nobody has settled, the ladder's not counted.
async fn truth(scene: &Scene, submitted: usize, metrics: &Metrics) -> usize {
    let settled = scene.namespace.depth(&scene.namespace.of("results")).await.expect("a queue") as usize;
    submitted - settled - metrics.count("roomsweep_deferred_jobs", &[])
}

/// The metrics tell the truth, give or take `slack` that came or went meanwhile.
async fn true_soon(scene: &Scene, submitted: usize, slack: usize) {
    let began = Instant::now();
    loop {
        sleep(Duration::from_millis(100)).await;
        let metrics = scene.worker.metrics().await;
        let (told, truth) = (told(&metrics), truth(scene, submitted, &metrics).await);
        if told.abs_diff(truth) <= slack {
            println!("a backlog of {told} (really {truth}) is told after {:?}", began.elapsed());
            break;
        }
        assert!(began.elapsed() < LATE, "told {told}, really {truth}");
    }
    let metrics = scene.worker.metrics().await;
    let seconds = metrics.sum("roomsweep_backlog_seconds", &["provider=\"volcengine\""]);
    let rate = metrics.sum("roomsweep_effective_qps", &["provider=\"volcengine\""]);
    assert!((seconds - told(&metrics) as f64 / rate).abs() <= 3.0, "{seconds} s at {rate}");
}

#[tokio::test]
async fn the_backlog_is_true_while_jobs_flow_and_while_they_stand() {
    let scene = Scene::start(&[], |endpoint| stage::volcengine(endpoint, "")).await;
    stage::publish(&scene.namespace, &bulk("volcengine", "flowing", 900)).await;
    for _ in 0..3 {
        // Two seconds of sending lie between two looks.
        true_soon(&scene, 900, 150).await;
        sleep(Duration::from_secs(1)).await;
    }
    scene.sandbox.set_faults("[[rule]]\ndo = 'fail500'\n").await;
    scene.suspended("volcengine", "outage").await;
    stage::publish(&scene.namespace, &bulk("volcengine", "down", 150)).await;
    true_soon(&scene, 1050, 2).await;
    stage::publish(&scene.namespace, &bulk("volcengine", "down-still", 150)).await;
    true_soon(&scene, 1200, 2).await;

    scene.sandbox.set_faults("[[rule]]\ndo = 'noauth'\n").await;
    scene.suspended("volcengine", "credentials").await;
    stage::publish(&scene.namespace, &bulk("volcengine", "refused", 150)).await;
    true_soon(&scene, 1350, 2).await;
    let waiting = &scene.status("volcengine").await["waiting"];
    assert_eq!(waiting["urgent"], 0, "{waiting}");
    assert!(waiting["bulk"].as_u64() > Some(1000), "{waiting}");
}

#[tokio::test]
async fn the_backlog_is_told_by_the_active_sender_alone() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&[]).await;
    sandbox.set_faults("[[rule]]\ndo = 'noauth'\n").await;
    let tables = stage::volcengine(&sandbox.endpoint(), "");
    let proxy = Proxy::start("127.0.0.1:5672".parse().expect("an address")).await;
    let url = URL.replace("127.0.0.1:5672", &proxy.address.to_string());
    let first = Worker::start_by(&url, &namespace, &tables).await;
    let jobs = bulk("volcengine", "handed", 40);
    stage::publish(&namespace, &jobs).await;
    let tells = async |worker: &Worker, jobs: usize| {
        eventually(&format!("a backlog of {jobs}"), SOON, || async {
            (told(&worker.metrics().await) == jobs).then_some(())
        })
        .await;
    };
    tells(&first, jobs.len()).await;
    let second = Worker::start(&namespace, &tables).await;
    assert_eq!(told(&second.metrics().await), 0);
    proxy.stall(crate::support::proxy::Way::ToServer);
    proxy.cut();
    tells(&second, jobs.len()).await;
    tells(&first, 0).await;
    let metrics = first.metrics().await;
    assert!(
        !metrics.has("roomsweep_backlog_jobs{") && !metrics.has("roomsweep_backlog_seconds{"),
        "series that are left"
    );
}
