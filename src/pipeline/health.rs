//! The health of one provider, as its requests show it and its metrics tell it.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};

use super::account::Common;
use super::controls;
use super::outlet::Change;
use crate::model::ids::{JobId, ProviderName};
use crate::model::ledger::Act;
use crate::model::suspension::SuspensionReason;
pub use crate::policy::breaker::Role;
use crate::policy::breaker::{Admission, Breaker, Event, Suspension};
use crate::policy::doubt::{Blame, Refusal};
use crate::ports::meter::Suspended;

/// So long a refused job waits in our hands for another one to show whose fault it is, if none is on its way.
const JUDGEMENT_WAIT: Duration = Duration::from_secs(2);

/// The breaker of one provider; outlives every connection to the queue.
pub struct Health {
    provider: ProviderName,
    common: Common,
    breaker: Mutex<Breaker>,
    /// The breaker has moved: whoever waits looks again.
    news: Notify,
    /// An operator's, before anything that the breaker knows; that goes on beneath it.
    pause: watch::Sender<Option<Act>>,
    /// Since when the queue refuses what we publish, if it does.
    unstored: watch::Sender<Option<Duration>>,
    /// A refusal may have been judged: whoever waits for that looks again.
    judgements: Notify,
    unjudged: AtomicUsize,
}

impl Health {
    pub fn new(provider: ProviderName, common: Common) -> Self {
        Self {
            provider,
            common,
            breaker: Mutex::default(),
            news: Notify::new(),
            pause: watch::Sender::default(),
            unstored: watch::Sender::default(),
            judgements: Notify::new(),
            unjudged: AtomicUsize::new(0),
        }
    }

    /// Why nothing is sent to the provider, if nothing is.
    pub fn suspended(&self) -> Option<SuspensionReason> {
        if self.is_paused() {
            return Some(SuspensionReason::Paused);
        }
        let unstored = self.unstored.borrow().map(|_| SuspensionReason::Results);
        self.breaker().suspended().or(unstored)
    }

    /// The suspension during which lanes are not consumed at all.
    pub fn refusing(&self) -> Option<SuspensionReason> {
        if self.is_paused() { Some(SuspensionReason::Paused) } else { self.breaker().refusing() }
    }

    /// Whether an operator asked that nothing is sent.
    pub fn is_paused(&self) -> bool {
        self.pause.borrow().is_some()
    }

    async fn resumed(&self) {
        let (mut pauses, mut unstored) = (self.pauses(), self.unstored.subscribe());
        while self.is_held() {
            pauses.wait_for(Option::is_none).await.ok();
            unstored.wait_for(Option::is_none).await.ok();
        }
    }

    /// Whether nothing is to be sent, whatever the provider says.
    fn is_held(&self) -> bool {
        self.is_paused() || self.is_unstored()
    }

    /// Whether the queue refuses what we publish.
    fn is_unstored(&self) -> bool {
        self.unstored.borrow().is_some()
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
            Role::Ordinary | Role::Probe if self.is_held() => false,
            Role::Ordinary => self.breaker().is_closed(),
            Role::Probe => self.breaker().is_probing(),
        }
    }

    /// Takes in what a request showed, and tells when the provider is suspended or back.
    pub fn observe(&self, role: Role, event: Event) {
        self.change(|breaker, now| match role {
            Role::Ordinary => breaker.observe(event, now),
            Role::Probe => breaker.observe_probe(event, now),
        });
    }

    /// Takes in that a job was refused; the judgement says whose that is.
    pub fn refused(&self, role: Role, refusal: &Refusal<'_>) -> Option<Blame> {
        self.change(|breaker, now| breaker.observe_refusal(refusal, role, now))
    }

    /// Waits for the judgement on a refusal that is in doubt.
    pub async fn judgement(&self, job: &JobId) -> Blame {
        let _unjudged = Unjudged::of(self);
        let mut deadline = self.common.clock.elapsed() + JUDGEMENT_WAIT;
        loop {
            let mut judged = pin!(self.judgements());
            judged.as_mut().enable();
            if let Some(blame) = self.breaker().blame(job) {
                return blame;
            }
            tokio::select! {
                biased;
                () = judged => {}
                () = self.common.clock.sleep_until(deadline) => {
                    self.change(|breaker, now| breaker.declare(now));
                    deadline += JUDGEMENT_WAIT;
                }
            }
        }
    }

    /// How many jobs wait for a judgement.
    pub fn unjudged(&self) -> usize {
        self.unjudged.load(Ordering::Relaxed)
    }

    /// Resolves when a job begins to wait for a judgement, and when there may be one.
    pub fn judgements(&self) -> Notified<'_> {
        self.judgements.notified()
    }

    /// What we publish is refused, or taken again.
    pub fn storage(&self, change: &Change) {
        let provider = &self.provider;
        match change {
            Change::Closed(what) => {
                tracing::error!(%provider, reason = %SuspensionReason::Results, what, "suspended: its jobs stay queued");
                self.unstored.send_replace(Some(self.common.clock.elapsed()));
            }
            Change::StillClosed => return,
            Change::Open(lasted) => {
                tracing::info!(%provider, reason = %SuspensionReason::Results, "back after {lasted:.1?}: sending again");
                self.unstored.send_replace(None);
            }
        }
        self.show();
    }

    fn change<T>(&self, change: impl FnOnce(&mut Breaker, Duration) -> T) -> T {
        let now = self.common.clock.elapsed();
        let (before, changed, after) = {
            let mut breaker = self.breaker();
            let before = breaker.suspension();
            let changed = change(&mut breaker, now);
            (before, changed, breaker.suspension())
        };
        self.news.notify_one();
        self.judgements.notify_waiters();
        if before != after {
            self.show();
            self.tell(before, after, now);
        }
        changed
    }

    fn tell(&self, before: Option<Suspension>, after: Option<Suspension>, now: Duration) {
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
        let unstored = self.unstored.borrow().map(|since| Suspended {
            reason: SuspensionReason::Results,
            since: wall - now.saturating_sub(since),
            next_probe: None,
        });
        self.common.meter.suspended(&self.provider, paused.or(known).or(unstored));
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job that waits for a judgement, counted while it does.
struct Unjudged<'a>(&'a Health);

impl<'a> Unjudged<'a> {
    fn of(health: &'a Health) -> Self {
        health.unjudged.fetch_add(1, Ordering::Relaxed);
        health.judgements.notify_waiters();
        Self(health)
    }
}

impl Drop for Unjudged<'_> {
    fn drop(&mut self) {
        self.0.unjudged.fetch_sub(1, Ordering::Relaxed);
        self.0.judgements.notify_waiters();
    }
}
