//! Dead letters: jobs that ended badly, kept for people to look at, to send again or to throw away.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::decode::{self, Invalid};
use super::ids::{AppId, BatchId, JobId, ProviderName, RequestId, RoomId};
use super::job::{DismissJob, Lane};
use super::progress::Progress;
use super::result::Outcome;

/// Tells a dead letter from the others that lie beside it; two that agree in everything may share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark(pub u128);

/// One dead letter, whole.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    pub mark: Mark,
    /// As the producer sent it.
    pub body: Vec<u8>,
    pub job_id: Option<JobId>,
    /// None where it was not put here by a worker.
    pub outcome: Option<Outcome>,
    /// Code and message.
    pub error: String,
    /// None in letters of earlier versions.
    pub settled_at: Option<Timestamp>,
    /// How the run went that ended here; None in letters of earlier versions.
    pub last_run: Option<Progress>,
    /// All else that lay beside the body.
    pub properties: Value,
    /// What of it could not be read, and why.
    pub unreadable: Option<String>,
}

/// What a list shows of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub job_id: Option<JobId>,
    pub provider: Option<ProviderName>,
    pub app_id: Option<AppId>,
    pub room_id: Option<RoomId>,
    pub batch_id: Option<BatchId>,
    pub lane: Option<Lane>,
    pub outcome: Option<Outcome>,
    pub error: String,
    pub run: Option<u32>,
    pub attempts: Option<u32>,
    /// The last one that the provider gave.
    pub request_id: Option<RequestId>,
    pub settled_at: Option<Timestamp>,
}

/// A dead letter as a new job.
#[derive(Debug, Clone, PartialEq)]
pub struct Redrive {
    pub job: DismissJob,
    /// Nothing but the number of the run.
    pub progress: Progress,
}

impl DeadLetter {
    pub fn summary(&self) -> Summary {
        let last_run = self.last_run.as_ref();
        let readable = match self.decode() {
            Ok(job) => decode::Readable {
                provider: Some(job.provider),
                app_id: Some(job.app_id),
                room_id: Some(job.room_id),
                batch_id: job.batch_id,
                lane: Some(job.lane),
                ..decode::Readable::default()
            },
            Err(invalid) => *invalid.readable,
        };
        Summary {
            job_id: self.job_id.clone(),
            provider: readable.provider,
            app_id: readable.app_id,
            room_id: readable.room_id,
            batch_id: readable.batch_id,
            lane: readable.lane,
            outcome: self.outcome,
            error: self.error.clone(),
            run: last_run.map(|progress| progress.run),
            attempts: last_run.map(|progress| progress.attempts),
            request_id: last_run.and_then(|progress| progress.request_id().cloned()),
            settled_at: self.settled_at,
        }
    }

    /// As the first attempt of its next run, which is received now: what it waited as a dead letter is no time of ours.
    /// What is no job cannot become one, for nothing of it is ever rewritten.
    pub fn redrive(&self, now: Timestamp) -> Result<Redrive, Invalid> {
        if let Some(fault) = &self.unreadable {
            return Err(Invalid { message: fault.clone(), readable: Box::new(decode::readable(&self.body)) });
        }
        let job = self.decode()?;
        let run = self.last_run.as_ref().map_or(1, |progress| progress.run);
        Ok(Redrive { job, progress: Progress { run: run.saturating_add(1), ..Progress::received(now) } })
    }

    fn decode(&self) -> Result<DismissJob, Invalid> {
        match &self.job_id {
            Some(id) => decode::decode(&self.body, id),
            None => decode::decode(&self.body, &nameless()),
        }
    }
}

fn nameless() -> JobId {
    JobId::parse("unknown").expect("short and plain")
}

/// Which dead letters are meant; what is absent excludes none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub provider: Option<ProviderName>,
    pub outcome: Option<Outcome>,
    pub batch: Option<BatchId>,
    pub app: Option<AppId>,
    pub room: Option<RoomId>,
    pub job: Option<JobId>,
    /// Settled so long ago, or longer.
    pub older_than: Option<Duration>,
    /// Settled less long ago. A letter of unknown age is neither older nor newer than anything.
    pub newer_than: Option<Duration>,
}

impl Filter {
    pub fn matches(&self, letter: &Summary, now: Timestamp) -> bool {
        fn fits<T: PartialEq>(wanted: &Option<T>, found: &Option<T>) -> bool {
            wanted.is_none() || wanted == found
        }
        let age = letter.settled_at.map(|at| now.duration_since(at));
        let is_older = |limit: &Duration| age.is_some_and(|age| age >= signed(*limit));
        let is_newer = |limit: &Duration| age.is_some_and(|age| age < signed(*limit));
        fits(&self.provider, &letter.provider)
            && fits(&self.outcome, &letter.outcome)
            && fits(&self.batch, &letter.batch_id)
            && fits(&self.app, &letter.app_id)
            && fits(&self.room, &letter.room_id)
            && fits(&self.job, &letter.job_id)
            && self.older_than.as_ref().is_none_or(is_older)
            && self.newer_than.as_ref().is_none_or(is_newer)
    }
}

fn signed(limit: Duration) -> SignedDuration {
    SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
#[path = "dead_tests.rs"]
mod tests;
