//! What is forgotten, and what is not.

use roomsweep::model::job::Lane;
use roomsweep::model::ledger::HistoryFilter;
use roomsweep::model::result::{DismissResult, Outcome};
use roomsweep::ports::ledger::{Horizon, Ledger};

use super::House;
use super::sample::{act, all, at, batch, job, names, of_batch, part, provider, request, result, told};

/// All that is older.
fn before(seconds: f64) -> Horizon {
    Horizon { results: at(seconds), cancels: at(seconds) }
}

/// Forgets what is older than `seconds` until nothing of it is left.
async fn forget_all(ledger: &dyn Ledger, seconds: f64) {
    for _ in 0..10 {
        if ledger.forget(before(seconds), 100).await.unwrap() == 0 {
            return;
        }
    }
    panic!("it finds ever more to forget");
}

async fn batches(ledger: &dyn Ledger) -> Vec<String> {
    let mut ids: Vec<String> =
        ledger.batches(100).await.unwrap().iter().map(|batch| batch.id.as_str().to_owned()).collect();
    ids.sort();
    ids
}

pub async fn only_what_is_older_goes_and_in_steps(house: &impl House) {
    let ledger = house.open().await;
    // The older, the later in the order of names.
    let results: Vec<DismissResult> = (0..10).map(|n| result(&format!("job-{}", 9 - n), f64::from(n))).collect();
    ledger.record(&results).await.unwrap();
    ledger.record(&[DismissResult { run: 2, ..result("job-9", 50.0) }]).await.unwrap();
    let left = async || all(&*ledger, &HistoryFilter::default(), 100).await;
    assert_eq!(ledger.forget(before(7.0), 3).await.unwrap(), 3);
    assert_eq!(left().await.last().map(|result| result.settled_at), Some(at(3.0)), "the oldest first");
    for expected in [3, 1, 0] {
        assert_eq!(ledger.forget(before(7.0), 3).await.unwrap(), expected);
    }
    assert_eq!(names(&left().await), [("job-9", 2), ("job-0", 1), ("job-1", 1), ("job-2", 1)]);
    assert_eq!(ledger.settled(&[job("job-8")]).await.unwrap(), []);
}

pub async fn what_is_forgotten_is_found_by_no_request_id(house: &impl House) {
    let ledger = house.open().await;
    ledger.record(&[result("a", 1.0), result("b", 9.0)]).await.unwrap();
    forget_all(&*ledger, 5.0).await;
    let found = async |id: &str| {
        let filter = HistoryFilter { request_id: Some(request(id)), ..HistoryFilter::default() };
        ledger.history(&filter, None, 10).await.unwrap().len()
    };
    assert_eq!((found("r-a").await, found("r-b").await), (0, 1));
    // What comes again is as new: nothing of the former is joined to it.
    let again = DismissResult { attempt_log: vec![], attempts: 0, ..result("a", 9.0) };
    ledger.record(std::slice::from_ref(&again)).await.unwrap();
    assert_eq!(ledger.settled(&[job("a")]).await.unwrap(), [again]);
    assert_eq!(found("r-a").await, 0);
}

pub async fn counts_stay_when_the_results_of_a_batch_go(house: &impl House) {
    let ledger = house.open().await;
    ledger.register(&told("b", Some(3), vec![part("volcengine", Lane::Bulk, Some(3))], 0.0)).await.unwrap();
    ledger
        .record(&[of_batch("a", "b", Outcome::Dismissed, 1.0), of_batch("c", "b", Outcome::Rejected, 9.0)])
        .await
        .unwrap();
    forget_all(&*ledger, 5.0).await;
    let stands = ledger.batch(&batch("b")).await.unwrap().unwrap();
    assert_eq!((stands.over(), stands.left(), stands.parts.len()), (2, Some(1), 1));
    assert_eq!((stands.first_settled_at, stands.last_settled_at), (Some(at(1.0)), Some(at(9.0))));
}

pub async fn a_batch_goes_when_it_is_over_and_nothing_is_left_of_it(house: &impl House) {
    let ledger = house.open().await;
    ledger.register(&told("known", Some(1), vec![part("volcengine", Lane::Bulk, Some(1))], 0.0)).await.unwrap();
    ledger
        .record(&[of_batch("a", "known", Outcome::Dismissed, 1.0), of_batch("b", "unknown", Outcome::Rejected, 2.0)])
        .await
        .unwrap();
    for seconds in [1.0, 20.0] {
        ledger.cancel(&batch("surfaced-never"), &act("me", seconds)).await.unwrap();
    }
    ledger
        .record(&[of_batch("c", "half", Outcome::Dismissed, 1.0), of_batch("d", "half", Outcome::Dismissed, 9.0)])
        .await
        .unwrap();
    ledger.forget(before(5.0), 1).await.unwrap();
    assert!(batches(&*ledger).await.contains(&"unknown".to_owned()), "its result is not yet gone");
    forget_all(&*ledger, 5.0).await;
    assert_eq!(batches(&*ledger).await, ["half"]);
    assert_eq!(ledger.controls().await.unwrap().cancelled.len(), 0);
    // A later batch of that name begins anew.
    ledger.register(&told("known", None, vec![], 20.0)).await.unwrap();
    let anew = ledger.batch(&batch("known")).await.unwrap().unwrap();
    assert_eq!((anew.size, anew.parts.len(), anew.over(), anew.last_settled_at), (None, 0, 0, None));
}

/// It may wait for longer than results are kept: its jobs are not sent before a time.
pub async fn a_batch_that_is_not_over_stays(house: &impl House) {
    let ledger = house.open().await;
    ledger.register(&told("waits", Some(2), vec![], 0.0)).await.unwrap();
    ledger.register(&told("runs", Some(2), vec![], 0.0)).await.unwrap();
    ledger.register(&told("cancelled", Some(2), vec![], 0.0)).await.unwrap();
    ledger.cancel(&batch("cancelled"), &act("me", 1.0)).await.unwrap();
    ledger.record(&[of_batch("a", "runs", Outcome::Dismissed, 1.0)]).await.unwrap();
    forget_all(&*ledger, 5.0).await;
    assert_eq!(batches(&*ledger).await, ["cancelled", "runs", "waits"]);
    assert_eq!(ledger.controls().await.unwrap().cancelled.len(), 1);
}

pub async fn what_happened_to_a_batch_lately_keeps_it(house: &impl House) {
    let ledger = house.open().await;
    ledger.record(&[of_batch("a", "cancelled", Outcome::Dismissed, 1.0)]).await.unwrap();
    ledger.cancel(&batch("cancelled"), &act("me", 6.0)).await.unwrap();
    ledger.register(&told("told", None, vec![], 6.0)).await.unwrap();
    ledger.record(&[of_batch("b", "settled", Outcome::Dismissed, 1.0)]).await.unwrap();
    ledger.record(&[of_batch("c", "settled", Outcome::Dismissed, 6.0)]).await.unwrap();
    ledger.register(&told("old", None, vec![], 1.0)).await.unwrap();
    forget_all(&*ledger, 5.0).await;
    assert_eq!(batches(&*ledger).await, ["cancelled", "settled", "told"]);
}

/// How many jobs it has is not known: some may lie in a queue for longer than results are kept.
pub async fn that_a_batch_of_unknown_size_was_cancelled_is_known_for_longer(house: &impl House) {
    let ledger = house.open().await;
    ledger.cancel(&batch("unheard"), &act("me", 1.0)).await.unwrap();
    ledger.cancel(&batch("settling"), &act("me", 1.0)).await.unwrap();
    ledger.record(&[of_batch("a", "settling", Outcome::Cancelled, 4.0)]).await.unwrap();
    ledger.register(&told("whole", Some(1), vec![], 0.0)).await.unwrap();
    ledger.cancel(&batch("whole"), &act("me", 1.0)).await.unwrap();
    ledger.record(&[of_batch("b", "whole", Outcome::Cancelled, 4.0)]).await.unwrap();
    let left = async |cancels: f64| {
        let horizon = Horizon { results: at(9.0), cancels: at(cancels) };
        while ledger.forget(horizon, 100).await.unwrap() > 0 {}
        batches(&*ledger).await
    };
    assert_eq!(left(1.0).await, ["settling", "unheard"]);
    ledger.pause(&provider("huawei"), &act("me", 2.0)).await.unwrap();
    assert_eq!(left(9.0).await, ["settling", "unheard"], "a lane that is not consumed may hold some");
    ledger.resume(&provider("huawei")).await.unwrap();
    assert_eq!(left(4.0).await, ["settling"]);
    assert_eq!(ledger.controls().await.unwrap().cancelled.len(), 1);
    assert_eq!(left(5.0).await, [""; 0]);
}

pub async fn batches_go_in_steps_and_those_that_never_end_are_in_nobodys_way(house: &impl House) {
    let ledger = house.open().await;
    for n in 0..5 {
        ledger.register(&told(&format!("ever-{n}"), Some(2), vec![], f64::from(n))).await.unwrap();
        ledger.register(&told(&format!("over-{n}"), None, vec![], f64::from(n))).await.unwrap();
    }
    ledger.record(&[result("a", 1.0), result("b", 2.0)]).await.unwrap();
    for (gone, left) in [(2, 10), (2, 8), (2, 6), (1, 5), (0, 5)] {
        assert_eq!(ledger.forget(before(9.0), 2).await.unwrap(), gone);
        assert_eq!(batches(&*ledger).await.len(), left, "results first");
    }
    assert_eq!(batches(&*ledger).await, ["ever-0", "ever-1", "ever-2", "ever-3", "ever-4"]);
}
