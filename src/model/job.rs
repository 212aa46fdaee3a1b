//! The job: one room to dismiss, as a producer asks for it.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::{AppId, BatchId, JobId, ProviderName, RoomId};

/// A body over this many bytes is refused unread.
pub const MAX_BODY: usize = 64 * 1024;
/// The longest `reason` or `requested_by`, in bytes.
pub const MAX_NOTE: usize = 512;
/// How many labels a job may have.
pub const MAX_LABELS: usize = 16;
/// The longest label name or value, in bytes.
pub const MAX_LABEL: usize = 128;

/// Urgent jobs go first whenever a token is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    Urgent,
    #[default]
    Bulk,
}

impl Lane {
    /// In the order in which they are served.
    pub const ALL: [Lane; 2] = [Lane::Urgent, Lane::Bulk];

    pub fn as_str(self) -> &'static str {
        match self {
            Lane::Urgent => "urgent",
            Lane::Bulk => "bulk",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.as_str() == text)
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One room to dismiss. Made from bytes only by [`super::decode::decode`]; serialised as producers write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DismissJob {
    pub provider: ProviderName,
    pub app_id: AppId,
    pub room_id: RoomId,
    pub job_id: JobId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<BatchId>,
    /// How many jobs the batch has, if the producer tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u64>,
    pub lane: Lane,
    /// Never sent earlier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Not sent at or after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl DismissJob {
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}
