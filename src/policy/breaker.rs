//! Whether a provider may be sent to: a circuit breaker as a state machine over (event, moment).

mod refusals;

use std::collections::VecDeque;
use std::time::Duration;

use super::doubt::Doubt;
use crate::model::ids::JobId;
use crate::model::suspension::SuspensionReason;

/// So many failures in a row open the breaker.
const FAILURES_TO_OPEN: u32 = 20;
/// The first pause after an outage was noticed; it doubles with each probe that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause during an outage.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The pause after refused credentials or configuration: one cloud locks a key that is tried too often.
const REFUSAL_PAUSE: Duration = Duration::from_secs(30);
/// Whether a request is the one that tries whether a suspended provider is back, or whether another job is refused too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Ordinary,
    Probe,
}

/// What an attempt says about the provider's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It took a request that was written at this moment as one of ours, whatever it said about the job.
    Taken(Duration),
    /// It answered, as with a throttle: it is there, and may not even have looked at our credentials.
    Answered,
    /// It failed, or could not be reached.
    Failed,
    /// It refused us for this reason, and no job can be blamed.
    Refused(SuspensionReason),
    /// It refused settings that have been replaced since.
    Outdated(SuspensionReason),
}

/// Whether a request may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Go,
    /// A single one, to see whether the provider is back or takes another job. Asking took the probe.
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
    /// Present while it is closed and a refusal is not judged yet.
    doubt: Option<Doubt>,
    /// When the last request was written that the provider took under the present settings.
    taken: Option<Duration>,
    /// What was written later than this and is taken shows that the suspension was a mistake.
    proved_until: Option<Duration>,
    /// Refusals that were disproved since the provider was last suspended.
    disproved: usize,
    /// Jobs of which a refusal was disproved, and who have not heard of it.
    owed: VecDeque<JobId>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: State::Closed { failures: 0 },
            rest_until: Duration::ZERO,
            doubt: None,
            taken: None,
            proved_until: None,
            disproved: 0,
            owed: VecDeque::new(),
        }
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
            State::Closed { .. } => {
                let declared = self.doubt.as_ref().filter(|doubt| doubt.is_declared)?;
                Some(Suspension { reason: declared.reason, since: declared.since, next_probe: None })
            }
            State::Open { reason, since, until, .. } => Some(Suspension { reason, since, next_probe: Some(until) }),
            State::Probing { reason, since, .. } => Some(Suspension { reason, since, next_probe: None }),
        }
    }

    /// Why its jobs are left in their queues, if they are. While a refusal is in doubt they are not: any other job may
    /// be the witness. Nor are they in an outage: its pauses are short.
    pub fn refusing(&self) -> Option<SuspensionReason> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { reason, .. } | State::Probing { reason, .. } => match reason {
                SuspensionReason::Outage | SuspensionReason::Results => None,
                SuspensionReason::Credentials | SuspensionReason::Configuration | SuspensionReason::Paused => {
                    Some(reason)
                }
            },
        }
    }

    /// Asks for one request.
    pub fn admit(&mut self, now: Duration) -> Admission {
        match self.state {
            State::Closed { .. } => {
                let jobs = self.jobs_to_prove(now);
                self.doubt.as_mut().map_or(Admission::Go, |doubt| doubt.admit(jobs, now))
            }
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
        matches!(self.state, State::Closed { .. }) && self.doubt.is_none()
    }

    /// Whether the probe that was admitted is still waited for.
    pub fn is_probing(&self) -> bool {
        matches!(self.state, State::Probing { .. }) || self.doubt.as_ref().is_some_and(Doubt::is_asking)
    }

    /// The probe was not sent after all: another one may be taken.
    pub fn probe_unsent(&mut self, now: Duration) {
        self.witness_gone();
        if let State::Probing { reason, since, pause } = self.state {
            self.state = State::Open { reason, since, until: now, pause };
        }
    }

    /// The provider's settings were replaced. What was refused as misconfigured may be tried at once, for somebody has
    /// seen to it; refused credentials keep their pause, whatever stands in their place.
    pub fn reconfigured(&mut self, now: Duration) {
        self.taken = None;
        if let State::Open { reason: reason @ SuspensionReason::Configuration, since, pause, .. } = self.state {
            self.state = State::Open { reason, since, until: now.max(self.rest_until), pause };
        }
    }

    /// Takes in what an ordinary request showed. While the breaker is open such news is late: only a refusal changes
    /// anything, for it tells more than a failure did, and what disproves one. No refusal makes a pause shorter.
    pub fn observe(&mut self, event: Event, now: Duration) {
        if let Event::Taken(written) = event {
            self.take(written);
        }
        self.state = match (self.state, event) {
            (State::Closed { .. }, Event::Taken(_) | Event::Answered) => State::Closed { failures: 0 },
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
            (State::Open { .. } | State::Probing { .. }, Event::Taken(written))
                if self.proved_until.is_some_and(|proved| proved < written) =>
            {
                State::Closed { failures: 0 }
            }
            (state @ State::Closed { .. }, Event::Outdated(_))
            | (
                state @ (State::Open { .. } | State::Probing { .. }),
                Event::Taken(_) | Event::Answered | Event::Failed | Event::Outdated(_),
            ) => state,
        };
    }

    /// Takes in what the probe showed. One that fails proves nothing about a refusal.
    pub fn observe_probe(&mut self, event: Event, now: Duration) {
        let (reason, since, pause) = match self.state {
            State::Probing { reason, since, pause } => (reason, since, pause),
            State::Closed { .. } | State::Open { .. } => {
                self.witness_gone();
                return self.observe(event, now);
            }
        };
        self.state = match (event, reason) {
            (Event::Taken(_) | Event::Answered, _) => State::Closed { failures: 0 },
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
        if let Event::Taken(written) = event {
            self.take(written);
        }
    }

    /// Open from now on; the same reason goes on.
    fn opened(&mut self, reason: SuspensionReason, now: Duration, pause: Duration) -> State {
        if reason == SuspensionReason::Credentials {
            self.rest_until = self.rest_until.max(now + pause);
        }
        let since = self.suspension().filter(|known| known.reason == reason).map_or(now, |known| known.since);
        (self.doubt, self.proved_until) = (None, None);
        if reason != SuspensionReason::Outage {
            (self.taken, self.disproved) = (None, 0);
        }
        State::Open { reason, since, until: (now + pause).max(self.rest_until), pause }
    }
}

fn pause_after(reason: SuspensionReason) -> Duration {
    match reason {
        SuspensionReason::Outage | SuspensionReason::Results => FIRST_PAUSE,
        SuspensionReason::Credentials | SuspensionReason::Configuration | SuspensionReason::Paused => REFUSAL_PAUSE,
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
