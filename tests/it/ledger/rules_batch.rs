//! How batches come to be, and how they stand.

use std::collections::BTreeMap;

use roomsweep::model::job::Lane;
use roomsweep::model::ledger::Batch;
use roomsweep::model::result::{DismissResult, Outcome};
use roomsweep::ports::ledger::Ledger;

use super::House;
use super::sample::{act, at, batch, of_batch, part, provider, told};

async fn of(ledger: &dyn Ledger, id: &str) -> Batch {
    ledger.batch(&batch(id)).await.unwrap().expect("a batch")
}

pub async fn a_batch_is_made_by_its_first_results(house: &impl House) {
    let ledger = house.open().await;
    let other = DismissResult { provider: Some(provider("huawei")), ..of_batch("c", "b", Outcome::Dismissed, 7.0) };
    let results = [of_batch("a", "b", Outcome::Dismissed, 5.0), of_batch("d", "b", Outcome::Rejected, 6.0), other];
    ledger.record(&results).await.unwrap();
    let expected = Batch {
        id: batch("b"),
        size: None,
        parts: vec![],
        created_at: at(5.0),
        cancelled: None,
        settled: BTreeMap::from([(Outcome::Dismissed, 2), (Outcome::Rejected, 1)]),
        settled_by_provider: BTreeMap::from([(provider("huawei"), 1), (provider("volcengine"), 2)]),
        first_settled_at: Some(at(5.0)),
        last_settled_at: Some(at(7.0)),
        recent: 3,
    };
    assert_eq!(of(&*ledger, "b").await, expected);
    assert_eq!(ledger.batches(10).await.unwrap(), [expected]);
}

pub async fn a_batch_that_nobody_told_of_is_not_there(house: &impl House) {
    let ledger = house.open().await;
    ledger.register(&told("b", None, vec![], 1.0)).await.unwrap();
    assert_eq!(ledger.batch(&batch("B")).await.unwrap(), None);
}

pub async fn registering_again_changes_nothing(house: &impl House) {
    let ledger = house.open().await;
    let parts = vec![part("huawei", Lane::Urgent, Some(3)), part("volcengine", Lane::Bulk, None)];
    let new = told("b", Some(10), parts.clone(), 1.000_000_001);
    ledger.register(&new).await.unwrap();
    let before = of(&*ledger, "b").await;
    assert_eq!((before.size, before.parts.clone(), before.created_at), (Some(10), parts, at(1.000_000_001)));
    assert_eq!((before.over(), before.first_settled_at, before.recent), (0, None, 0));
    ledger.register(&new).await.unwrap();
    assert_eq!(of(&*ledger, "b").await, before);
}

pub async fn what_was_missing_is_added_and_what_is_known_stays(house: &impl House) {
    let ledger = house.open().await;
    ledger.record(&[of_batch("a", "b", Outcome::Dismissed, 5.0)]).await.unwrap();
    ledger.register(&told("b", None, vec![part("volcengine", Lane::Bulk, None)], 9.0)).await.unwrap();
    assert_eq!(of(&*ledger, "b").await.size, None);
    ledger.register(&told("b", Some(10), vec![part("volcengine", Lane::Bulk, Some(7))], 9.0)).await.unwrap();
    let more = vec![part("volcengine", Lane::Bulk, Some(99)), part("volcengine", Lane::Urgent, Some(3))];
    ledger.register(&told("b", Some(99), more, 9.0)).await.unwrap();
    ledger.register(&told("b", None, vec![part("volcengine", Lane::Urgent, None)], 9.0)).await.unwrap();
    let stands = of(&*ledger, "b").await;
    let parts = vec![part("volcengine", Lane::Urgent, Some(3)), part("volcengine", Lane::Bulk, Some(7))];
    assert_eq!((stands.size, stands.parts.clone(), stands.created_at), (Some(10), parts, at(5.0)));
    assert_eq!((stands.over(), stands.left()), (1, Some(9)));
}

pub async fn a_job_counts_once_by_its_last_run(house: &impl House) {
    let ledger = house.open().await;
    let run = |run: u32, outcome| DismissResult { run, ..of_batch("a", "b", outcome, f64::from(run)) };
    let counted = async || of(&*ledger, "b").await.settled.into_iter().collect::<Vec<_>>();
    ledger.record(&[run(1, Outcome::Rejected)]).await.unwrap();
    assert_eq!(counted().await, [(Outcome::Rejected, 1)]);
    ledger.record(&[run(3, Outcome::Dismissed)]).await.unwrap();
    assert_eq!(counted().await, [(Outcome::Dismissed, 1)], "outcomes that no longer occur are left out");
    ledger.record(&[run(2, Outcome::Exhausted)]).await.unwrap();
    assert_eq!(counted().await, [(Outcome::Dismissed, 1)]);
    assert_eq!(of(&*ledger, "b").await.settled_by_provider, BTreeMap::from([(provider("volcengine"), 1)]));
}

pub async fn a_joined_result_counts_once_as_what_it_became(house: &impl House) {
    let ledger = house.open().await;
    for outcome in [Outcome::Cancelled, Outcome::AlreadyGone, Outcome::Dismissed, Outcome::AlreadyGone] {
        ledger.record(&[of_batch("a", "b", outcome, 3.0)]).await.unwrap();
    }
    assert_eq!(of(&*ledger, "b").await.settled, BTreeMap::from([(Outcome::Dismissed, 1)]));
}

pub async fn results_without_a_provider_count_too(house: &impl House) {
    let ledger = house.open().await;
    let nowhere = DismissResult { provider: None, ..of_batch("a", "b", Outcome::Invalid, 1.0) };
    ledger.record(&[nowhere, of_batch("c", "b", Outcome::Invalid, 1.0)]).await.unwrap();
    let stands = of(&*ledger, "b").await;
    assert_eq!(stands.settled, BTreeMap::from([(Outcome::Invalid, 2)]));
    assert_eq!(stands.settled_by_provider, BTreeMap::from([(provider("volcengine"), 1)]));
}

pub async fn a_batch_tells_its_span_and_what_was_settled_lately(house: &impl House) {
    let ledger = house.open().await;
    let stands = async || {
        let stands = of(&*ledger, "b").await;
        (stands.first_settled_at, stands.last_settled_at, stands.recent)
    };
    let settle = async |id: &str, of: &str, seconds: f64| {
        ledger.record(&[of_batch(id, of, Outcome::Dismissed, seconds)]).await.unwrap();
    };
    settle("c", "b", 60.1).await;
    assert_eq!(stands().await, (Some(at(60.1)), Some(at(60.1)), 1));
    settle("a", "b", 30.0).await;
    settle("d", "b", 30.2).await;
    settle("e", "other", 60.0).await;
    assert_eq!(stands().await, (Some(at(30.0)), Some(at(60.1)), 2), "half a minute back");
    settle("f", "b", 99.0).await;
    assert_eq!(stands().await, (Some(at(30.0)), Some(at(99.0)), 1));
}

pub async fn the_newest_batches_come_first(house: &impl House) {
    let ledger = house.open().await;
    for (id, seconds) in [("old", 1.0), ("new", 9.0), ("middle", 5.0)] {
        ledger.register(&told(id, None, vec![part("volcengine", Lane::Bulk, None)], seconds)).await.unwrap();
    }
    ledger.cancel(&batch("middle"), &act("me", 20.0)).await.unwrap();
    ledger.record(&[of_batch("a", "old", Outcome::Dismissed, 30.0)]).await.unwrap();
    let shown = ledger.batches(10).await.unwrap();
    let ids: Vec<&str> = shown.iter().map(|batch| batch.id.as_str()).collect();
    assert_eq!(ids, ["new", "middle", "old"]);
    for batch in &shown {
        assert_eq!(ledger.batch(&batch.id).await.unwrap().as_ref(), Some(batch));
    }
    assert_eq!(ledger.batches(2).await.unwrap(), shown[..2]);
}
