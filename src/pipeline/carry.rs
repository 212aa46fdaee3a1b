//! One job: send → classify → decide → settle or defer.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;

use super::account::{Account, Terms};
use super::gate::Permit;
use super::health::Role;
use super::limbo::Decision;
use super::outlet::{Deferral, Verb};
use super::pick::Pass;
use super::reception::Job;
use super::shortage;
use super::stamp::NoStamp;
use crate::model::ids::RequestId;
use crate::model::progress::{AttemptRecord, Return};
use crate::model::suspension::SuspensionReason;
use crate::model::verdict::{Cure, Fault, Verdict};
use crate::policy::breaker::Event;
use crate::policy::decide::{self, Next};
use crate::policy::doubt::{Blame, Refusal};
use crate::ports::broker::BrokerError;
use crate::ports::crash::{self, Point};
use crate::ports::transport::TransportError;
use crate::provider::{BuildError, Reply, Stamp, withheld};

/// Carries one job to its provider and back to its queue.
pub async fn carry(account: Arc<Account>, terms: Arc<Terms>, mut job: Job, pass: Pass) -> Result<(), BrokerError> {
    let stamp = terms.stamps.fresh(&account, &terms).await;
    // The token may have been long in coming.
    pass.fence.standing().await;
    let answer = match stamp {
        Ok(_) if job.job.is_expired(account.common.clock.now()) => {
            let expired = Decision::Settle(Box::new(job.expired(&account.common)));
            return finish(&account, job, expired).await;
        }
        Ok(_) if account.common.books.orders.is_cancelled(job.job.batch_id.as_ref()) => {
            return cancel(&account, job).await;
        }
        // The provider was suspended since: only what is on the wire goes on.
        Ok(_) if !pass.is_good() => return put_off(&account, job).await,
        Ok(stamp) => match attempt(&account, &terms, &mut job, &pass, stamp).await {
            Ok(answer) => answer,
            // Another one may be the sender by now: the job is left to it.
            Err(Unsent::Fenced) => return job.delivery.release().await,
            Err(Unsent::Cancelled) => return cancel(&account, job).await,
            Err(Unsent::Paused) => return put_off(&account, job).await,
            Err(Unsent::Shortage(what)) => return await_means(&account, job, pass, &what).await,
        },
        Err(NoStamp::Verdict(verdict)) => Answer { verdict, written: None },
        Err(NoStamp::Shortage(what)) => return await_means(&account, job, pass, &what).await,
    };
    let mut next = decide::decide(&answer.verdict, &job.progress, &terms.retry, (account.common.jitter)());
    let seen = look_at(&account, &terms, &answer, &next, &job);
    let blame = match &seen {
        Seen::Event(event) => {
            account.health.observe(pass.role(), *event);
            Some(Blame::Provider)
        }
        // Whatever is wrong with a stale stamp, its job is not to wait for a judgement.
        Seen::Stale(refusal) => match pass.role() {
            Role::Ordinary => {
                account.health.observe(Role::Ordinary, Event::Answered);
                Some(Blame::Provider)
            }
            Role::Probe => {
                let _in_doubt = account.health.refused(Role::Probe, refusal);
                Some(Blame::Provider)
            }
        },
        Seen::Refusal(refusal) => account.health.refused(pass.role(), refusal),
    };
    tell_pace(&pass.permit, &answer.verdict);
    // Others are to go out while this one is judged.
    drop(pass);
    let blame = match blame {
        Some(blame) => blame,
        None => account.health.judgement(&job.job.job_id).await,
    };
    if let Blame::Job(refusals) = blame {
        job.progress.disproved = job.progress.disproved.saturating_add(refusals);
        next = decide::decide_own_refusal(&answer.verdict, &job.progress);
    }
    let decision = decision(&account, &mut job, &answer.verdict, next);
    finish(&account, job, decision).await
}

/// What came of an attempt.
struct Answer {
    verdict: Verdict,
    /// When its request was written, by the clock's `elapsed`; None if none was.
    written: Option<Duration>,
}

/// Why a request was not written after all.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Unsent {
    Fenced,
    Cancelled,
    Paused,
    /// What this machine is short of.
    Shortage(String),
}

async fn cancel(account: &Account, job: Job) -> Result<(), BrokerError> {
    let cancelled = Decision::Settle(Box::new(job.cancelled(&account.common)));
    finish(account, job, cancelled).await
}

/// Back to its lane, as if it had not been picked.
async fn put_off(account: &Account, job: Job) -> Result<(), BrokerError> {
    let later = job.deferred(account.common.clock.elapsed());
    finish(account, job, later).await
}

/// Back to its lane for a moment, uncounted: what is missing is neither the job's nor the provider's.
async fn await_means(account: &Account, job: Job, pass: Pass, what: &str) -> Result<(), BrokerError> {
    shortage::observe(account, what);
    drop(pass);
    let later = job.deferred(account.common.clock.elapsed() + shortage::JOB_WAIT);
    finish(account, job, later).await
}

/// Does with a job what was decided; what the queue does not take now is done when the job comes again.
pub async fn finish(account: &Account, job: Job, decision: Decision) -> Result<(), BrokerError> {
    let (lane, hold) = (job.lane(), job.hold);
    let verb = match &decision {
        Decision::Settle(settlement) => Verb::Settle(settlement),
        Decision::Defer { progress, until } => {
            let not_before = job.job.not_before;
            Verb::Defer(Deferral { lane: &lane, progress, until: *until, not_before })
        }
    };
    let done = account.end(job.delivery, verb).await;
    match (&done, decision) {
        (Ok(()), Decision::Settle(settlement)) => {
            account.settled(&settlement.result);
        }
        (Ok(()), Decision::Defer { .. }) => {}
        (Err(_), decision) => {
            if let Some(hold) = hold {
                account.common.limbo.remember(&hold.mark, decision, account.common.clock.elapsed());
            }
        }
    }
    done
}

/// Sends one signed request and notes what came of it; an error says that it was not sent after all.
async fn attempt(account: &Account, terms: &Terms, job: &mut Job, pass: &Pass, stamp: Stamp) -> Result<Answer, Unsent> {
    let call = match terms.provider.build(&job.job, &stamp) {
        Ok(call) => call,
        Err(error @ (BuildError::NoToken | BuildError::Header(_))) => {
            let fault = Fault::new("unsignable", error.to_string());
            return Ok(Answer { verdict: Verdict::Unauthorized { cure: Cure::Operator, fault }, written: None });
        }
    };
    let (at, started) = (account.common.clock.now(), account.common.clock.elapsed());
    let (tell_written, was_written) = oneshot::channel();
    crash::point(Point::Signed);
    let sending = terms.transport.send(call, terms.timeout, tell_written);
    let mut written = None;
    let news = async {
        let told = was_written.await;
        written = told.is_ok().then(|| account.common.clock.elapsed());
        told
    };
    let outcome = with_news(sending, news, pass, forbidden(account, job)).await?;

    // What is answered was written, whether or not its body was asked for.
    let written = written.or_else(|| outcome.is_ok().then_some(started));
    let (verdict, http_status, request_id) = read(terms, &outcome, &stamp);
    if let Verdict::Unauthorized { .. } = &verdict {
        // Whatever is wrong with it, the next request or probe is to show whether a new one is better.
        terms.stamps.refused(&stamp).await;
    }
    let spent = account.common.clock.elapsed().saturating_sub(started);
    let record = AttemptRecord {
        at,
        verdict: verdict.label(),
        http_status,
        request_id,
        error: verdict.fault().cloned(),
        duration_ms: u64::try_from(spent.as_millis()).unwrap_or(u64::MAX),
    };
    account.common.meter.attempt(&account.name, &record);
    job.progress.note(record);
    Ok(Answer { verdict, written })
}

/// Resolves when it is polled while the request may not be written. It wakes nobody by itself: it is polled before
/// whatever could write the request, whenever that is.
async fn forbidden(account: &Account, job: &Job) -> Unsent {
    poll_fn(|_| {
        if account.common.books.orders.is_cancelled(job.job.batch_id.as_ref()) {
            Poll::Ready(Unsent::Cancelled)
        } else if account.health.is_paused() {
            Poll::Ready(Unsent::Paused)
        } else {
            Poll::Pending
        }
    })
    .await
}

/// Waits for the reply, and passes on to the quota what becomes known of the request meanwhile. An error if something
/// stood against it before it was written: a connection may be long in opening, or the process may have stood still.
async fn with_news(
    sending: impl Future<Output = Result<Reply, TransportError>>,
    was_written: impl Future<Output = Result<(), oneshot::error::RecvError>>,
    pass: &Pass,
    forbidden: impl Future<Output = Unsent>,
) -> Result<Result<Reply, TransportError>, Unsent> {
    let mut sending = std::pin::pin!(sending);
    let outcome = tokio::select! {
        biased;
        Ok(()) = was_written => {
            pass.permit.written();
            crash::point(Point::Written);
            sending.await
        }
        () = pass.fence.fallen() => return Err(Unsent::Fenced),
        unsent = forbidden => return Err(unsent),
        outcome = &mut sending => outcome,
    };
    match outcome {
        Ok(reply) => {
            pass.permit.answered();
            crash::point(Point::Answered);
            Ok(Ok(reply))
        }
        Err(TransportError::Shortage(what)) => Err(Unsent::Shortage(what)),
        Err(error) => Ok(Err(error)),
    }
}

fn read(
    terms: &Terms,
    outcome: &Result<Reply, TransportError>,
    stamp: &Stamp,
) -> (Verdict, Option<u16>, Option<RequestId>) {
    match outcome {
        Ok(reply) => {
            let (verdict, request_id) = terms.provider.classify(reply);
            let verdict = withheld(verdict, &*terms.provider, stamp.token.as_ref());
            (verdict, Some(reply.status.as_u16()), request_id)
        }
        Err(error) => (Verdict::Transient(Fault::new(error.code(), error.to_string())), None, None),
    }
}

/// What an attempt shows of the provider.
enum Seen<'a> {
    Event(Event),
    Refusal(Refusal<'a>),
    /// The job gets a fresh stamp. A probe that is refused for a stale one is no good sign all the same.
    Stale(Refusal<'a>),
}

/// What an attempt says of the provider's health. What was never sent is no job's fault, and what other settings were
/// refused shows nothing of these.
fn look_at<'a>(account: &Account, terms: &Terms, answer: &Answer, next: &Next, job: &'a Job) -> Seen<'a> {
    let refusal =
        |reason, written| Refusal { job: &job.job.job_id, reason, written, disproved: job.progress.disproved };
    match (next, &answer.verdict, answer.written) {
        (Next::Suspend(_, reason), ..) if !account.speaks_as(terms) => Seen::Event(Event::Outdated(*reason)),
        (Next::Suspend(_, reason), _, None) => Seen::Event(Event::Refused(*reason)),
        (Next::Suspend(_, reason), _, Some(written)) => Seen::Refusal(refusal(*reason, written)),
        (_, Verdict::Transient(_), _) => Seen::Event(Event::Failed),
        (_, Verdict::Unauthorized { .. }, written) => {
            Seen::Stale(refusal(SuspensionReason::Credentials, written.unwrap_or_default()))
        }
        (
            _,
            Verdict::Dismissed | Verdict::AlreadyGone(_) | Verdict::Rejected(_) | Verdict::Misconfigured(_),
            Some(written),
        ) if account.speaks_as(terms) => Seen::Event(Event::Taken(written)),
        (_, _, _) => Seen::Event(Event::Answered),
    }
}

/// What an attempt says of the rate: all that was answered passed, unless it was throttled or came from something broken.
fn tell_pace(permit: &Permit, verdict: &Verdict) {
    match verdict {
        Verdict::Throttled { retry_after, .. } => permit.throttled(*retry_after),
        Verdict::Transient(_) => {}
        Verdict::Dismissed
        | Verdict::AlreadyGone(_)
        | Verdict::Rejected(_)
        | Verdict::Unauthorized { .. }
        | Verdict::Misconfigured(_) => permit.passed(),
    }
}

fn decision(account: &Account, job: &mut Job, verdict: &Verdict, next: Next) -> Decision {
    let common = &account.common;
    let wait = match next {
        Next::Settle(ending) => {
            return Decision::Settle(Box::new(job.settlement(common, ending.outcome, ending.error)));
        }
        Next::Defer(wait) | Next::Suspend(wait, _) => {
            job.progress.returns = Return::First;
            wait
        }
        Next::Behind(wait) => {
            job.progress.returns = Return::Last;
            wait
        }
    };
    tracing::info!(
        job_id = %job.job.job_id,
        batch_id = job.job.batch_id.as_ref().map(|id| id.as_str()),
        provider = %account.name,
        room_id = %job.job.room_id,
        attempt = job.progress.attempts,
        request_id = job.progress.request_id().map(|id| id.as_str()),
        verdict = verdict.label().as_str(),
        error = verdict.fault().map(|fault| format!("{}: {}", fault.code, fault.message)),
        "deferred by {wait:?}"
    );
    job.deferred(common.clock.elapsed() + wait)
}
