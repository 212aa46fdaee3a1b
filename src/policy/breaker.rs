//! Whether a provider may be sent to: a circuit breaker as a state machine over (event, moment).

use std::time::Duration;

use crate::model::suspension::SuspensionReason;

/// So many failures in a row open the breaker.
const FAILURES_TO_OPEN: u32 = 20;
/// The first pause after an outage was noticed; it doubles with each probe that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause during an outage.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The pause after refused credentials or configuration: one cloud locks a key that is tried too often.
const REFUSAL_PAUSE: Duration = Duration::from_secs(30);
/// The pause after our own queue of results was found full.
const RESULTS_PAUSE: Duration = Duration::from_secs(5);

/// What an attempt says about the provider's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It answered and knew us, whatever it said about the job.
    Answered,
    /// It failed, or could not be reached.
    Failed,
    /// It refused us for this reason.
    Refused(SuspensionReason),
}

/// Whether a request may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Go,
    /// A single one, to see whether the provider is back. Asking took the probe.
    Probe,
    /// None before this moment.
    Wait(Duration),
    /// None until the probe that is under way has ended.
    Hold,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { reason: SuspensionReason, until: Duration, pause: Duration },
    Probing { reason: SuspensionReason, pause: Duration },
}

/// The health of one provider.
#[derive(Debug, Clone)]
pub struct Breaker {
    state: State,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed { failures: 0 } }
    }
}

impl Breaker {
    /// Why the provider is not sent to, if it is not.
    pub fn suspended(&self) -> Option<SuspensionReason> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { reason, .. } | State::Probing { reason, .. } => Some(reason),
        }
    }

    /// Asks for one request.
    pub fn admit(&mut self, now: Duration) -> Admission {
        match self.state {
            State::Closed { .. } => Admission::Go,
            State::Open { until, .. } if now < until => Admission::Wait(until),
            State::Open { reason, pause, .. } => {
                self.state = State::Probing { reason, pause };
                Admission::Probe
            }
            State::Probing { .. } => Admission::Hold,
        }
    }

    /// The probe was not sent after all: another one may be taken.
    pub fn probe_unsent(&mut self, now: Duration) {
        if let State::Probing { reason, pause } = self.state {
            self.state = State::Open { reason, until: now, pause };
        }
    }

    /// Takes in what an ordinary request showed. While the breaker is open such news is late: only a refusal changes
    /// anything, for it tells more than a failure did.
    pub fn observe(&mut self, event: Event, now: Duration) {
        self.state = match (self.state, event) {
            (State::Closed { .. }, Event::Answered) => State::Closed { failures: 0 },
            (State::Closed { failures }, Event::Failed) if failures + 1 < FAILURES_TO_OPEN => {
                State::Closed { failures: failures + 1 }
            }
            (State::Closed { .. }, Event::Failed) => open(SuspensionReason::Outage, now, FIRST_PAUSE),
            (_, Event::Refused(reason)) => open(reason, now, pause_after(reason)),
            (state @ (State::Open { .. } | State::Probing { .. }), Event::Answered | Event::Failed) => state,
        };
    }

    /// Takes in what the probe showed.
    pub fn observe_probe(&mut self, event: Event, now: Duration) {
        let pause = match self.state {
            State::Probing { pause, .. } => pause,
            State::Closed { .. } | State::Open { .. } => return self.observe(event, now),
        };
        self.state = match event {
            Event::Answered => State::Closed { failures: 0 },
            Event::Failed => open(SuspensionReason::Outage, now, (pause * 2).min(LONGEST_PAUSE)),
            Event::Refused(reason) => open(reason, now, pause_after(reason)),
        };
    }
}

fn pause_after(reason: SuspensionReason) -> Duration {
    match reason {
        SuspensionReason::Results => RESULTS_PAUSE,
        SuspensionReason::Outage => FIRST_PAUSE,
        SuspensionReason::Credentials | SuspensionReason::Configuration | SuspensionReason::Paused => REFUSAL_PAUSE,
    }
}

fn open(reason: SuspensionReason, now: Duration, pause: Duration) -> State {
    State::Open { reason, until: now + pause, pause }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Duration = Duration::from_secs(100);

    fn broken() -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES_TO_OPEN {
            assert_eq!(breaker.admit(T), Admission::Go);
            breaker.observe(Event::Failed, T);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_between_them_does_not() {
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            for _ in 1..FAILURES_TO_OPEN {
                breaker.observe(Event::Failed, T);
            }
            breaker.observe(Event::Answered, T);
        }
        assert_eq!(breaker.suspended(), None);
        assert_eq!(broken().suspended(), Some(SuspensionReason::Outage));
    }

    #[test]
    fn one_probe_at_a_time_with_growing_pauses() {
        let mut breaker = broken();
        let mut now = T;
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let Admission::Wait(until) = breaker.admit(now) else { panic!("must wait") };
            pauses.push((until - now).as_secs());
            now = until;
            assert_eq!(breaker.admit(now), Admission::Probe);
            assert_eq!(breaker.admit(now), Admission::Hold);
            breaker.observe_probe(Event::Failed, now);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 15, 15]);
    }

    #[test]
    fn a_probe_that_is_answered_closes_it() {
        let mut breaker = broken();
        assert_eq!(breaker.admit(T + FIRST_PAUSE), Admission::Probe);
        breaker.observe_probe(Event::Answered, T + FIRST_PAUSE);
        assert_eq!(breaker.admit(T + FIRST_PAUSE), Admission::Go);
    }

    #[test]
    fn late_news_neither_closes_it_nor_makes_the_pause_longer() {
        let mut breaker = broken();
        breaker.observe(Event::Answered, T);
        breaker.observe(Event::Failed, T + FIRST_PAUSE / 2);
        assert_eq!(breaker.admit(T), Admission::Wait(T + FIRST_PAUSE));
    }

    #[test]
    fn a_refusal_is_probed_once_in_thirty_seconds() {
        let mut breaker = Breaker::default();
        breaker.observe(Event::Refused(SuspensionReason::Credentials), T);
        breaker.observe(Event::Answered, T);
        assert_eq!(breaker.admit(T), Admission::Wait(T + REFUSAL_PAUSE));
        breaker.observe(Event::Refused(SuspensionReason::Credentials), T + Duration::from_secs(1));
        assert_eq!(breaker.admit(T + REFUSAL_PAUSE), Admission::Wait(T + REFUSAL_PAUSE + Duration::from_secs(1)));
    }

    #[test]
    fn a_probe_that_was_not_sent_may_be_taken_again() {
        let mut breaker = broken();
        let later = T + FIRST_PAUSE;
        assert_eq!(breaker.admit(later), Admission::Probe);
        breaker.probe_unsent(later);
        assert_eq!(breaker.admit(later), Admission::Probe);
    }
}
