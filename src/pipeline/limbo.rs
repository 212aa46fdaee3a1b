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

/// So many are remembered; beyond it a job is rather sent again.
const CAPACITY: usize = 10_000;
/// Another replica may have had the job since: what is older is forgotten.
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

/// The jobs of one provider that are in our hands, or whose decision is still to be carried out.
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

    pub fn take_off(self: &Arc<Self>, mark: Mark) -> Aloft {
        self.jobs().aloft.insert(mark.clone());
        Aloft { limbo: self.clone(), mark }
    }

    /// Remembers a decision for when the job is handed out again.
    pub fn remember(&self, mark: &Mark, decision: Decision, now: Duration) {
        let mut jobs = self.jobs();
        if jobs.decided.len() >= CAPACITY {
            jobs.decided.retain(|_, (since, _)| now < *since + LIFETIME);
        }
        if jobs.decided.len() < CAPACITY {
            jobs.decided.insert(mark.clone(), (now, decision));
        }
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
