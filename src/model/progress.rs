//! What is known of a job on its way: travels with it between attempts, never in its body.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::RequestId;
use super::verdict::{Fault, VerdictLabel};

/// How many attempts the log keeps: the last ones.
pub const MAX_LOG: usize = 32;

/// No retry may be configured to wait longer, in milliseconds: a day.
pub const MAX_WAIT_MS: u64 = 24 * 3600 * 1000;

/// One request that was sent to the dismiss call, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// When the request was sent.
    pub at: Timestamp,
    pub verdict: VerdictLabel,
    /// None if no reply came.
    pub http_status: Option<u16>,
    pub request_id: Option<RequestId>,
    pub error: Option<Fault>,
    /// From sending to the whole reply, or to giving up.
    pub duration_ms: u64,
}

/// When a job that comes back is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Return {
    /// Before the new jobs of its lane, if it was tried.
    #[default]
    First,
    /// Behind the jobs that wait in its lane by then.
    Last,
}

impl Return {
    fn is_first(&self) -> bool {
        *self == Return::First
    }
}

/// The state of a job that was received: attempts so far, and when it may go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub received_at: Timestamp,
    /// 1, one more after each redrive.
    pub run: u32,
    /// Requests sent, throttled ones included.
    pub attempts: u32,
    /// Those of them that count towards `retry.max_attempts`.
    pub transient: u32,
    /// Refusals of credentials or configuration that other jobs have disproved.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub disproved: u32,
    pub log: Vec<AttemptRecord>,
    /// How many attempts the log no longer holds.
    pub omitted: u32,
    /// How long it is to be left alone from when it is handed out next, in milliseconds. A length and not a moment: whoever
    /// hands it out, or gets it, may have another clock.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub wait_ms: u64,
    #[serde(default, skip_serializing_if = "Return::is_first")]
    pub returns: Return,
}

fn is_zero<T: Default + PartialEq>(count: &T) -> bool {
    *count == T::default()
}

impl Progress {
    /// A job just received for the first time.
    pub fn received(at: Timestamp) -> Self {
        Self {
            received_at: at,
            run: 1,
            attempts: 0,
            transient: 0,
            disproved: 0,
            log: Vec::new(),
            omitted: 0,
            wait_ms: 0,
            returns: Return::First,
        }
    }

    /// Notes an attempt; the oldest one leaves a full log.
    pub fn note(&mut self, record: AttemptRecord) {
        self.attempts = self.attempts.saturating_add(1);
        if record.verdict == VerdictLabel::Transient {
            self.transient = self.transient.saturating_add(1);
        }
        self.log.push(record);
        self.shorten(MAX_LOG);
    }

    /// With `wait` still to come, not a moment less.
    #[must_use]
    pub fn waiting(self, wait: Duration) -> Self {
        let wait_ms = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Self { wait_ms, ..self }
    }

    /// When so much time has passed.
    #[must_use]
    pub fn after(self, passed: Duration) -> Self {
        let wait = self.wait().saturating_sub(passed);
        self.waiting(wait)
    }

    /// What is left of its wait.
    pub fn wait(&self) -> Duration {
        Duration::from_millis(self.wait_ms)
    }

    /// What stands in `json`, brought into bounds: any producer may write it.
    pub fn read(json: &str) -> Option<Self> {
        let mut progress: Self = serde_json::from_str(json).ok()?;
        progress.run = progress.run.max(1);
        progress.wait_ms = progress.wait_ms.min(MAX_WAIT_MS);
        progress.shorten(MAX_LOG);
        Some(progress)
    }

    /// Leaves the last `most` attempts in the log.
    pub fn shorten(&mut self, most: usize) {
        let gone = self.log.len().saturating_sub(most);
        self.log.drain(..gone);
        self.omitted = self.omitted.saturating_add(u32::try_from(gone).unwrap_or(u32::MAX));
    }

    /// Whether it is read before the new jobs of its lane.
    pub fn goes_first(&self) -> bool {
        self.attempts > 0 && self.returns == Return::First
    }

    pub fn last(&self) -> Option<&AttemptRecord> {
        self.log.last()
    }

    /// The last request ID that the provider gave.
    pub fn request_id(&self) -> Option<&RequestId> {
        self.log.iter().rev().find_map(|record| record.request_id.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(verdict: VerdictLabel, id: Option<&str>) -> AttemptRecord {
        AttemptRecord {
            at: Timestamp::UNIX_EPOCH,
            verdict,
            http_status: None,
            request_id: id.map(|id| RequestId::parse(id).unwrap()),
            error: None,
            duration_ms: 1,
        }
    }

    #[test]
    fn a_full_log_keeps_the_last_and_counts_the_rest() {
        let mut progress = Progress::received(Timestamp::UNIX_EPOCH);
        for n in 0..40 {
            progress.note(record(VerdictLabel::Throttled, Some(&n.to_string())));
        }
        assert_eq!((progress.attempts, progress.log.len(), progress.omitted), (40, MAX_LOG, 8));
        assert_eq!(progress.request_id().unwrap().as_str(), "39");
        assert_eq!(progress.transient, 0, "a throttle costs no attempt");
    }

    #[test]
    fn a_log_that_somebody_else_wrote_is_bounded_too() {
        let mut progress = Progress::received(Timestamp::UNIX_EPOCH);
        progress.log = (0..50).map(|n| record(VerdictLabel::Transient, Some(&n.to_string()))).collect();
        progress.run = 0;
        let read = Progress::read(&serde_json::to_string(&progress).unwrap()).unwrap();
        assert_eq!((read.log.len(), read.omitted, read.run), (MAX_LOG, 18, 1));
        assert_eq!(read.request_id().unwrap().as_str(), "49");
        assert_eq!(Progress::read("{}"), None);
    }

    #[test]
    fn a_wait_that_somebody_else_wrote_is_bounded_and_a_moment_is_none() {
        let check = |field: &str, expected: u64| {
            let json =
                r#"{"received_at":"2026-01-31T18:00:00Z","run":1,"attempts":1,"transient":1,"log":[],"omitted":0"#;
            assert_eq!(Progress::read(&format!("{json}{field}}}")).unwrap().wait_ms, expected, "{field}");
        };
        check("", 0);
        check(r#","wait_ms":400"#, 400);
        check(r#","wait_ms":18446744073709551615"#, MAX_WAIT_MS);
        // As earlier versions wrote it.
        check(r#","due":"9999-12-30T22:00:00Z""#, 0);
    }

    #[test]
    fn a_wait_is_never_told_shorter_than_it_is() {
        let waiting = |wait| Progress::received(Timestamp::UNIX_EPOCH).waiting(wait);
        let check = |nanos: u64, expected: u64| {
            assert_eq!(waiting(Duration::from_nanos(nanos)).wait_ms, expected, "{nanos} ns");
        };
        check(0, 0);
        check(1, 1);
        check(1_000_000, 1);
        check(1_000_001, 2);
        assert_eq!(waiting(Duration::MAX).wait_ms, u64::MAX);
        let left = |passed| waiting(Duration::from_millis(400)).after(passed).wait_ms;
        assert_eq!((left(Duration::ZERO), left(Duration::from_millis(399)), left(Duration::MAX)), (400, 1, 0));
    }

    #[test]
    fn the_request_id_is_the_last_one_given() {
        let mut progress = Progress::received(Timestamp::UNIX_EPOCH);
        progress.note(record(VerdictLabel::Transient, Some("first")));
        progress.note(record(VerdictLabel::Transient, None));
        assert_eq!(progress.request_id().unwrap().as_str(), "first");
        assert_eq!(progress.transient, 2);
    }
}
