//! A provider that an operator pauses.

use std::time::Duration;

use tokio::time::sleep;

use super::{SOON, act, arrived_after, ids, ledger, publish, tables, two_workers, until_over, volcengine};
use crate::flow::{evidence, stage};
use crate::support::database::Database;
use crate::support::eventually;
use crate::support::sandbox::Sandbox;

const PAUSED: &[&str] = &["provider=\"volcengine\"", "reason=\"paused\""];

#[tokio::test]
async fn a_pause_holds_for_all_replicas_and_over_their_restart_until_it_is_resumed() {
    let (namespace, database) = (stage::namespace().await, Database::new().await);
    let sandbox = Sandbox::start(&["--latency", "30ms"]).await;
    let ledger = ledger(database.url()).await;
    let tables = tables(&sandbox, database.url(), "");
    let workers = two_workers(&namespace, &tables).await;
    publish(&namespace, "volcengine", "b", ids("paused", 500)).await;
    evidence::until_arrived(&sandbox, 100).await;

    let at = stage::wall();
    ledger.pause(&volcengine(), &act()).await.unwrap();
    for worker in &workers {
        eventually("every replica shows it", SOON, || async {
            (worker.metrics().await.sum("roomsweep_provider_suspended", PAUSED) > 0.0).then_some(())
        })
        .await;
    }
    publish(&namespace, "huawei", "h", ids("other", 40)).await;
    until_over(&ledger, "h", 40, SOON).await;
    let said = workers.iter().any(|worker| {
        let log = worker.process.log();
        log.contains("paused by an operator") && log.contains("incident 7") && log.contains("ops")
    });
    assert!(said, "who and why is in the log");
    for worker in workers {
        worker.stop().await;
    }
    let workers = two_workers(&namespace, &tables).await;
    sleep(Duration::from_secs(6)).await;
    let late = arrived_after(&sandbox, at + Duration::from_secs(2), "paused").await;
    assert!(late.is_empty(), "{} requests after the pause, the last: {:?}", late.len(), late.last());
    for worker in &workers {
        assert!(worker.metrics().await.sum("roomsweep_provider_suspended", PAUSED) > 0.0, "after a restart too");
    }

    let who = ledger.resume(&volcengine()).await.unwrap().map(|act| act.by);
    assert_eq!(who.as_deref(), Some("ops"));
    until_over(&ledger, "b", 500, SOON).await;
    assert_eq!(arrived_after(&sandbox, jiff::Timestamp::MIN, "paused").await.len(), 500);
    assert!(workers.iter().any(|worker| worker.process.log().contains("resumed: sending again")));
    for worker in workers {
        worker.stop().await;
    }
    assert_eq!(evidence::drain_all(&namespace, "results").await.len(), 540);
    evidence::assert_empty(&namespace).await;
}
