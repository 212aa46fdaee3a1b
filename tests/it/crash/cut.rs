//! The sender is cut off from the broker, and still reaches the cloud.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::replicas::SILENT;
use super::rig::{QPS, Replica, Rig, assert_silent, cloud, table};
use crate::flow::stage::Worker;
use crate::support::netns::Netns;
use crate::support::process::Process;
use crate::support::proxy::{Proxy, Way};
use crate::support::rabbit::Namespace;

/// A request is written only within five seconds of a round trip with the broker; a busy machine sees it a little later.
const LAST_REQUEST: Duration = Duration::from_secs(5 + 1);
/// All that it sent since the cut, and what was on the wire before.
const UNKNOWN: usize = 8 * QPS;

#[tokio::test]
async fn a_sender_whose_broker_falls_silent_stops_before_another_sends() {
    let mut rig = Rig::new(400).await;
    let sender = rig.sender().await;
    let cut = Instant::now();
    for way in [Way::ToServer, Way::ToClient] {
        sender.broker.stall(way);
    }
    replaced(&rig, &sender, cut).await;
    for way in [Way::ToServer, Way::ToClient] {
        sender.broker.resume(way);
    }
    assert_silent(&sender, sender.sent(), Duration::from_secs(5)).await;
    rig.judged(UNKNOWN).await;
}

#[tokio::test]
async fn a_sender_whose_packets_to_the_broker_are_lost_stops_before_another_sends() {
    let (namespace, sandbox, netns) = (Namespace::new(&["volcengine"]).await, cloud().await, Netns::new(2));
    let (to_broker, to_cloud) = (netns.wire(0), netns.wire(1));
    let broker = Proxy::start_on(to_broker.host, "127.0.0.1:5672".parse().expect("an address")).await;
    let cloud = Proxy::start_on(to_cloud.host, sandbox.address).await;
    let url = format!("amqp://guest:guest@{}/%2f", broker.address);
    let admin = (to_cloud.guest, 9464).into();
    let configuration = Worker::configuration(&url, &namespace, admin, &table(cloud.address));
    let mut process = Process::start_in(netns.name(), &["worker"], &configuration, &[]);
    process.ready(admin).await;
    // The first to come is the sender; the others reach broker and cloud as everybody does.
    let alone = Replica { worker: Worker { process, admin }, broker, cloud };
    let mut rig = Rig::beside(alone, namespace, sandbox, 400).await;
    let sender = rig.sender().await;
    assert_eq!(sender.worker.admin, admin, "another one sends");

    let cut = Instant::now();
    to_broker.unplug();
    replaced(&rig, &sender, cut).await;
    to_broker.plug();
    assert_silent(&sender, sender.sent(), Duration::from_secs(5)).await;
    rig.judged(UNKNOWN).await;
}

/// The cut sender falls silent in time, and stays so while another one takes its place.
async fn replaced(rig: &Rig, sender: &Replica, cut: Instant) {
    sleep(LAST_REQUEST.saturating_sub(cut.elapsed())).await;
    let so_far = sender.sent();
    let gap = rig.another_sends(cut, SILENT).await;
    println!("{gap:?} after a cut another one sends");
    assert_silent(sender, so_far, Duration::from_secs(5)).await;
}
