//! One provider account as the pipeline sees it: all that outlives a connection to the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::gate::Gate;
use super::health::Health;
use super::limbo::Limbo;
use super::stamp::Stamps;
use crate::model::ids::ProviderName;
use crate::model::job::Lane;
use crate::policy::decide::RetryPolicy;
use crate::ports::clock::Clock;
use crate::ports::meter::Meter;
use crate::ports::transport::Transport;
use crate::provider::Provider;

/// What every part of the pipeline shares.
#[derive(Clone)]
pub struct Common {
    pub clock: Clock,
    pub meter: Meter,
    /// The name of this replica, as results carry it.
    pub worker: Arc<str>,
    /// The configured providers.
    pub providers: Arc<[ProviderName]>,
    /// A number from 0 to 1, new at each call.
    pub jitter: fn() -> f64,
}

impl Common {
    pub fn knows(&self, provider: &ProviderName) -> bool {
        self.providers.contains(provider)
    }
}

/// Whether a provider is still sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Active,
    /// What its lanes still hold is settled as `rejected`.
    Retired,
}

/// How one provider is sent to.
pub struct Account {
    pub name: ProviderName,
    pub provider: Arc<dyn Provider>,
    pub transport: Arc<dyn Transport>,
    /// Of one attempt.
    pub timeout: Duration,
    pub max_in_flight: usize,
    pub service: Service,
    pub retry: RetryPolicy,
    pub gate: Arc<Gate>,
    pub stamps: Stamps,
    pub limbo: Limbo,
    pub health: Health,
    pub in_hand: InHand,
    pub common: Common,
}

/// How many jobs this replica holds, by lane: at hand, on the wire, or being settled.
#[derive(Default)]
pub struct InHand([AtomicU64; 2]);

impl InHand {
    pub fn get(&self, lane: Lane) -> u64 {
        self.0[lane as usize].load(Ordering::Relaxed)
    }

    pub fn set(&self, lane: Lane, jobs: usize) {
        self.0[lane as usize].store(jobs as u64, Ordering::Relaxed);
    }
}
