//! What is known of a job on its way: travels with it between attempts, never in its body.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::RequestId;
use super::verdict::{Fault, VerdictLabel};

/// How many attempts the log keeps: the last ones.
pub const MAX_LOG: usize = 32;

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
    /// Not before this moment; absent when it may be sent at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Return::is_first")]
    pub returns: Return,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
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
            due: None,
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

    /// What stands in `json`, brought into bounds: any producer may write it.
    pub fn read(json: &str) -> Option<Self> {
        let mut progress: Self = serde_json::from_str(json).ok()?;
        progress.run = progress.run.max(1);
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
    fn the_request_id_is_the_last_one_given() {
        let mut progress = Progress::received(Timestamp::UNIX_EPOCH);
        progress.note(record(VerdictLabel::Transient, Some("first")));
        progress.note(record(VerdictLabel::Transient, None));
        assert_eq!(progress.request_id().unwrap().as_str(), "first");
        assert_eq!(progress.transient, 2);
    }
}
