//! A delivery becomes a job, or is refused with a reason.

use std::time::Duration;

use uuid::{NoContext, Uuid};

use super::account::Common;
use super::limbo::{Aloft, Decision, Known, Mark};
use crate::model::decode::{self, Invalid};
use crate::model::ids::JobId;
use crate::model::job::DismissJob;
use crate::model::progress::Progress;
use crate::model::result::{DismissResult, Ending, Outcome};
use crate::model::verdict::Fault;
use crate::ports::broker::{Delivery, LaneKey, Message, ProviderKnown, QueueEnding, Settlement};

/// A copy of a job that is being sent comes back after this long, when more is known.
const COPY_WAIT: Duration = Duration::from_secs(1);

/// A job in hand, with all that is known of it.
pub struct Job {
    pub job: DismissJob,
    pub progress: Progress,
    pub delivery: Delivery,
    /// Present while the job counts as being in our hands.
    pub hold: Option<Aloft>,
}

impl Job {
    /// Where the job's own body says that it belongs.
    pub fn lane(&self) -> LaneKey {
        LaneKey { provider: self.job.provider.clone(), lane: self.job.lane }
    }

    /// For the queue where it belongs; what is known of the job goes with it.
    pub fn onward(mut self) -> (Delivery, LaneKey) {
        let lane = self.lane();
        if self.progress.attempts > 0 || self.progress.run > 1 {
            self.delivery.message.progress = Some(self.progress);
        }
        (self.delivery, lane)
    }

    /// Until when it is left alone because a copy of it is in our hands, by the clock's `elapsed`: then more is known.
    pub fn copy_until(&self, common: &Common) -> Duration {
        common.clock.elapsed() + COPY_WAIT.max(self.progress.wait())
    }

    /// The decision to leave it alone until then, by the clock's `elapsed`.
    pub fn deferred(&self, until: Duration) -> Decision {
        Decision::Defer { progress: Box::new(self.progress.clone()), until }
    }

    /// Its end where its time is over.
    pub fn expired(&self, common: &Common) -> Settlement {
        let fault = Fault::new("expired", "expires_at passed before the job was sent");
        self.settlement(common, Outcome::Expired, Some(fault))
    }

    /// Its end where its batch was cancelled.
    pub fn cancelled(&self, common: &Common) -> Settlement {
        let fault = Fault::new("cancelled", "its batch was cancelled before the job was sent");
        self.settlement(common, Outcome::Cancelled, Some(fault))
    }

    /// How the job ends, with everything noted so far.
    pub fn settlement(&self, common: &Common, outcome: Outcome, error: Option<Fault>) -> Settlement {
        let ending = Ending { outcome, error };
        let settled_at = common.clock.now();
        let result = DismissResult::of(&self.job, self.progress.clone(), ending, settled_at, &common.worker);
        Settlement { result, provider_known: ProviderKnown::Yes }
    }
}

/// What a delivery turned out to be.
pub enum Received {
    Job(Box<Job>),
    /// It ends here and now.
    Over(Box<Over>),
    /// The queue gave up on it, and a copy of it is in our hands: that one decides.
    InHand(Box<Job>),
}

/// A delivery that needs no provider any more.
pub struct Over {
    pub delivery: Delivery,
    pub settlement: Settlement,
    /// Under what the decision is remembered that is carried out with it, if one was.
    pub decided: Option<Mark>,
}

impl Over {
    /// Without a decision that was remembered.
    pub fn of(delivery: Delivery, settlement: Settlement) -> Self {
        Self { delivery, settlement, decided: None }
    }
}

/// Reads a delivery. A job without an ID is given one, which travels on with it.
pub fn receive(mut delivery: Delivery, common: &Common) -> Received {
    let now = common.clock.now();
    let progress = delivery.message.progress.take().unwrap_or_else(|| Progress::received(now));
    let given = delivery.message.message_id.as_deref().and_then(|id| JobId::parse(id).ok());
    let fallback = given.unwrap_or_else(|| new_id(common));
    match read(&delivery.message, &fallback) {
        Ok(job) => {
            // An ID in the body travels there; the message keeps the one that its producer gave it.
            if job.job_id == fallback {
                delivery.message.message_id = Some(job.job_id.as_str().to_owned());
            }
            let job = Job { job, progress, delivery, hold: None };
            match job.delivery.message.ended.as_ref().and_then(ending) {
                None => Received::Job(Box::new(job)),
                Some(ended) => given_up(job, ended, common),
            }
        }
        Err(invalid) => {
            let settlement = refuse(invalid, fallback, progress, common);
            Received::Over(Box::new(Over::of(delivery, settlement)))
        }
    }
}

fn read(message: &Message, fallback: &JobId) -> Result<DismissJob, Invalid> {
    match &message.unreadable {
        None => decode::decode(&message.body, fallback),
        Some(fault) => Err(Invalid { message: fault.clone(), readable: Box::new(decode::readable(&message.body)) }),
    }
}

/// The end of a job that the queue gave up: what its provider accepted is not lost with that.
fn given_up(mut job: Job, (outcome, error): (Outcome, Fault), common: &Common) -> Received {
    let mark = Mark::of(&job);
    let mut settle = |progress: Option<Progress>| {
        job.progress = progress.unwrap_or_else(|| job.progress.clone());
        job.settlement(common, outcome, Some(error.clone()))
    };
    // It is not handed over yet: whoever carries it out may be stopped.
    let (settlement, decided) = match common.limbo.peek(&mark, common.clock.elapsed()) {
        Known::Aloft => return Received::InHand(Box::new(job)),
        Known::Decided(Decision::Settle(settlement)) => (*settlement, Some(mark)),
        Known::Decided(Decision::Defer { progress, .. }) => (settle(Some(*progress)), Some(mark)),
        Known::No => (settle(None), None),
    };
    Received::Over(Box::new(Over { delivery: job.delivery, settlement, decided }))
}

/// The end of a job whose provider nobody here knows.
pub fn unknown_provider(job: &Job, common: &Common) -> Settlement {
    let message = format!("provider: no provider {:?} is configured", job.job.provider.as_str());
    let mut settlement = job.settlement(common, Outcome::Invalid, Some(Fault::new("unknown_provider", message)));
    settlement.provider_known = ProviderKnown::No;
    settlement
}

fn refuse(invalid: Invalid, fallback: JobId, progress: Progress, common: &Common) -> Settlement {
    let job_id = invalid.readable.job_id.clone().unwrap_or(fallback);
    let error = Some(Fault::new("invalid_job", invalid.message));
    let ending = Ending { outcome: Outcome::Invalid, error };
    let settled_at = common.clock.now();
    let result = DismissResult::of_readable(job_id, *invalid.readable, progress, ending, settled_at, &common.worker);
    let provider_known = match &result.provider {
        Some(name) if common.knows(name) => ProviderKnown::Yes,
        Some(_) | None => ProviderKnown::No,
    };
    Settlement { result, provider_known }
}

/// How a job ends that the queue gave up on; None where it goes on.
fn ending(ended: &QueueEnding) -> Option<(Outcome, Fault)> {
    match ended {
        QueueEnding::DeliveryLimit => {
            let message = "the queue handed the job out too often without an answer";
            Some((Outcome::Exhausted, Fault::new("delivery_limit", message)))
        }
        QueueEnding::Expiration => {
            Some((Outcome::Expired, Fault::new("expired", "the message's own expiration passed in the queue")))
        }
        QueueEnding::Evicted { .. } => None,
    }
}

fn new_id(common: &Common) -> JobId {
    let now = common.clock.now();
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or_default();
    let id = Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanos));
    JobId::parse(id.to_string()).expect("a UUID is a job ID")
}

#[cfg(test)]
#[path = "reception_tests.rs"]
mod tests;
