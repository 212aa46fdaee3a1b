//! What is to be done with the best job at hand.

use std::sync::Arc;
use std::time::Duration;

use super::account::{Account, Service};
use super::carry::tell;
use super::gate::Permit;
use super::health::Role;
use super::limbo::{Decision, Known};
use super::reception::{self, Job, Received};
use crate::model::job::Lane;
use crate::model::result::Outcome;
use crate::model::verdict::Fault;
use crate::ports::broker::{BrokerError, Delivery, LaneKey, Settlement};

/// A copy of a job that is being sent comes back after this long, when more is known.
const COPY_WAIT: Duration = Duration::from_secs(1);

/// The right to send one request: the breaker and the quota agreed. Dropped unused it costs nothing.
pub struct Pass {
    pub permit: Permit,
    ticket: Ticket,
}

impl Pass {
    /// Waits for the breaker, then for a slot and a token. Cancel-safe.
    pub async fn get(account: &Arc<Account>) -> Pass {
        let ticket = Ticket { role: account.health.admitted().await, account: account.clone() };
        Pass { permit: account.gate.pass().await, ticket }
    }

    pub fn role(&self) -> Role {
        self.ticket.role
    }
}

/// What the breaker gave: a probe that is not sent is given back.
struct Ticket {
    role: Role,
    account: Arc<Account>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.account.health.unsent(self.role);
    }
}

/// A job and what is to be done with it.
pub enum Picked {
    Send { job: Box<Job>, pass: Pass },
    Finish { job: Box<Job>, decision: Decision },
    Settle { delivery: Box<Delivery>, settlement: Box<Settlement> },
    Move { job: Box<Job>, lane: LaneKey },
}

impl Picked {
    /// The lane that it came from.
    pub fn lane(&self) -> Lane {
        let origin = match self {
            Picked::Send { job, .. } | Picked::Finish { job, .. } | Picked::Move { job, .. } => &job.delivery.origin,
            Picked::Settle { delivery, .. } => &delivery.origin,
        };
        origin.as_ref().map_or(Lane::Bulk, |origin| origin.lane)
    }
}

/// Sorts a delivery. Only a job that is to be sent takes the pass.
pub fn sort(account: &Account, delivery: Delivery, pass: &mut Option<Pass>) -> Picked {
    let common = &account.common;
    let origin = delivery.origin.clone();
    let job = match reception::receive(delivery, common) {
        Received::Over(delivery, settlement) => return Picked::Settle { delivery, settlement },
        Received::Job(job) => job,
    };
    let lane = job.lane();
    if origin.is_some_and(|origin| origin != lane) {
        return Picked::Move { job, lane };
    }
    let decision = match account.limbo.look_up(&job.job.job_id) {
        Known::Decided(decision) => Some(decision),
        Known::Aloft => Some(defer(&job, common.clock.now() + COPY_WAIT)),
        Known::No => instead_of_sending(account, &job),
    };
    match (decision, pass.take()) {
        (Some(decision), unused) => {
            *pass = unused;
            Picked::Finish { job, decision }
        }
        (None, Some(pass)) => Picked::Send { job, pass },
        (None, None) => {
            let decision = defer(&job, common.clock.now());
            Picked::Finish { job, decision }
        }
    }
}

/// Whether a job has no business at its provider, or not yet.
fn instead_of_sending(account: &Account, job: &Job) -> Option<Decision> {
    let common = &account.common;
    let now = common.clock.now();
    let settle = |outcome, fault| Some(Decision::Settle(Box::new(job.settlement(common, outcome, Some(fault)))));
    if account.service == Service::Retired {
        let fault = Fault::new("provider_retired", format!("provider: {} is retired", account.name));
        return settle(Outcome::Rejected, fault);
    }
    if job.job.is_expired(now) {
        return settle(Outcome::Expired, Fault::new("expired", "expires_at passed before the job was sent"));
    }
    if let Err(fault) = account.provider.admit(&job.job) {
        return settle(Outcome::Rejected, fault);
    }
    let due = job.progress.due.max(job.job.not_before);
    due.filter(|due| now < *due).map(|due| defer(job, due))
}

fn defer(job: &Job, due: jiff::Timestamp) -> Decision {
    let mut progress = job.progress.clone();
    progress.due = Some(due);
    Decision::Defer(Box::new(progress))
}

/// Settles what needed no provider.
pub async fn settle(account: &Account, delivery: Box<Delivery>, settlement: &Settlement) -> Result<(), BrokerError> {
    delivery.settle(settlement).await?;
    account.common.meter.settled(&settlement.result);
    tell(&settlement.result);
    Ok(())
}
