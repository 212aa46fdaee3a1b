//! Whether this replica does its work, as `/readyz` tells it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::model::ids::ProviderName;

/// What the supervisor last said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadyState {
    /// No broker, not working on it as it should, or nothing can be sent; the reason is shown to whoever asks, so it holds no
    /// secret.
    Connecting { reason: String },
    /// Connected, consuming or standing by, and what is written is confirmed.
    Ready,
    /// Stopping; final.
    Draining,
}

/// What keeps a connected worker from being ready.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// The queue says that it takes nothing.
    Alarm,
    /// No write was confirmed lately.
    Unproven,
    /// A part of the work stands still.
    Idle(SessionPart),
}

/// What works by itself on one connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SessionPart {
    Router,
    Recorder,
    Lane(ProviderName),
}

impl fmt::Display for SessionPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Router => write!(f, "the router"),
            Self::Recorder => write!(f, "the recorder"),
            Self::Lane(provider) => write!(f, "the sender of {provider}"),
        }
    }
}

/// Set by the supervisor, read by the admin server; clones share one state.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    known: Mutex<Known>,
    told: watch::Sender<ReadyState>,
}

#[derive(Debug)]
struct Known {
    /// Of the connection.
    state: ReadyState,
    /// With the reason of each.
    obstacles: BTreeMap<Obstacle, String>,
}

impl Known {
    fn sum(&self) -> ReadyState {
        match (&self.state, self.obstacles.first_key_value()) {
            (ReadyState::Ready, Some((_, reason))) => ReadyState::Connecting { reason: reason.clone() },
            (ReadyState::Ready | ReadyState::Connecting { .. } | ReadyState::Draining, _) => self.state.clone(),
        }
    }
}

impl Readiness {
    /// Not connected yet.
    pub fn starting() -> Self {
        let state = ReadyState::Connecting { reason: "starting".to_owned() };
        let told = watch::Sender::new(state.clone());
        Self(Arc::new(Shared { known: Mutex::new(Known { state, obstacles: BTreeMap::new() }), told }))
    }

    pub fn state(&self) -> ReadyState {
        self.0.told.borrow().clone()
    }

    /// Follows the state as it changes.
    pub fn subscribe(&self) -> watch::Receiver<ReadyState> {
        self.0.told.subscribe()
    }

    /// The broker is away; `reason` is one line without secrets.
    pub fn connecting(&self, reason: impl Into<String>) {
        self.go(ReadyState::Connecting { reason: reason.into() });
    }

    /// Connected; ready but for what stands in the way.
    pub fn ready(&self) {
        self.go(ReadyState::Ready);
    }

    pub fn draining(&self) {
        self.go(ReadyState::Draining);
    }

    /// Something stands in the way; `reason` is one line without secrets.
    pub fn hindered(&self, by: Obstacle, reason: impl Into<String>) {
        self.change(|known| {
            known.obstacles.insert(by, reason.into());
        });
    }

    /// It does not stand in the way any more.
    pub fn free_of(&self, obstacle: &Obstacle) {
        self.change(|known| {
            known.obstacles.remove(obstacle);
        });
    }

    /// How many lanes stand still.
    pub fn idle_lanes(&self) -> usize {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.obstacles.keys().filter(|obstacle| matches!(obstacle, Obstacle::Idle(SessionPart::Lane(_)))).count()
    }

    fn go(&self, next: ReadyState) {
        self.change(|known| {
            if known.state != ReadyState::Draining {
                known.state = next;
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut known);
        let next = known.sum();
        self.0.told.send_if_modified(|told| {
            let is_new = *told != next;
            *told = next;
            is_new
        });
    }
}

/// Tells whether one part works; clones share one state.
#[derive(Debug, Clone)]
pub struct PartState {
    part: SessionPart,
    readiness: Readiness,
    /// Told, perhaps on an earlier connection, and not taken back yet.
    is_idle: Arc<AtomicBool>,
}

impl PartState {
    pub fn new(part: SessionPart, readiness: Readiness) -> Self {
        Self { part, readiness, is_idle: Arc::new(AtomicBool::new(true)) }
    }

    pub fn part(&self) -> &SessionPart {
        &self.part
    }

    /// The queue has answered what the part asked it for its work.
    pub fn works(&self) {
        if self.is_idle.swap(false, Ordering::Relaxed) {
            self.readiness.free_of(&Obstacle::Idle(self.part.clone()));
        }
    }

    pub fn stands_still(&self, why: &impl fmt::Display) {
        self.is_idle.store(true, Ordering::Relaxed);
        self.readiness.hindered(Obstacle::Idle(self.part.clone()), format!("{} stands still: {why}", self.part));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draining_is_final() {
        let readiness = Readiness::starting();
        readiness.ready();
        readiness.draining();
        readiness.ready();
        readiness.connecting("lost");
        assert_eq!(readiness.state(), ReadyState::Draining);
    }

    #[test]
    fn a_worker_is_ready_once_nothing_stands_in_the_way() {
        let readiness = Readiness::starting();
        let lane = PartState::new(SessionPart::Lane(ProviderName::parse("p").unwrap()), readiness.clone());
        let not_ready = |reason: &str| ReadyState::Connecting { reason: reason.to_owned() };
        readiness.hindered(Obstacle::Unproven, "nothing confirmed");
        assert_eq!(readiness.state(), not_ready("starting"));
        readiness.ready();
        assert_eq!(readiness.state(), not_ready("nothing confirmed"));
        lane.stands_still(&"no answer");
        readiness.free_of(&Obstacle::Unproven);
        assert_eq!(
            (readiness.state(), readiness.idle_lanes()),
            (not_ready("the sender of p stands still: no answer"), 1)
        );
        lane.works();
        assert_eq!((readiness.state(), readiness.idle_lanes()), (ReadyState::Ready, 0));
        readiness.draining();
        readiness.hindered(Obstacle::Alarm, "low on memory");
        assert_eq!(readiness.state(), ReadyState::Draining);
    }

    #[test]
    fn only_a_change_wakes_a_follower() {
        let readiness = Readiness::starting();
        let mut follower = readiness.clone().subscribe();
        readiness.ready();
        assert_eq!(*follower.borrow_and_update(), ReadyState::Ready);
        readiness.ready();
        assert!(!follower.has_changed().unwrap());
        readiness.connecting("connection lost");
        assert!(follower.has_changed().unwrap());
    }
}
