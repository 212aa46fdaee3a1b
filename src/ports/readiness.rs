//! Whether this replica does its work, as `/readyz` tells it.

use std::sync::Arc;

use tokio::sync::watch;

/// What the supervisor last said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadyState {
    /// No broker, or nothing can be sent; the reason is shown to whoever asks, so it holds no secret.
    Connecting { reason: String },
    /// Connected, and consuming or standing by.
    Ready,
    /// Stopping; final.
    Draining,
}

/// Set by the supervisor, read by the admin server; clones share one state.
#[derive(Debug, Clone)]
pub struct Readiness {
    state: Arc<watch::Sender<ReadyState>>,
}

impl Readiness {
    /// Not connected yet.
    pub fn starting() -> Self {
        let state = ReadyState::Connecting { reason: "starting".to_owned() };
        Self { state: Arc::new(watch::Sender::new(state)) }
    }

    pub fn state(&self) -> ReadyState {
        self.state.borrow().clone()
    }

    /// Follows the state as it changes.
    pub fn subscribe(&self) -> watch::Receiver<ReadyState> {
        self.state.subscribe()
    }

    /// The broker is away; `reason` is one line without secrets.
    pub fn connecting(&self, reason: impl Into<String>) {
        self.go(ReadyState::Connecting { reason: reason.into() });
    }

    pub fn ready(&self) {
        self.go(ReadyState::Ready);
    }

    pub fn draining(&self) {
        self.go(ReadyState::Draining);
    }

    fn go(&self, next: ReadyState) {
        self.state.send_if_modified(|state| {
            if *state == ReadyState::Draining || *state == next {
                return false;
            }
            *state = next;
            true
        });
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
