//! What the ledger keeps: results for good, batches, and what operators asked for.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::{AppId, BatchId, JobId, ProviderName, RequestId, RoomId};
use super::job::Lane;
use super::result::{DismissResult, Outcome};
use super::suspension::SuspensionReason;

/// Who asked for something, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    pub by: String,
    pub why: Option<String>,
    pub at: Timestamp,
}

/// Jobs of a batch that go the same way; `jobs` is None where nobody told how many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub provider: ProviderName,
    pub lane: Lane,
    pub jobs: Option<u64>,
}

/// What is told of a batch before it is settled: by whoever puts it in, or by the first of its jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBatch {
    pub id: BatchId,
    pub size: Option<u64>,
    pub parts: Vec<Part>,
    pub at: Timestamp,
}

/// How a batch stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Batch {
    pub id: BatchId,
    /// None where neither a registration nor a job told it.
    pub size: Option<u64>,
    pub parts: Vec<Part>,
    pub created_at: Timestamp,
    pub cancelled: Option<Act>,
    /// Jobs by how their last run ended; only outcomes that occurred.
    pub settled: BTreeMap<Outcome, u64>,
    /// The same by provider; results without one are left out.
    pub settled_by_provider: BTreeMap<ProviderName, u64>,
    pub first_settled_at: Option<Timestamp>,
    pub last_settled_at: Option<Timestamp>,
    /// Jobs settled in the [`RECENT`] up to `last_settled_at`.
    pub recent: u64,
}

/// Over how long a batch's own pace is measured.
pub const RECENT: jiff::SignedDuration = jiff::SignedDuration::from_secs(30);

impl Batch {
    /// How many of its jobs are over, in whatever way.
    pub fn over(&self) -> u64 {
        self.settled.values().sum()
    }

    /// How many are not; None while the size is not known.
    pub fn left(&self) -> Option<u64> {
        self.size.map(|size| size.saturating_sub(self.over()))
    }
}

/// What operators asked for, as every replica obeys it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Controls {
    pub cancelled: std::collections::BTreeSet<BatchId>,
    pub paused: BTreeMap<ProviderName, Act>,
}

/// What the active sender of a provider tells of itself, for the other replicas and the commands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SenderReport {
    pub provider: ProviderName,
    pub worker: String,
    pub at: Timestamp,
    pub quota_qps: f64,
    pub effective_qps: f64,
    pub in_flight: u64,
    /// In queues and at hand, by lane.
    pub waiting_urgent: u64,
    pub waiting_bulk: u64,
    /// On the ladder, all providers' jobs together.
    pub deferred: u64,
    pub suspended: Option<SuspensionReason>,
    pub since: Option<Timestamp>,
    pub next_probe: Option<Timestamp>,
    /// Requests in each of the last spans of [`RATE_SPAN`], the oldest first.
    pub rates: Vec<u32>,
}

/// How long one entry of [`SenderReport::rates`] is.
pub const RATE_SPAN: jiff::SignedDuration = jiff::SignedDuration::from_secs(5);

/// What of the ledger is asked for; everything named must agree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryFilter {
    pub provider: Option<ProviderName>,
    pub app: Option<AppId>,
    pub room: Option<RoomId>,
    pub batch: Option<BatchId>,
    pub job: Option<JobId>,
    /// Of any attempt.
    pub request_id: Option<RequestId>,
    /// Empty: any.
    pub outcomes: Vec<Outcome>,
    /// Settled at or after.
    pub since: Option<Timestamp>,
    /// Settled before.
    pub until: Option<Timestamp>,
}

/// Where a page of history ends: the next one begins behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub settled_at: Timestamp,
    pub job: JobId,
    pub run: u32,
}

impl Cursor {
    /// Behind this result.
    pub fn behind(result: &DismissResult) -> Self {
        Self { settled_at: result.settled_at, job: result.job_id.clone(), run: result.run }
    }
}
