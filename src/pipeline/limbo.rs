//! Decisions that could not be carried out: the queue went away between a provider's answer and its result.
//!
//! The job will be handed out again. If it comes to us, the decision is carried out then, and nothing is sent twice.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::reception::Job;
use crate::model::progress::Progress;
use crate::ports::broker::Settlement;

/// So many are remembered; beyond it the job of the oldest is rather sent again.
const CAPACITY: usize = 10_000;
/// Another replica may have had the job since: what is older is forgotten, the time not counted in which no job could come.
const LIFETIME: Duration = Duration::from_secs(15 * 60);

/// What was decided about a job.
#[derive(Debug, Clone)]
pub enum Decision {
    Settle(Box<Settlement>),
    Defer {
        progress: Box<Progress>,
        /// Until when the job is left alone, by the clock's `elapsed`.
        until: Duration,
    },
}

/// One message in one state: the same ID on another room, in another run, or after other attempts, is another one. Copies
/// of a job that went different ways know different request IDs, and none may take the other's place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mark {
    job: String,
    /// Of the body, and of when each attempt was made.
    content: u64,
    run: u32,
    attempts: u32,
}

impl Mark {
    /// Of a job as it was handed out, before anything is done with it.
    pub fn of(job: &Job) -> Self {
        let mut hasher = DefaultHasher::new();
        job.delivery.message.body.hash(&mut hasher);
        for attempt in &job.progress.log {
            attempt.at.hash(&mut hasher);
        }
        Self {
            job: job.job.job_id.as_str().to_owned(),
            content: hasher.finish(),
            run: job.progress.run,
            attempts: job.progress.attempts,
        }
    }
}

/// The jobs that are in our hands, or whose decision is still to be carried out.
#[derive(Default)]
pub struct Limbo {
    jobs: Mutex<Jobs>,
}

#[derive(Default)]
struct Jobs {
    aloft: HashSet<Mark>,
    decided: HashMap<Mark, (Duration, Decision)>,
}

/// What is known of a job that was handed out.
pub enum Known {
    /// Nothing: it may be sent.
    No,
    /// A copy of it is in our hands right now.
    Aloft,
    /// This is to be done with it.
    Decided(Decision),
}

/// Marks a job as being in our hands; dropped, it is no longer.
pub struct Aloft {
    limbo: Arc<Limbo>,
    pub mark: Mark,
}

impl Limbo {
    /// Looks a job up; a decision is handed over. `now` is the clock's `elapsed`, here and below.
    pub fn look_up(&self, mark: &Mark, now: Duration) -> Known {
        let mut jobs = self.jobs();
        let decided = jobs.decided.remove(mark).filter(|(since, _)| now < *since + LIFETIME);
        match decided {
            Some((_, decision)) => Known::Decided(decision),
            None if jobs.aloft.contains(mark) => Known::Aloft,
            None => Known::No,
        }
    }

    /// Looks a job up, and leaves a decision where it is.
    pub fn peek(&self, mark: &Mark, now: Duration) -> Known {
        let known = self.look_up(mark, now);
        if let Known::Decided(decision) = &known {
            self.remember(mark, decision.clone(), now);
        }
        known
    }

    /// A decision was carried out.
    pub fn forget(&self, mark: &Mark) {
        self.jobs().decided.remove(mark);
    }

    pub fn take_off(self: &Arc<Self>, mark: Mark) -> Aloft {
        self.jobs().aloft.insert(mark.clone());
        Aloft { limbo: self.clone(), mark }
    }

    /// Remembers a decision for when the job is handed out again.
    pub fn remember(&self, mark: &Mark, decision: Decision, now: Duration) {
        let mut jobs = self.jobs();
        if jobs.decided.len() >= CAPACITY {
            let oldest = jobs.decided.iter().min_by_key(|(_, (since, _))| *since).map(|(mark, _)| mark.clone());
            oldest.and_then(|oldest| jobs.decided.remove(&oldest));
        }
        jobs.decided.insert(mark.clone(), (now, decision));
    }

    /// Forgets what is old by now. What is left is as new as if it were decided now, for the queue takes no results.
    pub fn stop_ageing(&self, now: Duration) {
        self.jobs().decided.retain(|_, (since, _)| now < *since + LIFETIME);
        self.renew(now);
    }

    /// All of it is as new as if it were decided now: until now no job could come.
    pub fn renew(&self, now: Duration) {
        self.jobs().decided.values_mut().for_each(|(since, _)| *since = now);
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Aloft {
    fn drop(&mut self) {
        self.limbo.jobs().aloft.remove(&self.mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn mark(n: usize) -> Mark {
        Mark { job: n.to_string(), content: 0, run: 1, attempts: 0 }
    }

    fn decision() -> Decision {
        Decision::Defer { progress: Box::new(Progress::received(jiff::Timestamp::UNIX_EPOCH)), until: Duration::ZERO }
    }

    fn is_known(limbo: &Limbo, n: usize, now: Duration) -> bool {
        matches!(limbo.look_up(&mark(n), now), Known::Decided(_))
    }

    #[test]
    fn a_decision_lives_as_long_as_the_outage_and_a_quarter_of_an_hour() {
        let limbo = Limbo::default();
        limbo.remember(&mark(1), decision(), Duration::ZERO);
        limbo.remember(&mark(2), decision(), 10 * MINUTE);
        limbo.stop_ageing(20 * MINUTE);
        limbo.renew(500 * MINUTE);
        assert!(!is_known(&limbo, 1, 501 * MINUTE), "it was old when the outage began");
        limbo.remember(&mark(3), decision(), 500 * MINUTE);
        assert!(is_known(&limbo, 2, 514 * MINUTE));
        assert!(!is_known(&limbo, 3, 515 * MINUTE));
    }

    #[test]
    fn the_oldest_decision_makes_room_for_a_new_one() {
        let limbo = Limbo::default();
        for n in 0..=CAPACITY {
            limbo.remember(&mark(n), decision(), Duration::from_millis(n as u64));
        }
        let now = Duration::from_millis(CAPACITY as u64);
        assert_eq!([0, 1, CAPACITY].map(|n| is_known(&limbo, n, now)), [false, true, true]);
    }
}
