//! What a probe is told, and how a worker ends.

use std::time::Duration;

use rustix::process::Signal;

use crate::edges_rig::{Rig, SOON, VOLCENGINE, base, job};
use crate::support::process::Process;
use crate::support::proxy::{Proxy, Way};
use crate::support::rabbit::{Namespace, URL};
use crate::support::{eventually, free_address, http};

async fn says(admin: std::net::SocketAddr, path: &str, status: u16) -> String {
    let what = format!("{path} says {status}");
    eventually(&what, SOON, || async { http::get(admin, path).await.ok().filter(|reply| reply.status == status) })
        .await
        .body
}

#[tokio::test]
async fn a_worker_is_alive_all_along_and_ready_while_the_broker_is_there() {
    let namespace = Namespace::new(&["volcengine"]).await;
    let proxy = Proxy::start("127.0.0.1:5672".parse().unwrap()).await;
    let admin = free_address();
    let url = URL.replace("127.0.0.1:5672", &proxy.address.to_string());
    proxy.stall(Way::ToServer);
    let tables = VOLCENGINE.replace("ENDPOINT", "http://127.0.0.1:1");
    let mut worker = Process::start(&["worker"], &(base(&url, namespace.name(), admin) + &tables), &[]);
    worker.answers(admin, "/healthz").await;
    says(admin, "/readyz", 503).await;

    proxy.resume(Way::ToServer);
    says(admin, "/readyz", 200).await;
    proxy.stall(Way::ToServer);
    proxy.cut();
    let reason = says(admin, "/readyz", 503).await;
    assert!(reason.starts_with("not ready: ") && !reason.contains("guest"), "{reason}");
    says(admin, "/healthz", 200).await;
    let connected = http::get(admin, "/metrics").await.unwrap().body;
    assert!(connected.lines().any(|line| line == "roomsweep_queue_connected 0"));

    proxy.resume(Way::ToServer);
    says(admin, "/readyz", 200).await;
    worker.signal(Signal::TERM);
    assert!(worker.ended(Duration::from_secs(10)).await.success());
}

#[tokio::test]
async fn a_worker_that_never_reached_its_broker_stops_at_once() {
    let admin = free_address();
    let url = format!("amqp://guest:guest@{}/%2f", free_address());
    let tables = VOLCENGINE.replace("ENDPOINT", "http://127.0.0.1:1");
    for signal in [Signal::TERM, Signal::INT] {
        let mut worker = Process::start(&["worker"], &(base(&url, "nothing", admin) + &tables), &[]);
        worker.answers(admin, "/healthz").await;
        worker.signal(signal);
        assert!(worker.ended(Duration::from_secs(5)).await.success());
    }
}

#[tokio::test]
async fn a_draining_worker_is_not_ready_and_finishes_what_is_on_the_wire() {
    let mut rig = Rig::start(VOLCENGINE).await;
    rig.rooms("volcengine", &["slow1500-a"]).await;
    eventually("a request", SOON, || async { (!rig.sandbox.requests().await.is_empty()).then_some(()) }).await;
    rig.worker.signal(Signal::TERM);
    assert_eq!(says(rig.admin, "/readyz", 503).await, "draining\n");
    assert_eq!(http::get(rig.admin, "/healthz").await.unwrap().status, 200);
    // What comes now is for somebody else.
    rig.route("volcengine.urgent", &job("volcengine", "b"), Default::default()).await;
    assert!(rig.worker.ended(Duration::from_secs(10)).await.success());
    let results = rig.results_by_room(1).await;
    assert_eq!(results["slow1500-a"]["outcome"], "dismissed");
    rig.holds("jobs.volcengine.urgent", 1).await;
    rig.holds("jobs.volcengine.bulk", 0).await;
}

#[tokio::test]
async fn the_second_signal_ends_a_drain() {
    let mut rig = Rig::start(VOLCENGINE).await;
    rig.rooms("volcengine", &["hang-a"]).await;
    eventually("a request", SOON, || async { (!rig.sandbox.requests().await.is_empty()).then_some(()) }).await;
    rig.worker.signal(Signal::TERM);
    says(rig.admin, "/readyz", 503).await;
    rig.worker.signal(Signal::TERM);
    assert_eq!(rig.worker.ended(Duration::from_secs(5)).await.code(), Some(143));
    rig.holds("jobs.volcengine.bulk", 1).await;
}

#[tokio::test]
async fn a_clean_stop_neither_loses_nor_doubles_a_job() {
    const MANY: usize = 600;
    let namespace = Namespace::new(&["volcengine"]).await;
    let tables = VOLCENGINE.replace("ENDPOINT", "http://127.0.0.1:1").replace("qps = 500", "qps = 1");
    let start = async || {
        let admin = free_address();
        let mut worker = Process::start(&["worker"], &(base(URL, namespace.name(), admin) + &tables), &[]);
        worker.ready(admin).await;
        worker
    };
    drop(start().await);
    for n in 0..MANY {
        namespace.publish("", &namespace.of("jobs"), &job("volcengine", &n.to_string()), Default::default()).await;
    }
    let bulk = namespace.of("jobs.volcengine.bulk");
    let mut worker = start().await;
    eventually("a routed job", SOON, || async { (namespace.depth(&bulk).await > Some(0)).then_some(()) }).await;
    worker.signal(Signal::TERM);
    assert!(worker.ended(Duration::from_secs(10)).await.success());

    let mut rooms = std::collections::BTreeMap::<String, usize>::new();
    for queue in [bulk, namespace.of("jobs")] {
        loop {
            let jobs = namespace.drain(&queue, MANY, Duration::from_millis(700)).await;
            if jobs.is_empty() {
                break;
            }
            for job in jobs {
                *rooms.entry(job.json()["room_id"].to_string()).or_default() += 1;
            }
        }
    }
    let twice = rooms.values().filter(|many| **many > 1).count();
    assert_eq!((rooms.len(), twice), (MANY, 0));
}
