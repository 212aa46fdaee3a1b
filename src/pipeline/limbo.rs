//! Decisions that could not be carried out: the queue went away between a provider's answer and its result.
//!
//! The job will be handed out again. If it comes to us, the decision is carried out then, and nothing is sent twice.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::ids::JobId;
use crate::model::progress::Progress;
use crate::ports::broker::Settlement;

/// So many are remembered; beyond it a job is rather sent again.
const CAPACITY: usize = 10_000;

/// What was decided about a job.
#[derive(Debug, Clone)]
pub enum Decision {
    Settle(Box<Settlement>),
    Defer(Box<Progress>),
}

/// The jobs of one provider that are being sent, or whose decision is still to be carried out.
#[derive(Default)]
pub struct Limbo {
    jobs: Mutex<Jobs>,
}

#[derive(Default)]
struct Jobs {
    aloft: HashSet<JobId>,
    decided: HashMap<JobId, Decision>,
}

/// What is known of a job that was handed out.
pub enum Known {
    /// Nothing: it may be sent.
    No,
    /// A copy of it is being sent right now.
    Aloft,
    /// This is to be done with it.
    Decided(Decision),
}

impl Limbo {
    /// Looks a job up; a decision is handed over.
    pub fn look_up(&self, job: &JobId) -> Known {
        let mut jobs = self.jobs();
        match jobs.decided.remove(job) {
            Some(decision) => Known::Decided(decision),
            None if jobs.aloft.contains(job) => Known::Aloft,
            None => Known::No,
        }
    }

    pub fn took_off(&self, job: &JobId) {
        self.jobs().aloft.insert(job.clone());
    }

    pub fn landed(&self, job: &JobId) {
        self.jobs().aloft.remove(job);
    }

    /// Remembers a decision for when the job is handed out again.
    pub fn remember(&self, job: JobId, decision: Decision) {
        let mut jobs = self.jobs();
        if jobs.decided.len() < CAPACITY {
            jobs.decided.insert(job, decision);
        }
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
