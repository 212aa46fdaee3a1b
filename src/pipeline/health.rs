//! The health of one provider, as its requests show it and its metrics tell it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::account::Common;
use super::controls;
use crate::model::ids::ProviderName;
use crate::model::ledger::Act;
use crate::model::suspension::SuspensionReason;
use crate::policy::breaker::{Admission, Breaker, Event, Suspension};
use crate::ports::meter::Suspended;

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
    /// An operator's, before anything that the breaker knows; that goes on beneath it.
    pause: watch::Sender<Option<Act>>,
}

impl Health {
    pub fn new(provider: ProviderName, common: Common) -> Self {
        Self { provider, common, breaker: Mutex::default(), news: Notify::new(), pause: watch::Sender::default() }
    }

    /// Why nothing is sent to the provider, if nothing is.
    pub fn suspended(&self) -> Option<SuspensionReason> {
        if self.is_paused() { Some(SuspensionReason::Paused) } else { self.breaker().suspended() }
    }

    /// Whether an operator asked that nothing is sent.
    pub fn is_paused(&self) -> bool {
        self.pause.borrow().is_some()
    }

    async fn resumed(&self) {
        let mut pauses = self.pauses();
        let _none = pauses.wait_for(Option::is_none).await;
    }

    /// Tells of pauses and their ends.
    pub fn pauses(&self) -> watch::Receiver<Option<Act>> {
        self.pause.subscribe()
    }

    /// What operators ask for at present: a pause, or none.
    pub fn pause(&self, wanted: Option<Act>) {
        let mut before = wanted.clone();
        let is_new = self.pause.send_if_modified(|pause| {
            std::mem::swap(pause, &mut before);
            *pause != before
        });
        if is_new {
            self.show();
            controls::tell(&self.provider, before.as_ref(), wanted.as_ref());
        }
    }

    /// Waits until a request may go out, and says in which role. Cancel-safe; meant for one dispatcher.
    pub async fn admitted(&self) -> Role {
        loop {
            self.resumed().await;
            let admission = self.breaker().admit(self.common.clock.elapsed());
            match admission {
                Admission::Go => return Role::Ordinary,
                Admission::Probe => {
                    self.show();
                    return Role::Probe;
                }
                Admission::Hold => self.news.notified().await,
                Admission::Wait(until) => {
                    tokio::select! {
                        biased;
                        () = self.common.clock.sleep_until(until) => {}
                        () = self.news.notified() => {}
                    }
                }
            }
        }
    }

    /// Whether what was admitted in this role may still go out.
    pub fn still_admits(&self, role: Role) -> bool {
        match role {
            Role::Ordinary | Role::Probe if self.is_paused() => false,
            Role::Ordinary => self.breaker().is_closed(),
            Role::Probe => self.breaker().is_probing(),
        }
    }

    /// Takes in what a request showed, and tells when the provider is suspended or back.
    pub fn observe(&self, role: Role, event: Event) {
        let now = self.common.clock.elapsed();
        let (before, after) = {
            let mut breaker = self.breaker();
            let before = breaker.suspension();
            match role {
                Role::Ordinary => breaker.observe(event, now),
                Role::Probe => breaker.observe_probe(event, now),
            }
            (before, breaker.suspension())
        };
        self.news.notify_one();
        if before == after {
            return;
        }
        self.show();
        let reason = |suspension: &Suspension| suspension.reason;
        let provider = &self.provider;
        match (before, after) {
            (before, Some(Suspension { reason: now, .. })) if before.as_ref().map(reason) != Some(now) => {
                tracing::error!(%provider, reason = %now, "suspended: its jobs stay queued");
            }
            (Some(Suspension { reason, since, .. }), None) => {
                let lasted = now.saturating_sub(since);
                tracing::info!(%provider, %reason, "back after {lasted:.1?}: sending again");
            }
            (_, Some(_)) | (None, None) => {}
        }
    }

    /// The provider's settings were replaced.
    pub fn reconfigured(&self) {
        self.breaker().reconfigured(self.common.clock.elapsed());
        self.news.notify_one();
    }

    /// A request of this role was not sent after all. Without effect once its outcome was observed.
    pub fn unsent(&self, role: Role) {
        match role {
            Role::Ordinary => {}
            Role::Probe => {
                self.breaker().probe_unsent(self.common.clock.elapsed());
                self.show();
                self.news.notify_one();
            }
        }
    }

    fn show(&self) {
        let suspension = self.breaker().suspension();
        let (wall, now) = (self.common.clock.now(), self.common.clock.elapsed());
        let paused = self.pause.borrow().as_ref().map(|act| Suspended {
            reason: SuspensionReason::Paused,
            since: act.at,
            next_probe: None,
        });
        let known = suspension.map(|Suspension { reason, since, next_probe }| Suspended {
            reason,
            since: wall - now.saturating_sub(since),
            next_probe: next_probe.map(|moment| wall + moment.saturating_sub(now)),
        });
        self.common.meter.suspended(&self.provider, paused.or(known));
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
