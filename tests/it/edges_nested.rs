//! Headers nested as deep as a frame allows, written by hand: an AMQP library would overflow its own stack over them.

use crate::edges_rig::{Rig, VOLCENGINE, job};
use crate::support::raw::{RawClient, headers, short};

/// Five bytes each: what fits into a head of 128 KiB.
const DEEP: usize = 26_000;

/// A table whose one entry is a list within a list within a list.
fn nested() -> Vec<u8> {
    let lists = (0..DEEP).rev().map(|inner| u32::try_from(5 * inner + 1).expect("fits"));
    let lists: Vec<u8> = lists.flat_map(|size| [&b"A"[..], &size.to_be_bytes()].concat()).collect();
    headers(&[&short(b"a"), &lists[..], b"V"].concat())
}

#[tokio::test]
async fn headers_nested_without_end_end_no_worker() {
    let rig = Rig::start(VOLCENGINE).await;
    let id = rig.worker.id();
    let mut client = RawClient::connect().await;
    client.publish("", rig.namespace.of("jobs").as_bytes(), &nested(), &job("volcengine", "deep")).await;
    rig.rooms("volcengine", &["after"]).await;
    let results = rig.results_by_room(2).await;
    assert!(results.values().all(|result| result["outcome"] == "dismissed"), "{results:?}");
    assert!(std::fs::exists(format!("/proc/{id}/exe")).expect("our own child"), "it is the same process still");
    rig.is_empty().await;
}
