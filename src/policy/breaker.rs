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
    /// It refused settings that have been replaced since.
    Outdated(SuspensionReason),
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
    Open { reason: SuspensionReason, since: Duration, until: Duration, pause: Duration },
    Probing { reason: SuspensionReason, since: Duration, pause: Duration },
}

/// Why the provider is not sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspension {
    pub reason: SuspensionReason,
    pub since: Duration,
    /// None while a probe is under way.
    pub next_probe: Option<Duration>,
}

/// The health of one provider.
#[derive(Debug, Clone)]
pub struct Breaker {
    state: State,
    /// Before this moment no probe goes out, whatever happens: credentials were refused.
    rest_until: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed { failures: 0 }, rest_until: Duration::ZERO }
    }
}

impl Breaker {
    /// Why the provider is not sent to, if it is not.
    pub fn suspended(&self) -> Option<SuspensionReason> {
        self.suspension().map(|suspension| suspension.reason)
    }

    /// The same with all that is known of it.
    pub fn suspension(&self) -> Option<Suspension> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { reason, since, until, .. } => Some(Suspension { reason, since, next_probe: Some(until) }),
            State::Probing { reason, since, .. } => Some(Suspension { reason, since, next_probe: None }),
        }
    }

    /// Asks for one request.
    pub fn admit(&mut self, now: Duration) -> Admission {
        match self.state {
            State::Closed { .. } => Admission::Go,
            State::Open { until, .. } if now < until => Admission::Wait(until),
            State::Open { reason, since, pause, .. } => {
                self.state = State::Probing { reason, since, pause };
                Admission::Probe
            }
            State::Probing { .. } => Admission::Hold,
        }
    }

    /// Whether an ordinary request that was admitted before may still go out.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Whether the probe that was admitted is still waited for.
    pub fn is_probing(&self) -> bool {
        matches!(self.state, State::Probing { .. })
    }

    /// The probe was not sent after all: another one may be taken.
    pub fn probe_unsent(&mut self, now: Duration) {
        if let State::Probing { reason, since, pause } = self.state {
            self.state = State::Open { reason, since, until: now, pause };
        }
    }

    /// The provider's settings were replaced. What was refused as misconfigured may be tried at once, for somebody has
    /// seen to it; refused credentials keep their pause, whatever stands in their place.
    pub fn reconfigured(&mut self, now: Duration) {
        if let State::Open { reason: reason @ SuspensionReason::Configuration, since, pause, .. } = self.state {
            self.state = State::Open { reason, since, until: now.max(self.rest_until), pause };
        }
    }

    /// Takes in what an ordinary request showed. While the breaker is open such news is late: only a refusal changes
    /// anything, for it tells more than a failure did. No refusal makes a pause shorter.
    pub fn observe(&mut self, event: Event, now: Duration) {
        self.state = match (self.state, event) {
            (State::Closed { .. }, Event::Answered) => State::Closed { failures: 0 },
            (State::Closed { failures }, Event::Failed) if failures + 1 < FAILURES_TO_OPEN => {
                State::Closed { failures: failures + 1 }
            }
            (State::Closed { .. }, Event::Failed) => self.opened(SuspensionReason::Outage, now, FIRST_PAUSE),
            (state @ State::Open { until, .. }, Event::Refused(reason)) if now + pause_after(reason) < until => state,
            (state @ State::Probing { reason: graver, .. }, Event::Refused(reason))
                if pause_after(graver) > pause_after(reason) =>
            {
                state
            }
            (State::Open { .. } | State::Probing { .. }, Event::Outdated(reason @ SuspensionReason::Credentials))
            | (_, Event::Refused(reason)) => self.opened(reason, now, pause_after(reason)),
            (state @ State::Closed { .. }, Event::Outdated(_))
            | (
                state @ (State::Open { .. } | State::Probing { .. }),
                Event::Answered | Event::Failed | Event::Outdated(_),
            ) => state,
        };
    }

    /// Takes in what the probe showed. One that fails proves nothing about a refusal.
    pub fn observe_probe(&mut self, event: Event, now: Duration) {
        let (reason, since, pause) = match self.state {
            State::Probing { reason, since, pause } => (reason, since, pause),
            State::Closed { .. } | State::Open { .. } => return self.observe(event, now),
        };
        self.state = match (event, reason) {
            (Event::Answered, _) => State::Closed { failures: 0 },
            (Event::Failed, SuspensionReason::Outage | SuspensionReason::Results) => {
                self.opened(SuspensionReason::Outage, now, (pause * 2).min(LONGEST_PAUSE))
            }
            (
                Event::Failed,
                SuspensionReason::Credentials | SuspensionReason::Configuration | SuspensionReason::Paused,
            ) => self.opened(reason, now, pause_after(reason)),
            (Event::Refused(reason) | Event::Outdated(reason @ SuspensionReason::Credentials), _) => {
                self.opened(reason, now, pause_after(reason))
            }
            // It says nothing of what is set now: another probe does.
            (Event::Outdated(_), _) => State::Open { reason, since, until: now.max(self.rest_until), pause },
        };
    }

    /// Open from now on; the same reason goes on.
    fn opened(&mut self, reason: SuspensionReason, now: Duration, pause: Duration) -> State {
        if reason == SuspensionReason::Credentials {
            self.rest_until = self.rest_until.max(now + pause);
        }
        let since = self.suspension().filter(|known| known.reason == reason).map_or(now, |known| known.since);
        State::Open { reason, since, until: (now + pause).max(self.rest_until), pause }
    }
}

fn pause_after(reason: SuspensionReason) -> Duration {
    match reason {
        SuspensionReason::Results => RESULTS_PAUSE,
        SuspensionReason::Outage => FIRST_PAUSE,
        SuspensionReason::Credentials | SuspensionReason::Configuration | SuspensionReason::Paused => REFUSAL_PAUSE,
    }
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

    const REFUSED: Event = Event::Refused(SuspensionReason::Credentials);
    const TYPO: Event = Event::Refused(SuspensionReason::Configuration);
    const SECOND: Duration = Duration::from_secs(1);

    fn after(events: &[Event]) -> Breaker {
        let mut breaker = Breaker::default();
        events.iter().for_each(|event| breaker.observe(*event, T));
        breaker
    }

    #[test]
    fn new_settings_are_tried_at_once_unless_credentials_were_refused() {
        let check = |events: &[Event], expected: Admission| {
            let mut breaker = after(events);
            breaker.reconfigured(T + SECOND / 2);
            assert_eq!(breaker.admit(T + SECOND / 2), expected, "{events:?}");
        };
        check(&[TYPO], Admission::Probe);
        check(&[], Admission::Go);
        check(&[REFUSED], Admission::Wait(T + REFUSAL_PAUSE));
        check(&[REFUSED, TYPO], Admission::Wait(T + REFUSAL_PAUSE));
        check(&[Event::Failed; FAILURES_TO_OPEN as usize], Admission::Wait(T + FIRST_PAUSE));
        check(&[Event::Refused(SuspensionReason::Results)], Admission::Wait(T + RESULTS_PAUSE));
    }

    #[test]
    fn no_later_trouble_shortens_the_pause_of_refused_credentials() {
        for reason in SuspensionReason::ALL {
            let mut breaker = after(&[REFUSED, Event::Refused(reason)]);
            assert_eq!(breaker.admit(T), Admission::Wait(T + REFUSAL_PAUSE), "{reason}");
        }
        assert_eq!(after(&[Event::Refused(SuspensionReason::Results)]).admit(T), Admission::Wait(T + RESULTS_PAUSE));
    }

    #[test]
    fn a_refusal_of_replaced_settings_does_not_suspend_the_new_ones() {
        for reason in [SuspensionReason::Credentials, SuspensionReason::Configuration] {
            assert_eq!(after(&[Event::Outdated(reason)]).suspended(), None);
        }
        let mut breaker = after(&[TYPO]);
        breaker.reconfigured(T);
        breaker.observe(Event::Outdated(SuspensionReason::Configuration), T + SECOND);
        assert_eq!(breaker.admit(T + SECOND), Admission::Probe);
        breaker.observe_probe(Event::Outdated(SuspensionReason::Configuration), T + SECOND);
        assert_eq!(breaker.admit(T + SECOND), Admission::Probe, "that probe still asked the old way");
    }

    #[test]
    fn a_refused_key_rests_although_it_was_replaced_meanwhile() {
        let mut breaker = after(&[REFUSED]);
        breaker.observe(Event::Outdated(SuspensionReason::Credentials), T + SECOND);
        let rested = T + SECOND + REFUSAL_PAUSE;
        assert_eq!(breaker.admit(T + REFUSAL_PAUSE), Admission::Wait(rested));
        assert_eq!(breaker.admit(rested), Admission::Probe);
        breaker.observe_probe(Event::Outdated(SuspensionReason::Credentials), rested);
        assert_eq!(breaker.admit(rested), Admission::Wait(rested + REFUSAL_PAUSE));
    }

    #[test]
    fn a_full_queue_of_results_does_not_shorten_the_pause_of_a_refused_key() {
        let mut breaker = Breaker::default();
        breaker.observe(Event::Refused(SuspensionReason::Credentials), T);
        breaker.observe(Event::Refused(SuspensionReason::Results), T);
        assert_eq!(breaker.suspended(), Some(SuspensionReason::Credentials));
        assert_eq!(breaker.admit(T), Admission::Wait(T + REFUSAL_PAUSE));
    }

    #[test]
    fn a_probe_that_fails_leaves_a_refused_key_refused() {
        let mut breaker = Breaker::default();
        breaker.observe(Event::Refused(SuspensionReason::Credentials), T);
        let later = T + REFUSAL_PAUSE;
        assert_eq!(breaker.admit(later), Admission::Probe);
        breaker.observe_probe(Event::Failed, later);
        let next_probe = Some(later + REFUSAL_PAUSE);
        let expected = Suspension { reason: SuspensionReason::Credentials, since: T, next_probe };
        assert_eq!(breaker.suspension(), Some(expected));
    }

    #[test]
    fn a_suspension_tells_since_when_for_what_and_until_when() {
        let mut breaker = broken();
        let outage = |next_probe| Suspension { reason: SuspensionReason::Outage, since: T, next_probe };
        let probed = T + FIRST_PAUSE;
        assert_eq!(breaker.suspension(), Some(outage(Some(probed))));
        assert_eq!(breaker.admit(probed), Admission::Probe);
        assert_eq!(breaker.suspension(), Some(outage(None)));
        breaker.observe_probe(Event::Failed, probed);
        assert_eq!(breaker.suspension(), Some(outage(Some(probed + 2 * FIRST_PAUSE))));
        breaker.observe(Event::Refused(SuspensionReason::Configuration), probed);
        assert_eq!(
            breaker.suspension().map(|known| (known.reason, known.since)),
            Some((SuspensionReason::Configuration, probed))
        );
        breaker.admit(probed + REFUSAL_PAUSE);
        breaker.observe_probe(Event::Answered, probed + REFUSAL_PAUSE);
        assert_eq!(breaker.suspension(), None);
    }

    #[test]
    fn a_probe_that_was_not_sent_may_be_taken_again() {
        let mut breaker = broken();
        let later = T + FIRST_PAUSE;
        assert_eq!(breaker.admit(later), Admission::Probe);
        breaker.probe_unsent(later);
        assert_eq!(breaker.admit(later), Admission::Probe);
    }

    #[test]
    fn a_full_results_queue_does_not_shorten_the_pause_after_a_refusal() {
        let mut breaker = Breaker::default();
        breaker.observe(Event::Refused(SuspensionReason::Credentials), T);
        breaker.observe(Event::Refused(SuspensionReason::Results), T);
        assert_eq!(breaker.suspended(), Some(SuspensionReason::Credentials));
        assert_eq!(breaker.admit(T), Admission::Wait(T + REFUSAL_PAUSE));
        assert_eq!(breaker.admit(T + REFUSAL_PAUSE), Admission::Probe);
        breaker.observe(Event::Refused(SuspensionReason::Results), T + REFUSAL_PAUSE);
        assert_eq!(breaker.admit(T + REFUSAL_PAUSE + RESULTS_PAUSE), Admission::Hold, "one probe at a time");
    }
}
