//! Results, as they come in.

use std::sync::Arc;

use roomsweep::model::ledger::HistoryFilter;
use roomsweep::model::result::{DismissResult, Outcome};
use roomsweep::model::verdict::{Fault, VerdictLabel};
use roomsweep::ports::ledger::Ledger;

use super::House;
use super::sample::{all, at, attempt, batch, job, names, of_batch, request, result};

async fn by_request(ledger: &dyn Ledger, id: &str) -> Vec<DismissResult> {
    let filter = HistoryFilter { request_id: Some(request(id)), ..HistoryFilter::default() };
    ledger.history(&filter, None, 10).await.unwrap()
}

async fn everything(ledger: &dyn Ledger) -> Vec<DismissResult> {
    all(ledger, &HistoryFilter::default(), 1000).await
}

pub async fn a_result_is_found_again_as_it_was(house: &impl House) {
    let ledger = house.open().await;
    let mut failed = of_batch("failed", "b", Outcome::Exhausted, 2.000_000_001);
    failed.attempt_log.insert(0, attempt("r-first", 1.0, VerdictLabel::Transient));
    failed.attempts = 2;
    failed.error = Some(Fault::new("InternalError", "it said so"));
    failed.labels.insert("team".into(), "ops".into());
    (failed.reason, failed.requested_by) = (Some("incident 7".into()), Some("me".into()));
    let bare = DismissResult {
        provider: None,
        app_id: None,
        room_id: None,
        lane: None,
        outcome: Outcome::Invalid,
        request_id: None,
        http_status: None,
        attempts: 0,
        attempt_log: vec![],
        ..result("bare", 3.0)
    };
    ledger.record(&[failed.clone(), bare.clone()]).await.unwrap();
    assert_eq!(everything(&*ledger).await, [bare, failed]);
    ledger.close().await;
}

pub async fn any_text_survives(house: &impl House) {
    let ledger = house.open().await;
    let texts = ["'; DROP TABLE entry; --", "\"{}\\,NULL\u{7f}", "房间 🧹 \u{202e}", "\0a\0", "\u{1}\r\n\t", "%_$1?"];
    let mut odd = result("odd's \"job\" \\ {🧹,NULL}", 1.0);
    odd.worker = texts.concat();
    odd.labels = texts.iter().map(|text| ((*text).to_owned(), text.repeat(100))).collect();
    odd.labels.insert("long".into(), "🧹".repeat(16 * 1024));
    odd.error = Some(Fault { code: texts[3].into(), message: texts.concat() });
    odd.attempt_log[0].error = odd.error.clone();
    odd.attempt_log[0].request_id = Some(request("{a,\"b'\\🧹}"));
    odd.batch_id = Some(batch("b'\"\\{,}NULL"));
    ledger.record(std::slice::from_ref(&odd)).await.unwrap();
    assert_eq!(ledger.settled(std::slice::from_ref(&odd.job_id)).await.unwrap(), [odd.clone()]);
    assert_eq!(by_request(&*ledger, "{a,\"b'\\🧹}").await, [odd.clone()]);
    assert_eq!(ledger.batch(&batch("b'\"\\{,}NULL")).await.unwrap().unwrap().over(), 1);
}

pub async fn a_result_that_comes_again_changes_nothing(house: &impl House) {
    let ledger = house.open().await;
    let results = [of_batch("a", "b", Outcome::Dismissed, 1.0), of_batch("c", "b", Outcome::Rejected, 2.0)];
    ledger.record(&results).await.unwrap();
    let before = (everything(&*ledger).await, ledger.batch(&batch("b")).await.unwrap());
    ledger.record(&results).await.unwrap();
    ledger.record(&[results[0].clone(), results[0].clone()]).await.unwrap();
    assert_eq!((everything(&*ledger).await, ledger.batch(&batch("b")).await.unwrap()), before);
    assert_eq!(before.1.unwrap().over(), 2);
}

pub async fn dismissed_stands_before_already_gone_before_others_in_whatever_order_they_come(house: &impl House) {
    let ledger = house.open().await;
    let ranked = [Outcome::Dismissed, Outcome::AlreadyGone, Outcome::Exhausted];
    for (a, first) in ranked.into_iter().enumerate() {
        for (b, second) in ranked.into_iter().enumerate() {
            let id = format!("{first}-{second}");
            let results = [(first, 1.0), (second, 2.0)].map(|(outcome, at)| of_batch(&id, "b", outcome, at));
            ledger.record(&results[..1]).await.unwrap();
            ledger.record(&results[1..]).await.unwrap();
            let together = format!("{id}-together");
            ledger.record(&results.map(|result| DismissResult { job_id: job(&together), ..result })).await.unwrap();
            for id in [id, together] {
                let kept = ledger.settled(&[job(&id)]).await.unwrap();
                assert_eq!(kept.len(), 1, "{id}");
                assert_eq!(kept[0].outcome, ranked[a.min(b)], "{id}");
            }
        }
    }
    let counts: Vec<_> = ledger.batch(&batch("b")).await.unwrap().unwrap().settled.into_iter().collect();
    assert_eq!(counts, [(Outcome::Dismissed, 10), (Outcome::AlreadyGone, 6), (Outcome::Exhausted, 2)]);
}

pub async fn the_attempts_of_both_are_kept_and_each_request_id_finds_the_entry(house: &impl House) {
    let ledger = house.open().await;
    let sent = result("a", 1.0);
    let mut again = DismissResult { outcome: Outcome::AlreadyGone, ..result("a", 5.0) };
    again.request_id = Some(request("r-again"));
    again.attempt_log = vec![attempt("r-again", 4.0, VerdictLabel::AlreadyGone)];
    ledger.record(std::slice::from_ref(&again)).await.unwrap();
    ledger.record(std::slice::from_ref(&sent)).await.unwrap();
    let expected = sent.clone().joined(again);
    assert_eq!((expected.attempts, expected.outcome), (2, Outcome::Dismissed));
    for id in ["r-a", "r-again"] {
        assert_eq!(by_request(&*ledger, id).await, std::slice::from_ref(&expected), "{id}");
    }
    assert_eq!(by_request(&*ledger, "r-none").await, []);
}

pub async fn what_a_result_became_is_what_it_is_found_by(house: &impl House) {
    let ledger = house.open().await;
    ledger.record(&[DismissResult { outcome: Outcome::AlreadyGone, ..result("a", 1.0) }]).await.unwrap();
    ledger.record(&[result("a", 5.0)]).await.unwrap();
    let found = async |outcome, since| {
        let filter = HistoryFilter { outcomes: vec![outcome], since: Some(at(since)), ..HistoryFilter::default() };
        ledger.history(&filter, None, 10).await.unwrap().len()
    };
    assert_eq!((found(Outcome::AlreadyGone, 0.0).await, found(Outcome::Dismissed, 0.0).await), (0, 1));
    assert_eq!((found(Outcome::Dismissed, 5.0).await, found(Outcome::Dismissed, 5.1).await), (1, 0));
}

pub async fn a_group_is_seen_as_a_whole_or_not_at_all(house: &impl House) {
    const GROUP: usize = 50;
    const GROUPS: usize = 20;
    let (writer, reader) = (house.open().await, house.open().await);
    let write = tokio::spawn(async move {
        for group in 0..GROUPS {
            let results = (0..GROUP).map(|n| of_batch(&format!("{group}-{n}"), "b", Outcome::Dismissed, 1.0));
            writer.record(&results.collect::<Vec<_>>()).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    let mut seen = 0;
    while seen < GROUP * GROUPS {
        let over = reader.batch(&batch("b")).await.unwrap().map_or(0, |batch| batch.over());
        let found = reader.history(&HistoryFilter::default(), None, 10_000).await.unwrap().len();
        assert_eq!((over as usize % GROUP, found % GROUP), (0, 0));
        assert!(over as usize <= found, "what is counted is there");
        seen = found;
        tokio::task::yield_now().await;
    }
    write.await.unwrap();
}

pub async fn nothing_recorded_changes_nothing(house: &impl House) {
    let ledger: Arc<dyn Ledger> = house.open().await;
    ledger.record(&[]).await.unwrap();
    assert_eq!(everything(&*ledger).await, []);
    assert_eq!(ledger.settled(&[]).await.unwrap(), []);
    assert_eq!(ledger.batches(10).await.unwrap(), []);
}

pub async fn the_last_run_of_each_job_is_told_in_one_question(house: &impl House) {
    let ledger = house.open().await;
    let mut results: Vec<DismissResult> = (0..600).map(|n| result(&format!("job-{n:03}"), 1.0)).collect();
    // The second run of each third job comes before the first one.
    for n in (0..600).step_by(3) {
        results.insert(n, DismissResult { run: 2, outcome: Outcome::Rejected, ..result(&format!("job-{n:03}"), 9.0) });
    }
    for group in results.chunks(200) {
        ledger.record(group).await.unwrap();
    }
    let mut asked: Vec<_> = (0..500).map(|n| job(&format!("job-{n:03}"))).collect();
    asked.extend([job("job-000"), job("never-seen")]);
    let mut told = ledger.settled(&asked).await.unwrap();
    told.sort_by(|a, b| a.job_id.cmp(&b.job_id));
    let expected: Vec<(String, u32)> =
        (0..500).map(|n| (format!("job-{n:03}"), if n % 3 == 0 { 2 } else { 1 })).collect();
    assert_eq!(names(&told), expected.iter().map(|(id, run)| (id.as_str(), *run)).collect::<Vec<_>>());
    assert!(told.iter().all(|result| (result.run == 2) == (result.outcome == Outcome::Rejected)));
}
