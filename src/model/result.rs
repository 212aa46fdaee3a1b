//! What is written down of a job that is over.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::decode::Readable;
use super::ids::{AppId, BatchId, JobId, ProviderName, RequestId, RoomId};
use super::job::{DismissJob, Lane};
use super::progress::{AttemptRecord, MAX_LOG, Progress, Return};
use super::verdict::{Fault, VerdictLabel};

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Dismissed,
    AlreadyGone,
    Rejected,
    Exhausted,
    Expired,
    Cancelled,
    Invalid,
}

impl Outcome {
    pub const ALL: [Outcome; 7] = [
        Outcome::Dismissed,
        Outcome::AlreadyGone,
        Outcome::Rejected,
        Outcome::Exhausted,
        Outcome::Expired,
        Outcome::Cancelled,
        Outcome::Invalid,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Dismissed => "dismissed",
            Outcome::AlreadyGone => "already_gone",
            Outcome::Rejected => "rejected",
            Outcome::Exhausted => "exhausted",
            Outcome::Expired => "expired",
            Outcome::Cancelled => "cancelled",
            Outcome::Invalid => "invalid",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }

    /// Whether the room may still be open although nobody wanted that.
    pub fn is_failure(self) -> bool {
        match self {
            Outcome::Rejected | Outcome::Exhausted | Outcome::Expired | Outcome::Invalid => true,
            Outcome::Dismissed | Outcome::AlreadyGone | Outcome::Cancelled => false,
        }
    }

    /// Whether the job also goes to the dead letters, for people to look at.
    pub fn is_dead_letter(self) -> bool {
        match self {
            Outcome::Rejected | Outcome::Exhausted | Outcome::Invalid => true,
            Outcome::Dismissed | Outcome::AlreadyGone | Outcome::Expired | Outcome::Cancelled => false,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a job ended and why; the cause is absent where there is nothing to explain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    pub outcome: Outcome,
    pub error: Option<Fault>,
}

/// The terminal result of one run of one job, as it is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DismissResult {
    pub job_id: JobId,
    pub batch_id: Option<BatchId>,
    /// None only where the outcome is `invalid`, like the three fields that follow.
    pub provider: Option<ProviderName>,
    pub app_id: Option<AppId>,
    pub room_id: Option<RoomId>,
    pub lane: Option<Lane>,
    pub outcome: Outcome,
    /// The last one that the provider gave.
    pub request_id: Option<RequestId>,
    /// Of the last attempt.
    pub http_status: Option<u16>,
    pub error: Option<Fault>,
    pub attempts: u32,
    pub run: u32,
    pub attempt_log: Vec<AttemptRecord>,
    pub attempts_omitted: u32,
    pub received_at: Timestamp,
    pub settled_at: Timestamp,
    pub reason: Option<String>,
    pub requested_by: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// The replica that settled it.
    pub worker: String,
}

/// Where an attempt stands among those of its run: two of one moment have an order too.
type Place<'r> = (Timestamp, u64, Option<&'r str>, &'static str, Option<u16>, Option<(&'r str, &'r str)>);

fn place(record: &AttemptRecord) -> Place<'_> {
    let error = record.error.as_ref().map(|error| (error.code.as_str(), error.message.as_str()));
    let request_id = record.request_id.as_ref().map(|id| id.as_str());
    (record.at, record.duration_ms, request_id, record.verdict.as_str(), record.http_status, error)
}

impl DismissResult {
    /// What was known of the job when it ended, as far as a result tells.
    pub fn progress(&self) -> Progress {
        let transient = self.attempt_log.iter().filter(|record| record.verdict == VerdictLabel::Transient).count();
        Progress {
            received_at: self.received_at,
            run: self.run,
            attempts: self.attempts,
            transient: u32::try_from(transient).unwrap_or(u32::MAX),
            disproved: 0,
            log: self.attempt_log.clone(),
            omitted: self.attempts_omitted,
            wait_ms: 0,
            returns: Return::First,
        }
    }

    /// Two results of one run, as after a crash, as one: `dismissed` stands before `already_gone` before others, and the
    /// earlier before the later; of the attempts of both the last are kept, and the others counted.
    pub fn joined(self, other: Self) -> Self {
        let rank = |result: &Self| match result.outcome {
            Outcome::Dismissed => (0, result.settled_at),
            Outcome::AlreadyGone => (1, result.settled_at),
            Outcome::Rejected | Outcome::Exhausted | Outcome::Expired | Outcome::Cancelled | Outcome::Invalid => {
                (2, result.settled_at)
            }
        };
        let (mut kept, other) = if rank(&other) < rank(&self) { (other, self) } else { (self, other) };
        let mut log: Vec<AttemptRecord> = kept.attempt_log.clone();
        log.extend(other.attempt_log.iter().filter(|record| !kept.attempt_log.contains(record)).cloned());
        log.sort_by(|one, another| place(one).cmp(&place(another)));
        // What one of them omitted may be what the other one holds: before the later beginning of a shortened log, whichever
        // knows of more counts.
        let (one, another) = (kept.known_from(), other.known_from());
        let from = one.max(another);
        let before = kept.attempts_before(from).max(other.attempts_before(from));
        let since = log.iter().filter(|record| from.is_none_or(|from| place(record) >= from)).count();
        kept.attempts = before.saturating_add(u32::try_from(since).unwrap_or(u32::MAX));
        log.drain(..log.len().saturating_sub(MAX_LOG));
        kept.attempts_omitted = kept.attempts.saturating_sub(u32::try_from(log.len()).unwrap_or(u32::MAX));
        kept.attempt_log = log;
        kept
    }

    /// Where the log begins, if there were attempts before.
    fn known_from(&self) -> Option<Place<'_>> {
        self.attempt_log.first().filter(|_| self.attempts_omitted > 0).map(place)
    }

    /// How many attempts there were before that, as far as is known here.
    fn attempts_before(&self, from: Option<Place<'_>>) -> u32 {
        let held = self.attempt_log.iter().filter(|record| from.is_some_and(|from| place(record) < from)).count();
        self.attempts_omitted.saturating_add(u32::try_from(held).unwrap_or(u32::MAX))
    }

    /// The result of a job that could be read.
    pub fn of(job: &DismissJob, progress: Progress, ending: Ending, settled_at: Timestamp, worker: &str) -> Self {
        let job = job.clone();
        let readable = Readable {
            provider: Some(job.provider),
            app_id: Some(job.app_id),
            room_id: Some(job.room_id),
            lane: Some(job.lane),
            batch_id: job.batch_id,
            reason: job.reason,
            requested_by: job.requested_by,
            labels: job.labels,
            ..Readable::default()
        };
        Self::of_readable(job.job_id, readable, progress, ending, settled_at, worker)
    }

    /// The result of something of which only parts could be read.
    pub fn of_readable(
        job_id: JobId,
        readable: Readable,
        progress: Progress,
        ending: Ending,
        settled_at: Timestamp,
        worker: &str,
    ) -> Self {
        Self {
            job_id,
            batch_id: readable.batch_id,
            provider: readable.provider,
            app_id: readable.app_id,
            room_id: readable.room_id,
            lane: readable.lane,
            outcome: ending.outcome,
            request_id: progress.request_id().cloned(),
            http_status: progress.last().and_then(|record| record.http_status),
            error: ending.error,
            attempts: progress.attempts,
            run: progress.run,
            attempts_omitted: progress.omitted,
            received_at: progress.received_at,
            attempt_log: progress.log,
            settled_at,
            reason: readable.reason,
            requested_by: readable.requested_by,
            labels: readable.labels,
            worker: worker.to_owned(),
        }
    }
}

#[cfg(test)]
#[path = "result_properties.rs"]
mod properties;
