//! What is found of the past.

use roomsweep::model::ledger::HistoryFilter;
use roomsweep::model::result::{DismissResult, Outcome};
use roomsweep::model::verdict::VerdictLabel;
use roomsweep::ports::ledger::Ledger;

use super::House;
use super::sample::{all, app, at, attempt, batch, job, names, provider, request, result, room};

/// 120 results that differ in all that can be asked for, the last settled first.
async fn fill(ledger: &dyn Ledger) -> Vec<DismissResult> {
    let mut results: Vec<DismissResult> = (0..120)
        .map(|n| {
            // Two each at one time, and nothing in the order of their names.
            let mut result = result(&format!("job-{:03}", n * 77 % 120 / 2), f64::from(n / 2) / 1024.0);
            result.run = 1 + (n * 77 % 120) % 2;
            result.provider = [Some("volcengine"), Some("huawei"), None][n as usize % 3].map(provider);
            result.app_id = [Some("one"), Some("two")][n as usize % 2].map(app);
            result.room_id = (n % 11 != 0).then(|| room(&format!("room-{}", n % 7)));
            result.batch_id = (n % 4 != 0).then(|| batch(&format!("batch-{}", n % 5)));
            result.outcome = Outcome::ALL[n as usize % 7];
            result.attempt_log = (0..n % 3)
                .map(|a| attempt(&format!("r-{}-{a}", n / 2), f64::from(n + a) / 1024.0, VerdictLabel::Transient))
                .collect();
            result
        })
        .collect();
    for group in results.chunks(50) {
        ledger.record(group).await.unwrap();
    }
    results.reverse();
    results
}

/// The same question without an index.
fn expected<'a>(results: &'a [DismissResult], filter: &HistoryFilter) -> Vec<(&'a str, u32)> {
    let mut found = results.to_vec();
    found.retain(|result| filter.provider.is_none() || result.provider == filter.provider);
    found.retain(|result| filter.app.is_none() || result.app_id == filter.app);
    found.retain(|result| filter.room.is_none() || result.room_id == filter.room);
    found.retain(|result| filter.batch.is_none() || result.batch_id == filter.batch);
    found.retain(|result| filter.job.as_ref().is_none_or(|job| result.job_id == *job));
    if filter.request_id.is_some() {
        found.retain(|result| result.attempt_log.iter().any(|attempt| attempt.request_id == filter.request_id));
    }
    found.retain(|result| filter.outcomes.is_empty() || filter.outcomes.contains(&result.outcome));
    found.retain(|result| filter.since.is_none_or(|since| since <= result.settled_at));
    found.retain(|result| filter.until.is_none_or(|until| result.settled_at < until));
    let kept = |result: &&DismissResult| found.contains(result);
    results.iter().filter(kept).map(|result| (result.job_id.as_str(), result.run)).collect()
}

/// Asks, by pages of `most`, and holds the answer against the question without an index.
async fn check(ledger: &dyn Ledger, results: &[DismissResult], filter: &HistoryFilter, most: u32) -> usize {
    let found = all(ledger, filter, most).await;
    assert!(found.is_sorted_by(|a, b| a.settled_at >= b.settled_at), "{filter:?}");
    assert!(found.iter().all(|found| results.contains(found)), "{filter:?}");
    let (mut found, mut expected) = (names(&found), expected(results, filter));
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "{filter:?}");
    found.len()
}

/// One filter of each kind, and how many agree.
fn filters() -> Vec<HistoryFilter> {
    let none = HistoryFilter::default;
    vec![
        HistoryFilter { provider: Some(provider("huawei")), ..none() },
        HistoryFilter { app: Some(app("two")), ..none() },
        HistoryFilter { room: Some(room("room-3")), ..none() },
        HistoryFilter { batch: Some(batch("batch-2")), ..none() },
        HistoryFilter { job: Some(job("job-007")), ..none() },
        HistoryFilter { request_id: Some(request("r-20-1")), ..none() },
        HistoryFilter { outcomes: vec![Outcome::Rejected], ..none() },
        HistoryFilter { outcomes: vec![Outcome::Rejected, Outcome::Exhausted, Outcome::Invalid], ..none() },
        HistoryFilter { outcomes: vec![Outcome::Dismissed, Outcome::Cancelled], ..none() },
        HistoryFilter { outcomes: Outcome::ALL.to_vec(), ..none() },
        HistoryFilter { since: Some(at(30.0 / 1024.0)), ..none() },
        HistoryFilter { until: Some(at(30.0 / 1024.0)), ..none() },
    ]
}

pub async fn each_filter_finds_what_agrees_and_nothing_else(house: &impl House) {
    let ledger = house.open().await;
    let results = fill(&*ledger).await;
    assert_eq!(check(&*ledger, &results, &HistoryFilter::default(), 1000).await, 120);
    for filter in filters() {
        assert!(check(&*ledger, &results, &filter, 1000).await > 0, "{filter:?}");
    }
    let nothing = HistoryFilter { room: Some(room("ROOM-3")), ..HistoryFilter::default() };
    assert_eq!(check(&*ledger, &results, &nothing, 1000).await, 0);
}

pub async fn filters_together_find_what_agrees_with_all(house: &impl House) {
    let ledger = house.open().await;
    let results = fill(&*ledger).await;
    let filters = filters();
    let mut agreed = 0;
    for (n, a) in filters.iter().enumerate() {
        for b in &filters[n..] {
            let both = HistoryFilter {
                provider: a.provider.clone().or(b.provider.clone()),
                app: a.app.clone().or(b.app.clone()),
                room: a.room.clone().or(b.room.clone()),
                batch: a.batch.clone().or(b.batch.clone()),
                job: a.job.clone().or(b.job.clone()),
                request_id: a.request_id.clone().or(b.request_id.clone()),
                outcomes: if a.outcomes.is_empty() { b.outcomes.clone() } else { a.outcomes.clone() },
                since: a.since.or(b.since),
                until: a.until.or(b.until),
            };
            agreed += usize::from(check(&*ledger, &results, &both, 7).await > 0);
        }
    }
    assert!(agreed > 30, "{agreed}");
}

pub async fn pages_hold_each_entry_once_though_many_were_settled_at_one_time(house: &impl House) {
    let ledger = house.open().await;
    let results: Vec<DismissResult> = (0..50)
        .flat_map(|n| [1, 2].map(|run| DismissResult { run, ..result(&format!("job-{}", n * 37 % 50), 1.0) }))
        .collect();
    ledger.record(&results).await.unwrap();
    for most in [1, 7, 100, 1000] {
        let found = all(&*ledger, &HistoryFilter::default(), most).await;
        let mut names = names(&found);
        assert_eq!(names.len(), 100, "pages of {most}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 100, "pages of {most}");
    }
    let filter = HistoryFilter { provider: Some(provider("volcengine")), ..HistoryFilter::default() };
    assert_eq!(all(&*ledger, &filter, 9).await, all(&*ledger, &filter, 1000).await, "pages agree on the order");
}

pub async fn a_job_is_found_with_all_its_runs(house: &impl House) {
    let ledger = house.open().await;
    let runs = [1, 2, 3].map(|run| DismissResult { run, ..result("a", f64::from(run)) });
    ledger.record(&runs).await.unwrap();
    ledger.record(&[result("b", 2.5)]).await.unwrap();
    let filter = HistoryFilter { job: Some(job("a")), ..HistoryFilter::default() };
    assert_eq!(names(&all(&*ledger, &filter, 2).await), [("a", 3), ("a", 2), ("a", 1)]);
}
