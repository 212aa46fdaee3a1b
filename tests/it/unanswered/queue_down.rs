//! One queue without a leader among others.

use std::time::Duration;

use rustix::process::Signal;

use crate::edges_rig::{HUAWEI, VOLCENGINE, base, job};
use crate::support::node::Node;
use crate::support::process::Process;
use crate::support::rabbit::{Namespace, Published};
use crate::support::sandbox::Sandbox;
use crate::support::{eventually, free_address, http};

const SOON: Duration = Duration::from_secs(60);
const STANDS_STILL: &str = "the sender of huawei stands still: a queue gives nothing";

/// A queue's process on the node, as the broker names it.
fn server(queue: &str) -> String {
    format!("{{list_to_atom(\"%2F_{queue}\"), node()}}")
}

#[tokio::test]
async fn a_queue_without_a_leader_stops_its_own_provider_only() {
    let node = Node::start("").await;
    let namespace = Namespace::on(&node.url(), &["volcengine", "huawei"]).await;
    let sandbox = Sandbox::start(&[]).await;
    let admin = free_address();
    let tables = format!("{VOLCENGINE}{HUAWEI}").replace("ENDPOINT", &sandbox.endpoint());
    let configuration = base(&node.url(), namespace.name(), admin) + &tables;
    let mut before = Process::start(&["worker"], &configuration, &[]);
    before.ready(admin).await;
    before.signal(Signal::TERM);
    assert!(before.ended(SOON).await.success());
    let (jobs, lane) = (namespace.of("jobs"), namespace.of("jobs.huawei.bulk"));
    let settles = async |provider: &str, room: &str, worker: &Process| {
        let key = format!("{provider}.bulk");
        let published = namespace.publish(&jobs, &key, &job(provider, room), Default::default()).await;
        assert_eq!(published, Published::Confirmed);
        let results = namespace.drain(&namespace.of("results"), 1, SOON).await;
        assert_eq!(results.len(), 1, "{room}: {}", worker.log());
    };
    let stop = format!("ok = ra:stop_server(quorum_queues, {}).", server(&lane));
    node.control(&["eval", &stop]).await;

    let mut worker = Process::start(&["worker"], &configuration, &[]);
    eventually("not ready", SOON, || async {
        http::get(admin, "/readyz").await.ok().filter(|reply| reply.body.contains(STANDS_STILL))
    })
    .await;
    let connections = || worker.log().matches("connected to the broker").count();
    let first = connections();
    for round in 0..3 {
        settles("volcengine", &format!("room-{round}"), &worker).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert_eq!(connections(), first, "{}", worker.log());
    let start = format!("ra:restart_server(quorum_queues, {}).", server(&lane));
    node.control(&["eval", &start]).await;
    worker.ready(admin).await;
    settles("huawei", "room", &worker).await;
    worker.signal(Signal::TERM);
    assert!(worker.ended(SOON).await.success());
}
