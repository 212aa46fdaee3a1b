//! What the metrics say of one provider at this moment, in one piece.

use jiff::Timestamp;
use serde::Serialize;

use crate::model::ids::ProviderName;
use crate::model::job::Lane;
use crate::model::suspension::SuspensionReason;

/// Why nothing is sent to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspended {
    pub reason: SuspensionReason,
    pub since: Timestamp,
    /// When it is tried again; None while that is under way.
    pub next_probe: Option<Timestamp>,
}

/// Whether a provider takes what its quota allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderHealth {
    Ok,
    /// It is sent to at less than its quota.
    Throttled,
    Suspended,
}

/// Jobs that are not on the wire, in their queues and at hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Waiting {
    pub urgent: u64,
    pub bulk: u64,
}

impl Waiting {
    pub(super) fn of(&mut self, lane: Lane) -> &mut u64 {
        match lane {
            Lane::Urgent => &mut self.urgent,
            Lane::Bulk => &mut self.bulk,
        }
    }
}

/// One provider, as `/api/status` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProviderStatus {
    pub name: ProviderName,
    pub health: ProviderHealth,
    pub suspended: Option<SuspensionReason>,
    /// Since when it is suspended for this reason.
    pub since: Option<Timestamp>,
    pub next_probe: Option<Timestamp>,
    pub quota_qps: f64,
    pub effective_qps: f64,
    pub in_flight: i64,
    /// None where another replica is the active sender.
    pub waiting: Option<Waiting>,
}
