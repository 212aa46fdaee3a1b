//! One provider account as the pipeline sees it: all that outlives a connection to the queue.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::gate::Gate;
use super::limbo::Limbo;
use super::stamp::Stamps;
use crate::model::ids::ProviderName;
use crate::model::job::Lane;
use crate::model::suspension::SuspensionReason;
use crate::policy::breaker::{Breaker, Event};
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
    pub common: Common,
    breaker: Mutex<Breaker>,
    in_hand: [AtomicU64; 2],
}

/// Whether a request is the one that tries whether a suspended provider is back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Ordinary,
    Probe,
}

/// The configured half of an [`Account`].
pub struct AccountSettings {
    pub name: ProviderName,
    pub provider: Arc<dyn Provider>,
    pub transport: Arc<dyn Transport>,
    pub timeout: Duration,
    pub max_in_flight: usize,
    pub service: Service,
    pub retry: RetryPolicy,
    pub gate: Gate,
}

impl Account {
    pub fn new(settings: AccountSettings, common: Common) -> Self {
        common.meter.register(&settings.name, settings.gate.qps());
        Self {
            name: settings.name,
            provider: settings.provider,
            transport: settings.transport,
            timeout: settings.timeout,
            max_in_flight: settings.max_in_flight,
            service: settings.service,
            retry: settings.retry,
            gate: Arc::new(settings.gate),
            stamps: Stamps::default(),
            limbo: Limbo::default(),
            breaker: Mutex::default(),
            in_hand: Default::default(),
            common,
        }
    }

    /// Why nothing is sent to it, if nothing is.
    pub fn suspended(&self) -> Option<SuspensionReason> {
        self.breaker().suspended()
    }

    /// How many jobs of a lane this replica holds: at hand, on the wire, or being settled.
    pub fn in_hand(&self, lane: Lane) -> u64 {
        self.in_hand[lane as usize].load(Ordering::Relaxed)
    }

    pub(super) fn set_in_hand(&self, lane: Lane, jobs: usize) {
        self.in_hand[lane as usize].store(jobs as u64, Ordering::Relaxed);
    }

    /// Takes in what a request showed of the provider's health, and tells when that changes.
    pub fn observe(&self, role: Role, event: Event) {
        let now = self.common.clock.elapsed();
        let (before, after) = {
            let mut breaker = self.breaker();
            let before = breaker.suspended();
            match role {
                Role::Ordinary => breaker.observe(event, now),
                Role::Probe => breaker.observe_probe(event, now),
            }
            (before, breaker.suspended())
        };
        if before == after {
            return;
        }
        self.common.meter.suspended(&self.name, after);
        match after {
            Some(reason) => tracing::error!(provider = %self.name, %reason, "provider suspended: its jobs stay queued"),
            None => tracing::info!(provider = %self.name, "provider is back: sending again"),
        }
    }

    pub(super) fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
