//! How batches stand and when they are over, as commands, API and page show it.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::model::ids::ProviderName;
use crate::model::job::Lane;
use crate::model::ledger::{Batch, Part, RECENT, SenderReport};
use crate::model::suspension::SuspensionReason;
use crate::policy::eta::{LEAST, Outlook};

/// What a sender told longer ago says nothing of now.
pub const STALE: Duration = Duration::from_secs(15);

/// A batch, and when it is over.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BatchView {
    #[serde(flatten)]
    pub batch: Batch,
    pub state: BatchState,
    /// All jobs that are over.
    pub over: u64,
    /// None while the size is not known.
    pub left: Option<u64>,
    /// Jobs that ended badly. Those that somebody cancelled did not.
    pub failed: u64,
    /// Jobs a second, lately; None where nothing was settled lately, or not for long enough to tell.
    pub pace: Option<f64>,
    /// None where it is over, or where nobody can tell: `why` says so.
    pub eta_seconds: Option<u64>,
    /// Why there is no end in sight.
    pub why: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchState {
    Running,
    /// Nobody told its size, nothing waits where its jobs went, and nothing of it was settled lately.
    Idle,
    /// Cancelled, and not yet over.
    Cancelling,
    Finished,
    Cancelled,
}

impl BatchView {
    /// `reports` of all senders.
    pub fn of(batch: Batch, reports: &[SenderReport], now: Timestamp) -> Self {
        let (over, left) = (batch.over(), batch.left());
        let state = match (batch.cancelled.is_some(), left == Some(0)) {
            (false, false) => BatchState::Running,
            (true, false) => BatchState::Cancelling,
            (false, true) => BatchState::Finished,
            (true, true) => BatchState::Cancelled,
        };
        let failed = batch.settled.iter().filter(|(outcome, _)| outcome.is_failure()).map(|(_, jobs)| jobs).sum();
        let is_fresh = batch.last_settled_at.is_some_and(|last| now.duration_since(last) <= RECENT);
        let recent = recent(&batch).filter(|(_, over)| is_fresh && *over >= LEAST);
        let pace = recent.map(|(jobs, over)| jobs as f64 / over.as_secs_f64());
        let (state, eta, why) = match (left, eta(&batch, reports, now)) {
            (Some(0), _) => (state, None, None),
            (_, Ok(eta)) => (state, Some(eta.as_secs_f64().ceil() as u64), None),
            (_, Err(NoEnd::Because(why))) => (state, None, Some(why)),
            (_, Err(NoEnd::Idle)) => {
                let is_idle = state == BatchState::Running && !is_fresh;
                (if is_idle { BatchState::Idle } else { state }, None, Some(IDLE.to_owned()))
            }
        };
        Self { batch, state, over, left, failed, pace, eta_seconds: eta, why }
    }
}

/// Why there is no end in sight.
enum NoEnd {
    Because(String),
    /// It has no size, and nothing waits.
    Idle,
}

const IDLE: &str = "nobody told its size, and nothing waits";

impl From<String> for NoEnd {
    fn from(why: String) -> Self {
        NoEnd::Because(why)
    }
}

/// How many of its jobs were settled lately, and over how long.
fn recent(batch: &Batch) -> Option<(u64, Duration)> {
    let (first, last) = (batch.first_settled_at?, batch.last_settled_at?);
    Some((batch.recent, last.duration_since(first).min(RECENT).unsigned_abs()))
}

/// The longest of its providers' times; or why there is none, in words.
fn eta(batch: &Batch, reports: &[SenderReport], now: Timestamp) -> Result<Duration, NoEnd> {
    let report = |provider: &ProviderName| reports.iter().find(|report| report.provider == *provider);
    // A provider that neither has a part nor sends is a name that some job got wrong.
    let settled_at = batch.settled_by_provider.keys().filter(|provider| report(provider).is_some());
    let providers: BTreeSet<_> = batch.parts.iter().map(|part| &part.provider).chain(settled_at).collect();
    let mut longest = None;
    for provider in &providers {
        let parts: Vec<&Part> = batch.parts.iter().filter(|part| part.provider == **provider).collect();
        let settled = batch.settled_by_provider.get(*provider).copied().unwrap_or_default();
        let told: Option<u64> = parts.iter().map(|part| part.jobs).sum();
        // None where nobody told how many: then it is over when all that waits is.
        let left = match (providers.len(), batch.left(), told) {
            (1, Some(left), _) => Some(left),
            (_, _, Some(told)) if !parts.is_empty() => Some(told.saturating_sub(settled)),
            (_, _, _) => None,
        };
        if left == Some(0) {
            continue;
        }
        let report = report(provider).filter(|report| now.duration_since(report.at).unsigned_abs() < STALE);
        let report = report.ok_or_else(|| format!("no worker sends for {provider}"))?;
        if let Some(reason) = report.suspended {
            return Err(suspended(report, reason).into());
        }
        let urgent = !parts.is_empty() && parts.iter().all(|part| part.lane == Lane::Urgent);
        let ahead = report.waiting_urgent + report.in_flight + if urgent { 0 } else { report.waiting_bulk };
        let Some(left) = left.or((ahead > 0).then_some(ahead)) else { continue };
        if let Some(why) = elsewhere(left, ahead, report.deferred) {
            return Err(why.into());
        }
        let (jobs, over) = recent(batch).unwrap_or_default();
        let recent = ((jobs * settled).checked_div(batch.over()).unwrap_or_default(), over);
        let outlook = Outlook { left, ahead, rate: report.effective_qps, recent };
        let eta = outlook.eta().ok_or_else(|| format!("nothing is sent to {provider}"))?;
        longest = longest.max(Some(eta));
    }
    longest.ok_or_else(|| match (batch.left(), batch.settled_by_provider.keys().next()) {
        _ if providers.is_empty() && batch.over() == 0 => "none of its jobs has been seen yet".to_owned().into(),
        (_, Some(provider)) if providers.is_empty() => format!("no worker sends for {provider}").into(),
        (Some(left), _) => nowhere(left).into(),
        (None, _) => NoEnd::Idle,
    })
}

/// Why its end is not that of what waits ahead: most of what is left is somewhere else.
fn elsewhere(left: u64, ahead: u64, deferred: u64) -> Option<String> {
    match left.saturating_sub(ahead) {
        0 => None,
        missing if missing > ahead && deferred > 0 => {
            Some(format!("{missing} jobs wait for their time or their next try"))
        }
        missing if ahead == 0 => Some(nowhere(missing)),
        _ => None,
    }
}

fn nowhere(jobs: u64) -> String {
    format!("{jobs} jobs are in no queue: not put in yet, or settled just now")
}

fn suspended(report: &SenderReport, reason: SuspensionReason) -> String {
    let since = report.since.map(|since| format!(" since {since:.0}")).unwrap_or_default();
    match reason {
        SuspensionReason::Paused => format!("{} is paused{since}", report.provider),
        SuspensionReason::Outage
        | SuspensionReason::Credentials
        | SuspensionReason::Configuration
        | SuspensionReason::Results => format!("{} is suspended ({reason}){since}", report.provider),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::ids::BatchId;
    use crate::model::ledger::Act;
    use crate::model::result::Outcome;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn provider(name: &str) -> ProviderName {
        ProviderName::parse(name).unwrap()
    }

    /// 60 a second for a minute, of which the last 30 s are looked at.
    fn batch(size: Option<u64>) -> Batch {
        Batch {
            id: BatchId::parse("b").unwrap(),
            size,
            parts: vec![Part { provider: provider("p"), lane: Lane::Bulk, jobs: size }],
            created_at: at(0),
            cancelled: None,
            settled: BTreeMap::from([(Outcome::Dismissed, 3600)]),
            settled_by_provider: BTreeMap::from([(provider("p"), 3600)]),
            first_settled_at: Some(at(0)),
            last_settled_at: Some(at(60)),
            recent: 1800,
        }
    }

    fn report(waiting_bulk: u64) -> SenderReport {
        SenderReport {
            provider: provider("p"),
            worker: "w".into(),
            at: at(60),
            quota_qps: 60.0,
            effective_qps: 60.0,
            in_flight: 0,
            waiting_urgent: 0,
            waiting_bulk,
            deferred: 0,
            suspended: None,
            since: None,
            next_probe: None,
            rates: vec![],
        }
    }

    fn view(batch: Batch, report: SenderReport) -> BatchView {
        BatchView::of(batch, &[report], at(61))
    }

    #[test]
    fn a_batch_that_runs_has_an_end_in_sight() {
        let shown = view(batch(Some(9600)), report(6000));
        assert_eq!((shown.state, shown.left, shown.eta_seconds), (BatchState::Running, Some(6000), Some(100)));
        assert_eq!((shown.pace, shown.why), (Some(60.0), None));
    }

    #[test]
    fn a_batch_of_unknown_size_is_over_when_its_lane_is() {
        let shown = view(batch(None), report(600));
        assert_eq!((shown.left, shown.over, shown.eta_seconds), (None, 3600, Some(10)));
        let at_its_end = view(batch(None), report(0));
        assert_eq!((at_its_end.state, at_its_end.why.as_deref()), (BatchState::Running, Some(IDLE)));
        let later = BatchView::of(batch(None), &[SenderReport { at: at(91), ..report(0) }], at(91));
        assert_eq!((later.state, later.eta_seconds, later.why.as_deref()), (BatchState::Idle, None, Some(IDLE)));
    }

    #[test]
    fn what_was_settled_long_ago_or_in_a_moment_is_no_pace() {
        let shown = BatchView::of(batch(Some(9600)), &[report(6000)], at(90));
        assert_eq!(shown.pace, Some(60.0));
        let shown = BatchView::of(batch(Some(9600)), &[report(6000)], at(91));
        assert_eq!(shown.pace, None);
        let moment = Batch { first_settled_at: Some(at(58)), ..batch(Some(9600)) };
        assert_eq!(view(moment, report(6000)).pace, None);
    }

    #[test]
    fn what_is_left_may_wait_somewhere_else_than_in_the_lane() {
        let check = |waiting: u64, deferred: u64, expected: Result<u64, &str>| {
            let shown = view(batch(Some(9600)), SenderReport { deferred, ..report(waiting) });
            assert_eq!(
                shown.eta_seconds.ok_or(shown.why.as_deref().unwrap_or_default()),
                expected,
                "{waiting} and {deferred}"
            );
        };
        check(0, 6000, Err("6000 jobs wait for their time or their next try"));
        check(2000, 4000, Err("4000 jobs wait for their time or their next try"));
        check(5900, 100, Ok(100));
        check(2000, 0, Ok(100));
        check(0, 0, Err("6000 jobs are in no queue: not put in yet, or settled just now"));
    }

    #[test]
    fn a_provider_of_which_nothing_is_left_and_one_that_there_is_not_hinder_no_end() {
        let part = |name: &str, jobs: u64| Part { provider: provider(name), lane: Lane::Bulk, jobs: Some(jobs) };
        let both = Batch {
            parts: vec![part("p", 9000), part("done", 600)],
            settled: BTreeMap::from([(Outcome::Dismissed, 3600), (Outcome::Invalid, 1)]),
            settled_by_provider: BTreeMap::from([
                (provider("p"), 3000),
                (provider("done"), 600),
                (provider("misspelt"), 1),
            ]),
            ..batch(Some(9601))
        };
        let paused =
            SenderReport { provider: provider("done"), suspended: Some(SuspensionReason::Paused), ..report(0) };
        let shown = BatchView::of(both.clone(), &[paused, report(6000)], at(61));
        assert_eq!((shown.eta_seconds.is_some(), shown.why), (true, None));
        let alone = BatchView::of(both, &[report(6000)], at(61));
        assert_eq!((alone.eta_seconds.is_some(), alone.why), (true, None));
    }

    #[test]
    fn failed_is_what_nobody_wanted() {
        let settled = Outcome::ALL.into_iter().map(|outcome| (outcome, 1)).collect();
        assert_eq!(view(Batch { settled, ..batch(None) }, report(1)).failed, 4);
    }

    #[test]
    fn where_nothing_is_sent_the_reason_stands_for_the_end() {
        let check = |report: SenderReport, expected: &str| {
            let shown = view(batch(Some(9600)), report);
            assert_eq!((shown.eta_seconds, shown.why.as_deref()), (None, Some(expected)));
        };
        let suspended = Some(SuspensionReason::Credentials);
        check(
            SenderReport { suspended, since: Some(at(59)), ..report(1) },
            "p is suspended (credentials) since 1970-01-01T00:00:59Z",
        );
        check(SenderReport { suspended: Some(SuspensionReason::Paused), ..report(1) }, "p is paused");
        check(SenderReport { at: at(30), ..report(1) }, "no worker sends for p");
        let other = SenderReport { provider: provider("q"), ..report(1) };
        check(other, "no worker sends for p");
    }

    #[test]
    fn a_batch_is_over_when_nothing_is_left_and_cancelled_when_somebody_asked() {
        let act = Act { by: "me".into(), why: None, at: at(50) };
        let check = |size: u64, cancelled: Option<Act>, expected: BatchState| {
            let shown = view(Batch { cancelled, ..batch(Some(size)) }, report(1));
            assert_eq!((shown.state, shown.eta_seconds.is_some()), (expected, size > 3600));
        };
        check(3600, None, BatchState::Finished);
        check(3600, Some(act.clone()), BatchState::Cancelled);
        check(3601, Some(act), BatchState::Cancelling);
        check(3601, None, BatchState::Running);
    }
}
