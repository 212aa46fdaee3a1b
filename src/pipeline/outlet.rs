//! Where jobs are ended: what the queue refuses is kept in hand and tried again, one job at a time, until there is room.
//!
//! To give such a job back would cost one of the times that the queue may hand it out, and what its provider accepted
//! would end as exhausted.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::model::progress::Progress;
use crate::policy::breaker::{Admission, Role};
use crate::policy::storage::Storage;
use crate::ports::broker::{BrokerError, Delivery, JobTime, LaneKey, Settlement, Unended};
use crate::ports::clock::Clock;

/// What is refused for so long goes back: a queue gives up on a consumer that holds a job for half an hour, and it may have
/// been at hand for ten minutes before.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// What is to be done with a delivery.
#[derive(Clone, Copy)]
pub enum Verb<'a> {
    Settle(&'a Settlement),
    Defer(Deferral<'a>),
    Forward(&'a LaneKey),
}

/// How a job is left alone.
#[derive(Clone, Copy)]
pub struct Deferral<'a> {
    pub lane: &'a LaneKey,
    pub progress: &'a Progress,
    /// Until then, by the clock's `elapsed`.
    pub until: Duration,
    /// And until the job's own time.
    pub not_before: Option<Timestamp>,
}

/// A refusal, or its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The queue refuses from now on; what it said.
    Closed(String),
    /// It was tried in vain.
    StillClosed,
    /// It takes messages again, after this long.
    Open(Duration),
}

/// The way out of hand for the jobs of one provider, or of the intake; it outlives connections to the queue.
pub struct Outlet {
    clock: Clock,
    /// Of results, and of jobs that go on: one may be full alone.
    storages: Mutex<[Storage; 2]>,
    /// How many deliveries are being ended with each.
    busy: [AtomicUsize; 2],
    /// Nobody is to wait any more.
    given_up: AtomicBool,
    /// Something has changed: whoever waits looks again.
    news: Notify,
}

impl Outlet {
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            storages: Mutex::default(),
            busy: Default::default(),
            given_up: AtomicBool::new(false),
            news: Notify::new(),
        }
    }

    /// Nothing waits here from now on: what is refused goes back to its queue.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
        self.news.notify_waiters();
    }

    /// Ends a delivery. [`BrokerError::Refused`] says that it had to be given back after all.
    pub async fn end(
        &self,
        mut delivery: Delivery,
        verb: Verb<'_>,
        tell: &(dyn Fn(Change) + Sync),
    ) -> Result<(), BrokerError> {
        let _busy = Busy::of(self, verb.place(), tell);
        let give_up_at = self.clock.elapsed() + LONGEST_WAIT;
        loop {
            let Some(turn) = self.turn(verb, give_up_at).await else {
                delivery.release().await?;
                return Err(BrokerError::Refused("it takes no more, and the job waits in its queue".into()));
            };
            delivery = match verb.act(delivery, &self.clock).await {
                Ok(()) => {
                    turn.stored(tell);
                    return Ok(());
                }
                Err(Unended::Failed(error)) => return Err(error),
                Err(Unended::Refused { what, delivery }) => {
                    turn.refused(what, tell);
                    *delivery
                }
            };
        }
    }

    /// The right to publish once; None where it is not worth waiting for.
    async fn turn(&self, verb: Verb<'_>, give_up_at: Duration) -> Option<StoreTurn<'_>> {
        loop {
            let mut news = pin!(self.news.notified());
            news.as_mut().enable();
            let given_up = self.given_up.load(Ordering::Relaxed);
            let now = self.clock.elapsed();
            let wake_at = match self.storages()[verb.place()].admit(now) {
                Admission::Go => return Some(StoreTurn { outlet: self, place: verb.place(), role: Role::Ordinary }),
                Admission::Probe => return Some(StoreTurn { outlet: self, place: verb.place(), role: Role::Probe }),
                Admission::Wait(_) | Admission::Hold if given_up || now >= give_up_at => return None,
                Admission::Wait(until) => until.min(give_up_at),
                Admission::Hold => give_up_at,
            };
            tokio::select! {
                biased;
                () = news => {}
                () = self.clock.sleep_until(wake_at) => {}
            }
        }
    }

    fn storages(&self) -> MutexGuard<'_, [Storage; 2]> {
        self.storages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes one storage, and tells if that was the end of refusing.
    fn open(&self, place: usize, change: fn(&mut Storage), tell: &(dyn Fn(Change) + Sync)) {
        if let (Some(since), None) = self.change(place, change) {
            tell(Change::Open(self.clock.elapsed().saturating_sub(since)));
        }
    }

    /// Changes one storage, and says since when any of them refuses: before, and now.
    fn change(&self, place: usize, change: impl FnOnce(&mut Storage)) -> (Option<Duration>, Option<Duration>) {
        let mut storages = self.storages();
        let since = |storages: &[Storage; 2]| storages.iter().filter_map(Storage::refusing_since).min();
        let before = since(&storages);
        change(&mut storages[place]);
        let after = since(&storages);
        drop(storages);
        self.news.notify_waiters();
        (before, after)
    }
}

impl Verb<'_> {
    async fn act(self, delivery: Delivery, clock: &Clock) -> Result<(), Unended> {
        match self {
            Verb::Settle(settlement) => delivery.settle(settlement).await,
            Verb::Defer(Deferral { lane, progress, until, not_before }) => {
                let progress = progress.clone().waiting(until.saturating_sub(clock.elapsed()));
                delivery.defer(lane, progress, JobTime { not_before, now: clock.now() }).await
            }
            Verb::Forward(lane) => delivery.forward(lane).await,
        }
    }

    /// Of its storage.
    fn place(self) -> usize {
        match self {
            Verb::Settle(_) => 0,
            Verb::Defer(_) | Verb::Forward(_) => 1,
        }
    }
}

/// A delivery that is being ended. With the last one that is given back nobody is left to try whether there is room: the
/// next job does, as if nothing were known.
struct Busy<'a> {
    outlet: &'a Outlet,
    place: usize,
    tell: &'a (dyn Fn(Change) + Sync),
}

impl<'a> Busy<'a> {
    fn of(outlet: &'a Outlet, place: usize, tell: &'a (dyn Fn(Change) + Sync)) -> Self {
        outlet.busy[place].fetch_add(1, Ordering::Relaxed);
        Self { outlet, place, tell }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if self.outlet.busy[self.place].fetch_sub(1, Ordering::Relaxed) == 1 {
            self.outlet.open(self.place, Storage::forget, self.tell);
        }
    }
}

/// The right to publish once; dropped without a word it passes to the next one.
struct StoreTurn<'a> {
    outlet: &'a Outlet,
    place: usize,
    role: Role,
}

impl StoreTurn<'_> {
    fn stored(self, tell: &(dyn Fn(Change) + Sync)) {
        if self.role == Role::Ordinary {
            return;
        }
        self.outlet.open(self.place, Storage::try_stored, tell);
    }

    fn refused(self, what: String, tell: &(dyn Fn(Change) + Sync)) {
        let now = self.outlet.clock.elapsed();
        let refuse = match self.role {
            Role::Ordinary => Storage::refused,
            Role::Probe => Storage::try_refused,
        };
        match self.outlet.change(self.place, |storage| refuse(storage, now)) {
            (None, _) => tell(Change::Closed(what)),
            (Some(_), _) => tell(Change::StillClosed),
        }
    }
}

impl Drop for StoreTurn<'_> {
    fn drop(&mut self) {
        if self.role == Role::Probe {
            let now = self.outlet.clock.elapsed();
            self.outlet.change(self.place, |storage| storage.untried(now));
        }
    }
}
