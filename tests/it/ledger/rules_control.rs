//! What operators ask for, and what senders tell.

use std::collections::BTreeMap;

use roomsweep::model::ledger::{Controls, SenderReport};
use roomsweep::model::result::Outcome;
use roomsweep::model::suspension::SuspensionReason;
use roomsweep::ports::ledger::Heard;

use super::House;
use super::sample::{act, at, batch, of_batch, provider, report, told};

pub async fn who_cancelled_first_stays_on_record(house: &impl House) {
    let ledger = house.open().await;
    ledger.register(&told("b", Some(3), vec![], 1.0)).await.unwrap();
    ledger.register(&told("other", None, vec![], 1.0)).await.unwrap();
    assert_eq!(ledger.cancel(&batch("b"), &act("me", 5.000_000_001)).await.unwrap(), Heard::Before);
    assert_eq!(ledger.cancel(&batch("b"), &act("you", 6.0)).await.unwrap(), Heard::Before);
    let stands = ledger.batch(&batch("b")).await.unwrap().unwrap();
    assert_eq!((stands.cancelled, stands.created_at), (Some(act("me", 5.000_000_001)), at(1.0)));
    assert_eq!(ledger.batch(&batch("other")).await.unwrap().unwrap().cancelled, None);
    let controls = ledger.controls().await.unwrap();
    assert_eq!(controls.cancelled.into_iter().collect::<Vec<_>>(), [batch("b")]);
}

pub async fn a_batch_never_heard_of_is_cancelled_for_when_its_jobs_surface(house: &impl House) {
    let ledger = house.open().await;
    assert_eq!(ledger.cancel(&batch("b"), &act("me", 5.0)).await.unwrap(), Heard::Never);
    assert!(ledger.controls().await.unwrap().cancelled.contains(&batch("b")));
    ledger.register(&told("b", Some(2), vec![], 7.0)).await.unwrap();
    ledger.record(&[of_batch("a", "b", Outcome::Cancelled, 8.0)]).await.unwrap();
    let stands = ledger.batch(&batch("b")).await.unwrap().unwrap();
    assert_eq!((stands.cancelled.clone(), stands.size, stands.left()), (Some(act("me", 5.0)), Some(2), Some(1)));
    assert_eq!(ledger.controls().await.unwrap().cancelled.len(), 1);
}

pub async fn who_paused_first_stays_on_record_until_it_is_resumed(house: &impl House) {
    let ledger = house.open().await;
    let (volcengine, huawei) = (provider("volcengine"), provider("huawei"));
    ledger.pause(&volcengine, &act("me", 1.0)).await.unwrap();
    ledger.pause(&volcengine, &act("you", 2.0)).await.unwrap();
    ledger.pause(&huawei, &act("you", 3.0)).await.unwrap();
    let paused = async || ledger.controls().await.unwrap().paused;
    let both = BTreeMap::from([(volcengine.clone(), act("me", 1.0)), (huawei.clone(), act("you", 3.0))]);
    assert_eq!(paused().await, both);
    assert_eq!(ledger.resume(&volcengine).await.unwrap(), Some(act("me", 1.0)));
    assert_eq!(ledger.resume(&volcengine).await.unwrap(), None);
    assert_eq!(paused().await, BTreeMap::from([(huawei, act("you", 3.0))]));
    let quiet = roomsweep::model::ledger::Act { why: None, ..act("you\0'\"", 4.0) };
    ledger.pause(&volcengine, &quiet).await.unwrap();
    assert_eq!(paused().await.get(&volcengine), Some(&quiet));
}

pub async fn a_report_replaces_what_was_told_of_that_provider(house: &impl House) {
    let ledger = house.open().await;
    assert_eq!(ledger.reports().await.unwrap(), []);
    ledger.report(&report("volcengine", 1)).await.unwrap();
    ledger.report(&report("huawei", 2)).await.unwrap();
    let next = SenderReport {
        worker: "host-2".into(),
        suspended: Some(SuspensionReason::Credentials),
        since: Some(at(0.123_456_789)),
        ..report("volcengine", 3)
    };
    ledger.report(&next).await.unwrap();
    let mut told = ledger.reports().await.unwrap();
    told.sort_by(|a, b| a.provider.cmp(&b.provider));
    assert_eq!(told, [report("huawei", 2), next]);
}

pub async fn every_replica_sees_what_was_asked_for(house: &impl House) {
    let (one, other) = (house.open().await, house.open().await);
    assert_eq!(other.controls().await.unwrap(), Controls::default());
    one.cancel(&batch("b"), &act("me", 1.0)).await.unwrap();
    one.pause(&provider("volcengine"), &act("me", 1.0)).await.unwrap();
    one.close().await;
    let controls = other.controls().await.unwrap();
    assert_eq!((controls.cancelled.len(), controls.paused.len()), (1, 1));
    assert!(other.resume(&provider("volcengine")).await.unwrap().is_some());
    assert_eq!(house.open().await.controls().await.unwrap().paused.len(), 0);
}
