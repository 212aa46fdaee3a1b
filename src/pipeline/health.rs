//! The health of one provider, as its requests show it and its metrics tell it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::account::Common;
use crate::model::ids::ProviderName;
use crate::model::suspension::SuspensionReason;
use crate::policy::breaker::{Admission, Breaker, Event};

/// Whether a request is the one that tries whether a suspended provider is back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Ordinary,
    Probe,
}

/// The breaker of one provider; outlives every connection to the queue.
pub struct Health {
    provider: ProviderName,
    common: Common,
    breaker: Mutex<Breaker>,
    /// The breaker has moved: whoever waits looks again.
    news: Notify,
}

impl Health {
    pub fn new(provider: ProviderName, common: Common) -> Self {
        Self { provider, common, breaker: Mutex::default(), news: Notify::new() }
    }

    /// Why nothing is sent to the provider, if nothing is.
    pub fn suspended(&self) -> Option<SuspensionReason> {
        self.breaker().suspended()
    }

    /// Waits until a request may go out, and says in which role. Cancel-safe; meant for one dispatcher.
    pub async fn admitted(&self) -> Role {
        loop {
            let admission = self.breaker().admit(self.common.clock.elapsed());
            match admission {
                Admission::Go => return Role::Ordinary,
                Admission::Probe => return Role::Probe,
                Admission::Hold => self.news.notified().await,
                Admission::Wait(until) => {
                    tokio::select! {
                        () = self.common.clock.sleep_until(until) => {}
                        () = self.news.notified() => {}
                    }
                }
            }
        }
    }

    /// Takes in what a request showed, and tells when the provider is suspended or back.
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
        self.news.notify_one();
        if before == after {
            return;
        }
        self.common.meter.suspended(&self.provider, after);
        match after {
            Some(reason) => tracing::error!(provider = %self.provider, %reason, "suspended: its jobs stay queued"),
            None => tracing::info!(provider = %self.provider, "back: sending again"),
        }
    }

    /// A request of this role was not sent after all. Without effect once its outcome was observed.
    pub fn unsent(&self, role: Role) {
        match role {
            Role::Ordinary => {}
            Role::Probe => {
                self.breaker().probe_unsent(self.common.clock.elapsed());
                self.news.notify_one();
            }
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
