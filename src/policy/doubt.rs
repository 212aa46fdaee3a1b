//! Whose a refusal of credentials or configuration is while that is not known: the provider's state, or the job's own.
//!
//! All jobs go out with the same credentials in the same way. So a request that was written after a refused one, and
//! taken, disproves the refusal; and what several jobs are refused in a row, among them one that was sent to find out, is
//! the provider's.

use std::time::Duration;

use super::breaker::Admission;
use crate::model::ids::JobId;
use crate::model::suspension::SuspensionReason;

/// The witness that decides goes out so long after the first refusal: by then jobs are at hand that were published later, for
/// the first ones of a batch may be bad together.
const DISTANCE: Duration = Duration::from_secs(1);

/// A job's request that was refused for what others may share.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    pub job: &'a JobId,
    pub reason: SuspensionReason,
    /// When the request was written, by the clock that tells all moments here.
    pub written: Duration,
    /// How many of the job's earlier refusals others have disproved.
    pub disproved: u32,
}

/// Whose a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The provider's, or nobody knows: it costs the job nothing.
    Provider,
    /// The job's own: so many of its refusals are disproved by now that were not before.
    Job(u32),
}

/// What a refusal is worth as evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// The job was not disproved before: it may be the provider.
    Full,
    /// Others have disproved the job before: it only waits for the judgement.
    None,
}

#[derive(Debug, Clone)]
struct Accused {
    job: JobId,
    written: Duration,
    weight: Weight,
}

/// Some jobs were refused, and none was taken since. Witnesses are sent, one at a time.
#[derive(Debug, Clone)]
pub struct Doubt {
    pub reason: SuspensionReason,
    pub since: Duration,
    /// The last refusal of each job.
    accused: Vec<Accused>,
    witness: Witness,
    /// Whether a witness was refused as well that went out late enough.
    is_attested: bool,
    /// Whether no witness was to be had when one was waited for: then the provider counts as suspended.
    pub is_declared: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Witness {
    Wanted,
    UnderWay,
}

impl Doubt {
    pub fn new(reason: SuspensionReason, since: Duration) -> Self {
        let (accused, witness) = (Vec::new(), Witness::Wanted);
        Self { reason, since, accused, witness, is_attested: false, is_declared: false }
    }

    /// Asks for one request: only one witness goes out at a time, and where `jobs` would prove it only the last one is
    /// still to come.
    pub fn admit(&mut self, jobs: usize, now: Duration) -> Admission {
        let decides_at = self.since + DISTANCE;
        match self.witness {
            Witness::UnderWay => Admission::Hold,
            Witness::Wanted if self.are_many(jobs) && now < decides_at => Admission::Wait(decides_at),
            Witness::Wanted => {
                self.witness = Witness::UnderWay;
                Admission::Probe
            }
        }
    }

    /// The witness showed nothing, or was not sent.
    pub fn witness_gone(&mut self) {
        self.witness = Witness::Wanted;
    }

    pub fn is_asking(&self) -> bool {
        self.witness == Witness::UnderWay
    }

    pub fn accuses(&self, job: &JobId) -> bool {
        self.accused.iter().any(|accused| accused.job == *job)
    }

    /// Adds a refusal.
    pub fn accuse(&mut self, refusal: &Refusal<'_>, weight: Weight) {
        // One cloud locks a key that is tried too often: that is the graver of the two.
        if refusal.reason == SuspensionReason::Credentials {
            self.reason = refusal.reason;
        }
        match self.accused.iter_mut().find(|accused| accused.job == *refusal.job) {
            Some(accused) => {
                accused.written = accused.written.max(refusal.written);
                if weight == Weight::Full {
                    accused.weight = weight;
                }
            }
            None => self.accused.push(Accused { job: refusal.job.clone(), written: refusal.written, weight }),
        }
    }

    /// The witness was refused that was written then.
    pub fn attest(&mut self, written: Duration) {
        self.is_attested |= self.since + DISTANCE <= written;
        self.witness = Witness::Wanted;
    }

    /// Whether it is the provider: so many jobs were refused, and a witness is among them.
    pub fn is_proved(&self, jobs: usize) -> bool {
        self.is_attested && self.are_many(jobs)
    }

    /// Whether so many jobs were refused.
    pub fn are_many(&self, jobs: usize) -> bool {
        self.weighty().count() >= jobs
    }

    /// A request that was written then was taken: whom that clears of the provider's fault.
    pub fn disproved_by(&mut self, written: Duration) -> Vec<JobId> {
        let (before, since) = std::mem::take(&mut self.accused).into_iter().partition(|one| one.written < written);
        self.accused = since;
        let before: Vec<Accused> = before;
        before.into_iter().map(|accused| accused.job).collect()
    }

    fn weighty(&self) -> impl Iterator<Item = &Accused> {
        self.accused.iter().filter(|accused| accused.weight == Weight::Full)
    }

    /// Whether nobody is left whose refusal may be the provider's.
    pub fn is_over(&self) -> bool {
        self.weighty().next().is_none()
    }

    /// When the last refused request was written, of those that may be the provider's.
    pub fn last_written(&self) -> Duration {
        self.weighty().map(|accused| accused.written).max().unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "doubt_tests.rs"]
mod tests;
