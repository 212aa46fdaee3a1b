//! The sender is lost, and another one sends.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::rig::{QPS, Rig, assert_silent};

/// Another one sends within 5 s of a kill or a clean stop, and 25 s of a freeze; and what a busy machine adds.
const ENDED: Duration = Duration::from_secs(5 + 2);
pub const SILENT: Duration = Duration::from_secs(25 + 3);
/// At the rate of these tests a sender has far less on its way than this.
const ON_THE_WIRE: usize = 2 * QPS;

#[tokio::test]
async fn after_a_kill_another_sends_within_five_seconds() {
    let mut rig = Rig::new(160).await;
    let mut sender = rig.sender().await;
    let killed = Instant::now();
    sender.worker.process.kill();
    let gap = rig.another_sends(killed, ENDED).await;
    println!("{gap:?} after a kill another one sends");
    rig.judged(ON_THE_WIRE).await;
}

#[tokio::test]
async fn after_a_clean_stop_another_sends_within_five_seconds() {
    let mut rig = Rig::new(160).await;
    let sender = rig.sender().await;
    let asked = Instant::now();
    sender.worker.stop().await;
    let gap = rig.another_sends(asked, ENDED).await;
    println!("{gap:?} after a clean stop another one sends");
    rig.judged(0).await;
}

#[tokio::test]
async fn a_frozen_sender_is_replaced_and_woken_it_sends_nothing() {
    let mut rig = Rig::new(500).await;
    let sender = rig.sender().await;
    // It is frozen with requests whose connections are still being opened; they are open when it wakes.
    sender.cloud.shut();
    sleep(Duration::from_millis(400)).await;
    let frozen = Instant::now();
    sender.worker.process.signal(Signal::STOP);
    sender.cloud.open();
    let gap = rig.another_sends(frozen, SILENT).await;
    println!("{gap:?} after a freeze another one sends");
    sleep(Duration::from_secs(30).saturating_sub(frozen.elapsed())).await;
    let so_far = sender.sent();
    sender.worker.process.signal(Signal::CONT);
    assert_silent(&sender, so_far, Duration::from_secs(6)).await;
    rig.judged(ON_THE_WIRE).await;
}
