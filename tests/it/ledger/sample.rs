//! What the rules put into a ledger.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use roomsweep::model::ids::{AppId, BatchId, JobId, ProviderName, RequestId, RoomId};
use roomsweep::model::job::Lane;
use roomsweep::model::ledger::{Act, Cursor, HistoryFilter, NewBatch, Part, SenderReport};
use roomsweep::model::progress::AttemptRecord;
use roomsweep::model::result::{DismissResult, Outcome};
use roomsweep::model::verdict::VerdictLabel;
use roomsweep::ports::ledger::Ledger;

/// Nanoseconds, as a result may have them.
pub fn at(seconds: f64) -> Timestamp {
    Timestamp::from_second(1_750_000_000).unwrap() + SignedDuration::from_secs_f64(seconds)
}

pub fn job(id: &str) -> JobId {
    JobId::parse(id).unwrap()
}

pub fn batch(id: &str) -> BatchId {
    BatchId::parse(id).unwrap()
}

pub fn provider(name: &str) -> ProviderName {
    ProviderName::parse(name).unwrap()
}

pub fn room(id: &str) -> RoomId {
    RoomId::parse(id).unwrap()
}

pub fn app(id: &str) -> AppId {
    AppId::parse(id).unwrap()
}

pub fn request(id: &str) -> RequestId {
    RequestId::parse(id).unwrap()
}

pub fn attempt(id: &str, seconds: f64, verdict: VerdictLabel) -> AttemptRecord {
    AttemptRecord {
        at: at(seconds),
        verdict,
        http_status: Some(200),
        request_id: Some(request(id)),
        error: None,
        duration_ms: 28,
    }
}

/// A room dismissed at the first attempt, whose request ID is `r-` and the job's, in no batch.
pub fn result(id: &str, seconds: f64) -> DismissResult {
    let request_id = format!("r-{id}");
    DismissResult {
        job_id: job(id),
        batch_id: None,
        provider: Some(provider("volcengine")),
        app_id: Some(app("app")),
        room_id: Some(room(&format!("room-{id}"))),
        lane: Some(Lane::Bulk),
        outcome: Outcome::Dismissed,
        request_id: Some(request(&request_id)),
        http_status: Some(200),
        error: None,
        attempts: 1,
        run: 1,
        attempt_log: vec![attempt(&request_id, seconds - 0.1, VerdictLabel::Dismissed)],
        attempts_omitted: 0,
        received_at: at(seconds - 1.0),
        settled_at: at(seconds),
        reason: None,
        requested_by: None,
        labels: BTreeMap::new(),
        worker: "host-1".into(),
    }
}

/// The same in a batch, and ended in this way.
pub fn of_batch(id: &str, of: &str, outcome: Outcome, seconds: f64) -> DismissResult {
    DismissResult { batch_id: Some(batch(of)), outcome, ..result(id, seconds) }
}

pub fn act(by: &str, seconds: f64) -> Act {
    Act { by: by.into(), why: Some(format!("{by} said \"so\"")), at: at(seconds) }
}

pub fn told(id: &str, size: Option<u64>, parts: Vec<Part>, seconds: f64) -> NewBatch {
    NewBatch { id: batch(id), size, parts, at: at(seconds) }
}

pub fn part(name: &str, lane: Lane, jobs: Option<u64>) -> Part {
    Part { provider: provider(name), lane, jobs }
}

pub fn report(name: &str, in_flight: u64) -> SenderReport {
    SenderReport {
        provider: provider(name),
        worker: "host-1".into(),
        at: at(1.25),
        quota_qps: 60.0,
        effective_qps: 58.2,
        in_flight,
        waiting_urgent: 1,
        waiting_bulk: 2,
        deferred: 3,
        suspended: None,
        since: None,
        next_probe: Some(at(3.0)),
        rates: vec![1, 2, 3],
    }
}

/// All that agrees with `filter`, by pages of `most`.
pub async fn all(ledger: &dyn Ledger, filter: &HistoryFilter, most: u32) -> Vec<DismissResult> {
    let mut found: Vec<DismissResult> = Vec::new();
    loop {
        let after = found.last().map(Cursor::behind);
        let page = ledger.history(filter, after.as_ref(), most).await.unwrap();
        assert!(page.len() <= most as usize);
        assert!(page.is_empty() || page.first() != found.last(), "a page begins behind the one before");
        if page.is_empty() {
            return found;
        }
        found.extend(page);
    }
}

/// The job and the run of each, in the order given.
pub fn names(results: &[DismissResult]) -> Vec<(&str, u32)> {
    results.iter().map(|result| (result.job_id.as_str(), result.run)).collect()
}
