//! One provider account as the pipeline sees it: all that outlives a connection to the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::books::{Books, Repeats};
use super::gate::Gate;
use super::health::Health;
use super::lately::Lately;
use super::limbo::Limbo;
use super::outlet::{Change, Outlet, Verb};
use super::shortage::Shortages;
use super::stamp::Stamps;
use crate::model::ids::ProviderName;
use crate::model::job::Lane;
use crate::model::result::DismissResult;
use crate::policy::decide::RetryPolicy;
use crate::ports::broker::{BrokerError, Delivery};
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
    pub books: Books,
    pub limbo: Arc<Limbo>,
}

impl Common {
    pub fn knows(&self, provider: &ProviderName) -> bool {
        self.providers.contains(provider)
    }

    /// Tells everybody that a job is over: its result is in the hands of the queue.
    pub fn settled(&self, result: &DismissResult) {
        self.meter.settled(result);
        tell(result);
    }
}

/// Whether a provider is still sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Active,
    /// What its lanes still hold is settled as `rejected`.
    Retired,
}

/// What the configuration says of one provider, as one value: an attempt is made under one of them from end to end.
pub struct Terms {
    /// The same one as before unless its own settings changed.
    pub provider: Arc<dyn Provider>,
    pub transport: Arc<dyn Transport>,
    /// New with the credentials: a token that comes for the old ones is lost with them.
    pub stamps: Arc<Stamps>,
    /// Of one attempt.
    pub timeout: Duration,
    pub max_in_flight: usize,
    pub service: Service,
    pub retry: RetryPolicy,
}

/// How one provider is sent to.
pub struct Account {
    pub name: ProviderName,
    terms: watch::Sender<Arc<Terms>>,
    pub gate: Arc<Gate>,
    pub outlet: Outlet,
    pub lately: Arc<Lately>,
    pub health: Health,
    pub in_hand: InHand,
    pub shortages: Shortages,
    pub common: Common,
}

impl Account {
    pub fn new(name: ProviderName, terms: Terms, gate: Gate, common: Common) -> Self {
        Self {
            health: Health::new(name.clone(), common.clone()),
            name,
            terms: watch::Sender::new(Arc::new(terms)),
            gate: Arc::new(gate),
            outlet: Outlet::new(common.clock.clone()),
            lately: Arc::default(),
            in_hand: InHand::default(),
            shortages: Shortages::default(),
            common,
        }
    }

    /// The terms at present.
    pub fn terms(&self) -> Arc<Terms> {
        self.terms.borrow().clone()
    }

    /// Replaces the terms; attempts that are under way end under theirs.
    pub fn reconfigure(&self, terms: Terms) {
        let before = self.terms.send_replace(Arc::new(terms));
        if !self.speaks_as(&before) {
            self.health.reconfigured();
        }
    }

    /// Ends a delivery, sooner or later. Nothing is sent while that is refused.
    pub async fn end(&self, delivery: Delivery, verb: Verb<'_>) -> Result<(), BrokerError> {
        let tell = |change: Change| {
            self.common.limbo.stop_ageing(self.common.clock.elapsed());
            self.health.storage(&change);
        };
        self.outlet.end(delivery, verb, &tell).await
    }

    /// Tells everybody that a job of this provider is over.
    pub fn settled(&self, result: &DismissResult) {
        self.common.settled(result);
        if self.common.books.repeats == Repeats::Answered {
            self.lately.note(result, self.common.clock.elapsed());
        }
    }

    /// Whether the provider's own settings are still those of `terms`.
    pub fn speaks_as(&self, terms: &Terms) -> bool {
        Arc::ptr_eq(&self.terms.borrow().provider, &terms.provider)
    }
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

/// One line for each job that is over.
fn tell(result: &DismissResult) {
    tracing::info!(
        job_id = %result.job_id,
        batch_id = result.batch_id.as_ref().map(|id| id.as_str()),
        provider = result.provider.as_ref().map(|name| name.as_str()),
        room_id = result.room_id.as_ref().map(|id| id.as_str()),
        request_id = result.request_id.as_ref().map(|id| id.as_str()),
        attempt = result.attempts,
        error = result.error.as_ref().map(|fault| format!("{}: {}", fault.code, fault.message)),
        "{}",
        result.outcome
    );
}
