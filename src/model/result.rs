//! What is written down of a job that is over.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::decode::Readable;
use super::ids::{AppId, BatchId, JobId, ProviderName, RequestId, RoomId};
use super::job::{DismissJob, Lane};
use super::progress::{AttemptRecord, Progress};
use super::verdict::Fault;

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

impl DismissResult {
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
