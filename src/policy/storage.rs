//! Whether the queue stores what is published: while it refuses, one job at a time tries whether it takes more.

use std::time::Duration;

use super::breaker::Admission;

/// The pause after the first refusal; it doubles with each try that is refused.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause: soon after there is room again, everything flows.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Taking,
    Refusing {
        since: Duration,
        until: Duration,
        pause: Duration,
    },
    Tried {
        since: Duration,
        pause: Duration,
    },
}

/// What one kind of message meets at its queue. `now` is a clock's `elapsed`.
#[derive(Debug, Clone, Default)]
pub struct Storage {
    state: State,
}

impl Storage {
    /// Since when the queue takes nothing, if it does not.
    pub fn refusing_since(&self) -> Option<Duration> {
        match self.state {
            State::Taking => None,
            State::Refusing { since, .. } | State::Tried { since, .. } => Some(since),
        }
    }

    /// Asks whether a message may be published.
    pub fn admit(&mut self, now: Duration) -> Admission {
        match self.state {
            State::Taking => Admission::Go,
            State::Refusing { until, .. } if now < until => Admission::Wait(until),
            State::Refusing { since, pause, .. } => {
                self.state = State::Tried { since, pause };
                Admission::Probe
            }
            State::Tried { .. } => Admission::Hold,
        }
    }

    /// A message was refused that was admitted as usual. Later ones of the same moment change nothing.
    pub fn refused(&mut self, now: Duration) {
        if self.state == State::Taking {
            self.state = State::Refusing { since: now, until: now + FIRST_PAUSE, pause: FIRST_PAUSE };
        }
    }

    /// The try was refused.
    pub fn try_refused(&mut self, now: Duration) {
        if let State::Tried { since, pause } = self.state {
            let pause = (pause * 2).min(LONGEST_PAUSE);
            self.state = State::Refusing { since, until: now + pause, pause };
        }
    }

    /// The try was stored: all may follow.
    pub fn try_stored(&mut self) {
        if let State::Tried { .. } = self.state {
            self.state = State::Taking;
        }
    }

    /// Nobody is left who would try.
    pub fn forget(&mut self) {
        self.state = State::Taking;
    }

    /// The try was not made: another job may have it.
    pub fn untried(&mut self, now: Duration) {
        if let State::Tried { since, pause } = self.state {
            self.state = State::Refusing { since, until: now, pause };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Duration = Duration::from_secs(100);

    fn refusing() -> Storage {
        let mut storage = Storage::default();
        assert_eq!(storage.admit(T), Admission::Go);
        storage.refused(T);
        storage
    }

    #[test]
    fn one_job_at_a_time_tries_with_growing_pauses() {
        let (mut storage, mut now, mut pauses) = (refusing(), T, Vec::new());
        for _ in 0..5 {
            let Admission::Wait(until) = storage.admit(now) else { panic!("must wait") };
            pauses.push((until - now).as_secs());
            now = until;
            assert_eq!(storage.admit(now), Admission::Probe);
            for _ in 0..1_000 {
                assert_eq!(storage.admit(now), Admission::Hold);
            }
            storage.try_refused(now);
        }
        assert_eq!(pauses, [1, 2, 4, 5, 5]);
        assert_eq!(storage.refusing_since(), Some(T));
    }

    #[test]
    fn what_was_on_its_way_at_the_first_refusal_makes_no_pause_longer() {
        let mut storage = refusing();
        storage.refused(T + FIRST_PAUSE / 2);
        assert_eq!(storage.admit(T), Admission::Wait(T + FIRST_PAUSE));
        assert_eq!(storage.admit(T + FIRST_PAUSE), Admission::Probe);
        storage.refused(T + FIRST_PAUSE);
        assert_eq!(storage.admit(T + FIRST_PAUSE), Admission::Hold);
    }

    #[test]
    fn a_try_that_is_stored_lets_all_go() {
        let mut storage = refusing();
        storage.try_stored();
        assert_eq!(storage.admit(T), Admission::Wait(T + FIRST_PAUSE), "nobody tried");
        assert_eq!(storage.admit(T + FIRST_PAUSE), Admission::Probe);
        storage.try_stored();
        assert_eq!((storage.admit(T + FIRST_PAUSE), storage.refusing_since()), (Admission::Go, None));
    }

    #[test]
    fn a_try_that_was_not_made_is_anothers_at_once() {
        let mut storage = refusing();
        assert_eq!(storage.admit(T + FIRST_PAUSE), Admission::Probe);
        storage.untried(T + FIRST_PAUSE);
        assert_eq!(storage.admit(T + FIRST_PAUSE), Admission::Probe);
    }
}
