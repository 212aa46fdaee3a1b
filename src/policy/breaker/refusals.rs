//! Whose a refusal is: what the breaker knows of jobs that were refused and taken.

use std::time::Duration;

use super::{Breaker, Event, Role, State, pause_after};
use crate::model::ids::JobId;
use crate::model::suspension::SuspensionReason;
use crate::policy::doubt::{Blame, Doubt, Refusal, Weight};

/// So many jobs refused in a row, none taken since, are the provider's refusal where nothing else is known.
const JOBS_TO_PROVE: usize = 3;
/// So many more at most where refusals were disproved of late: then some jobs are known to be refused for themselves.
const MOST_DISPROVED: usize = 2;
/// For so long a request that was taken shows that credentials and configuration are good: enough to clear the provider
/// of the refusals of a job that others have disproved before.
const TRUST: Duration = Duration::from_secs(300);
/// A job that was refused so soon after another one was taken, and nobody comes after it, was the last of its batch: that
/// the credentials went bad just between the two is far less likely than that the job is.
const MOMENT: Duration = Duration::from_secs(1);
/// After this long a doubt needs whatever witness there is.
const LASTING_DOUBT: Duration = Duration::from_secs(10);
/// No more than so many jobs are taken for the last ones of a batch.
const LAST_OF_A_BATCH: usize = 2;
/// So many jobs are remembered of which a refusal was disproved after they had gone back to their queue.
const MOST_OWED: usize = 1_000;

impl Breaker {
    /// Takes in that a job was refused, and says whose that is; None while it is in doubt: [`Breaker::blame`] tells later.
    pub fn observe_refusal(&mut self, refusal: &Refusal<'_>, role: Role, now: Duration) -> Option<Blame> {
        let event = Event::Refused(refusal.reason);
        match (self.state, role) {
            (State::Closed { .. }, _) => {}
            // It is there, and refuses somebody.
            (State::Probing { reason: SuspensionReason::Outage, .. }, Role::Probe) => {
                self.state = State::Closed { failures: 0 };
            }
            (State::Open { .. } | State::Probing { .. }, Role::Ordinary) => {
                let proved_until = self.proved_until.map(|proved| proved.max(refusal.written));
                self.observe(event, now);
                self.proved_until = proved_until;
                return Some(Blame::Provider);
            }
            (State::Open { .. } | State::Probing { .. }, Role::Probe) => {
                self.observe_probe(event, now);
                return Some(Blame::Provider);
            }
        }
        if let Some(blame) = self.known_blame(refusal) {
            if role == Role::Probe {
                self.witness_gone();
            }
            return Some(blame);
        }
        let (jobs, is_known) = (self.jobs_to_prove(refusal.written), self.is_known(refusal));
        let doubt = self.doubt.get_or_insert_with(|| Doubt::new(refusal.reason, now));
        let is_waiting = is_known && refusal.written < doubt.since + LASTING_DOUBT;
        let weight = if is_waiting { Weight::None } else { Weight::Full };
        doubt.accuse(refusal, weight);
        match (role, weight) {
            (Role::Ordinary, _) => {}
            (Role::Probe, Weight::Full) => doubt.attest(refusal.written),
            (Role::Probe, Weight::None) => doubt.witness_gone(),
        }
        if !doubt.is_proved(jobs) {
            return None;
        }
        let (reason, last) = (doubt.reason, doubt.last_written());
        self.prove(reason, last, now);
        Some(Blame::Provider)
    }

    /// It is the provider that refuses; the last one that it did was written at `last`.
    fn prove(&mut self, reason: SuspensionReason, last: Duration, now: Duration) {
        self.state = self.opened(reason, now, pause_after(reason));
        self.proved_until = Some(last);
    }

    /// Whose a refusal is that was in doubt; None while it still is.
    pub fn blame(&mut self, job: &JobId) -> Option<Blame> {
        match (self.forgive(job), &self.doubt) {
            (true, _) => Some(Blame::Job(1)),
            (false, Some(doubt)) if doubt.accuses(job) && !doubt.is_declared => None,
            (false, Some(_) | None) => Some(Blame::Provider),
        }
    }

    /// A refused job has waited for its judgement, and unless a witness is under way, there is none to be had: many jobs in
    /// a row need none; but for the last ones of a batch the provider counts as suspended until there is one.
    pub fn declare(&mut self, now: Duration) {
        let jobs = self.jobs_to_prove(now);
        let Some(doubt) = self.doubt.as_mut().filter(|doubt| !doubt.is_asking()) else { return };
        let (reason, last) = (doubt.reason, doubt.last_written());
        if doubt.are_many(jobs) {
            self.prove(reason, last, now);
        } else if !doubt.are_many(LAST_OF_A_BATCH + 1) && self.taken.is_some_and(|taken| last <= taken + MOMENT) {
            self.clear(Duration::MAX);
        } else {
            doubt.is_declared = true;
        }
    }

    /// Whose a refusal is, where no witness is needed.
    fn known_blame(&mut self, refusal: &Refusal<'_>) -> Option<Blame> {
        let is_disproved = self.taken.is_some_and(|taken| refusal.written < taken);
        if !is_disproved && (self.doubt.is_some() || !self.is_known(refusal)) {
            return None;
        }
        self.disproved += 1;
        Some(Blame::Job(1 + u32::from(self.forgive(refusal.job))))
    }

    /// Whether others have disproved the job before, not long after one was taken: that it is refused again says nothing of
    /// the provider.
    fn is_known(&self, refusal: &Refusal<'_>) -> bool {
        let is_trusted = self.taken.is_some_and(|taken| refusal.written <= taken + TRUST);
        is_trusted && (refusal.disproved > 0 || self.owed.contains(refusal.job))
    }

    /// Takes a job from those who are owed a word; false if it is none of them.
    fn forgive(&mut self, job: &JobId) -> bool {
        let place = self.owed.iter().position(|owed| owed == job);
        place.and_then(|place| self.owed.remove(place)).is_some()
    }

    /// How many jobs must be refused in a row. After some that were refused for themselves, a few more may follow each
    /// other by chance.
    pub(super) fn jobs_to_prove(&self, now: Duration) -> usize {
        let trusted = self.taken.is_some_and(|taken| now <= taken + TRUST);
        JOBS_TO_PROVE + usize::from(trusted) + self.disproved.min(MOST_DISPROVED)
    }

    /// The provider took a request that was written then.
    pub(super) fn take(&mut self, written: Duration) {
        if let State::Closed { .. } = self.state {
            self.taken = self.taken.max(Some(written));
        }
        self.clear(written);
    }

    /// Lays on their jobs the refusals of what was written before.
    fn clear(&mut self, written: Duration) {
        let Some(doubt) = &mut self.doubt else { return };
        let cleared = doubt.disproved_by(written);
        if doubt.is_over() {
            self.doubt = None;
        }
        self.disproved += cleared.len();
        self.owed.extend(cleared);
        while self.owed.len() > MOST_OWED {
            self.owed.pop_front();
        }
    }

    pub(super) fn witness_gone(&mut self) {
        if let Some(doubt) = &mut self.doubt {
            doubt.witness_gone();
        }
    }
}
