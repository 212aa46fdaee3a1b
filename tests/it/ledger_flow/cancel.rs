//! A batch that is cancelled half-way.

use std::time::Duration;

use roomsweep::model::result::Outcome;

use super::{SOON, act, arrived_after, batch, ids, ledger, publish, tables, two_workers, until_over};
use crate::flow::{evidence, stage};
use crate::support::database::Database;
use crate::support::sandbox::Sandbox;

#[tokio::test]
async fn nothing_of_a_batch_is_sent_two_seconds_after_its_cancel_and_every_job_is_accounted_for() {
    let (namespace, database) = (stage::namespace().await, Database::new().await);
    let sandbox = Sandbox::start(&["--latency", "30ms"]).await;
    let ledger = ledger(database.url()).await;
    let workers = two_workers(&namespace, &tables(&sandbox, database.url(), "")).await;
    publish(&namespace, "volcengine", "half", ids("half", 600)).await;
    publish(&namespace, "huawei", "half", ids("half-h", 200)).await;
    publish(&namespace, "huawei", "other", ids("other", 100)).await;
    evidence::until_arrived(&sandbox, 250).await;

    let at = stage::wall();
    ledger.cancel(&batch("half"), &act()).await.unwrap();
    let soon = at + Duration::from_secs(2);
    until_over(&ledger, "half", 800, SOON).await;
    until_over(&ledger, "other", 100, SOON).await;
    let late = arrived_after(&sandbox, soon, "half").await;
    assert!(late.is_empty(), "{} requests after the cancel at {at}, the last: {:?}", late.len(), late.last());
    let after = arrived_after(&sandbox, at, "half").await.len();
    let sent = arrived_after(&sandbox, jiff::Timestamp::MIN, "half").await.len() as u64;
    let kept = ledger.batch(&batch("half")).await.unwrap().unwrap();
    let (dismissed, cancelled) = (kept.settled[&Outcome::Dismissed], kept.settled[&Outcome::Cancelled]);
    println!("{sent} were sent ({after} after the cancel), {cancelled} were cancelled");
    assert_eq!((dismissed, dismissed + cancelled, kept.over()), (sent, 800, 800));
    assert_eq!(ledger.batch(&batch("other")).await.unwrap().unwrap().settled[&Outcome::Dismissed], 100);
    let results = evidence::drain_all(&namespace, "results").await.len();
    assert_eq!(results, 900, "the queue of results has them too");
    for worker in workers {
        worker.stop().await;
    }
    evidence::assert_empty(&namespace).await;
}
