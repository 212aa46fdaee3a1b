//! What is to be done with the best job at hand.

use std::sync::Arc;

use super::account::{Account, Service, Terms};
use super::dedupe::Checked;
use super::gate::Permit;
use super::health::Role;
use super::limbo::{Decision, Known, Mark};
use super::outlet::Verb;
use super::reception::{self, Job, Over, Received};
use crate::model::job::Lane;
use crate::model::result::{DismissResult, Outcome};
use crate::model::verdict::Fault;
use crate::ports::broker::{BrokerError, Delivery, ProviderKnown, Settlement};
use crate::ports::fence::Fence;
use crate::ports::meter::Found;

/// The right to send one request: the breaker and the quota agreed. Dropped unused it costs nothing.
pub struct Pass {
    pub permit: Permit,
    /// Of the lead under which it was had; it may have fallen since.
    pub fence: Fence,
    ticket: Ticket,
}

impl Pass {
    /// Waits for the queue, for what operators asked for, for the breaker, then for a slot and a token. Cancel-safe.
    pub async fn get(account: &Arc<Account>, fence: &Fence) -> Pass {
        fence.standing().await;
        account.common.books.orders.heard().await;
        let ticket = Ticket { role: account.health.admitted().await, account: account.clone() };
        Pass { permit: account.gate.pass().await, fence: fence.clone(), ticket }
    }

    /// Whether the breaker still agrees: the quota may have been long in coming.
    pub fn is_good(&self) -> bool {
        self.ticket.account.health.still_admits(self.ticket.role)
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
    Send {
        job: Box<Job>,
        pass: Pass,
        terms: Arc<Terms>,
    },
    Finish {
        job: Box<Job>,
        decision: Decision,
    },
    Settle {
        over: Box<Over>,
    },
    Move {
        job: Box<Job>,
    },
    /// Back to its queue: it is to be looked up first.
    Release {
        delivery: Box<Delivery>,
    },
}

impl Picked {
    /// The lane that it came from.
    pub fn lane(&self) -> Lane {
        let origin = match self {
            Picked::Send { job, .. } | Picked::Finish { job, .. } | Picked::Move { job } => &job.delivery.origin,
            Picked::Settle { over } => &over.delivery.origin,
            Picked::Release { delivery } => &delivery.origin,
        };
        origin.as_ref().map_or(Lane::Bulk, |origin| origin.lane)
    }
}

/// Sorts a delivery. Only a job that is to be sent takes the pass.
pub fn sort(account: &Account, delivery: Delivery, pass: &mut Option<Pass>, checked: Checked) -> Picked {
    let common = &account.common;
    let origin = delivery.origin.clone();
    let mut job = match reception::receive(delivery, common) {
        Received::Over(over) => return Picked::Settle { over },
        Received::InHand(job) => {
            let decision = job.deferred(job.copy_until(common));
            return Picked::Finish { job, decision };
        }
        Received::Job(job) => job,
    };
    if origin.is_some_and(|origin| origin != job.lane()) {
        return Picked::Move { job };
    }
    common.books.sightings.seen(&job.job, common.clock.now());
    let (mark, terms) = (Mark::of(&job), account.terms());
    let decision = match common.limbo.look_up(&mark, common.clock.elapsed()) {
        Known::Aloft => {
            let decision = job.deferred(job.copy_until(common));
            return Picked::Finish { job, decision };
        }
        Known::Decided(decision) => Some(decision),
        Known::No => match repeated(&job, &checked) {
            Repeated::Yes(result) => return answer(account, *job, result),
            Repeated::Perhaps => return Picked::Release { delivery: Box::new(job.delivery) },
            Repeated::No => instead_of_sending(account, &terms, &job),
        },
    };
    job.hold = Some(common.limbo.take_off(mark));
    match (decision, pass.take()) {
        (Some(decision), unused) => {
            *pass = unused;
            Picked::Finish { job, decision }
        }
        (None, Some(pass)) => {
            match checked {
                Checked::Needless => {}
                Checked::Unchecked => common.meter.deduped(&account.name, Found::Unchecked),
                Checked::Clear | Checked::Settled(_) | Checked::Missed => {
                    common.meter.deduped(&account.name, Found::Checked);
                }
            }
            Picked::Send { job, pass, terms }
        }
        (None, None) => {
            let decision = job.deferred(common.clock.elapsed());
            Picked::Finish { job, decision }
        }
    }
}

/// Whether a job was settled before, in this run or a later one.
enum Repeated {
    No,
    Yes(Arc<DismissResult>),
    Perhaps,
}

fn repeated(job: &Job, checked: &Checked) -> Repeated {
    match checked {
        Checked::Settled(result) if result.run >= job.progress.run => Repeated::Yes(result.clone()),
        Checked::Missed => Repeated::Perhaps,
        Checked::Needless | Checked::Clear | Checked::Settled(_) | Checked::Unchecked => Repeated::No,
    }
}

/// Ends a job with the result that it already has.
fn answer(account: &Account, job: Job, result: Arc<DismissResult>) -> Picked {
    account.common.meter.deduped(&account.name, Found::Answered);
    let provider_known = match &result.provider {
        Some(name) if account.common.knows(name) => ProviderKnown::Yes,
        Some(_) | None => ProviderKnown::No,
    };
    let settlement = Settlement { result: Arc::unwrap_or_clone(result), provider_known };
    Picked::Settle { over: Box::new(Over::of(job.delivery, settlement)) }
}

/// Whether a job has no business at its provider, or not yet.
fn instead_of_sending(account: &Account, terms: &Terms, job: &Job) -> Option<Decision> {
    let common = &account.common;
    let now = common.clock.now();
    let settle = |outcome, fault| Some(Decision::Settle(Box::new(job.settlement(common, outcome, Some(fault)))));
    if common.books.orders.is_cancelled(job.job.batch_id.as_ref()) {
        return Some(Decision::Settle(Box::new(job.cancelled(common))));
    }
    if terms.service == Service::Retired {
        let fault = Fault::new("provider_retired", format!("provider: {} is retired", account.name));
        return settle(Outcome::Rejected, fault);
    }
    if job.job.is_expired(now) {
        return Some(Decision::Settle(Box::new(job.expired(common))));
    }
    if let Err(fault) = terms.provider.admit(&job.job) {
        return settle(Outcome::Rejected, fault);
    }
    let is_early = job.progress.wait_ms > 0 || job.job.not_before.is_some_and(|start| now < start);
    is_early.then(|| job.deferred(common.clock.elapsed() + job.progress.wait()))
}

/// Settles what needed no provider.
pub async fn settle(account: &Account, over: Over) -> Result<(), BrokerError> {
    let Over { delivery, settlement, decided } = over;
    account.end(delivery, Verb::Settle(&settlement)).await?;
    account.settled(&settlement.result);
    decided.inspect(|mark| account.common.limbo.forget(mark));
    Ok(())
}
