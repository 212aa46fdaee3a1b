//! One job: send → classify → decide → settle or defer.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::account::Account;
use super::gate::Permit;
use super::limbo::Decision;
use super::pick::Pass;
use super::reception::Job;
use crate::model::ids::RequestId;
use crate::model::progress::AttemptRecord;
use crate::model::verdict::{Cure, Fault, Verdict};
use crate::policy::breaker::Event;
use crate::policy::decide::{self, Next};
use crate::ports::broker::BrokerError;
use crate::ports::transport::TransportError;
use crate::provider::{BuildError, Reply};

/// Carries one job to its provider and back to its queue.
pub async fn carry(account: Arc<Account>, mut job: Job, pass: Pass) -> Result<(), BrokerError> {
    let id = job.job.job_id.clone();
    account.limbo.took_off(&id);
    let verdict = attempt(&account, &mut job, &pass.permit).await;
    let next = decide::decide(&verdict, &job.progress, &account.retry, (account.common.jitter)());
    account.health.observe(pass.role(), event(&verdict, &next));
    drop(pass);
    if let Verdict::Throttled { retry_after, .. } = &verdict {
        account.gate.throttled(*retry_after);
    }
    let decision = decision(&account, &mut job, &verdict, next);
    let done = finish(&account, job, decision).await;
    account.limbo.landed(&id);
    done
}

/// Does with a job what was decided; what the queue does not take now is done when the job comes again.
pub async fn finish(account: &Account, job: Job, decision: Decision) -> Result<(), BrokerError> {
    let (lane, id) = (job.lane(), job.job.job_id.clone());
    let done = match &decision {
        Decision::Settle(settlement) => job.delivery.settle(settlement).await,
        Decision::Defer(progress) => job.delivery.defer(&lane, (**progress).clone(), account.common.clock.now()).await,
    };
    match (&done, decision) {
        (Ok(()), Decision::Settle(settlement)) => {
            account.common.meter.settled(&settlement.result);
            tell(&settlement.result);
        }
        (Ok(()), Decision::Defer(_)) => {}
        (Err(_), decision) => account.limbo.remember(id, decision),
    }
    done
}

/// Sends one signed request and notes what came of it. Without a stamp nothing is sent, and nothing noted.
async fn attempt(account: &Account, job: &mut Job, permit: &Permit) -> Verdict {
    let stamp = match account.stamps.fresh(account).await {
        Ok(stamp) => stamp,
        Err(verdict) => return verdict,
    };
    let call = match account.provider.build(&job.job, &stamp) {
        Ok(call) => call,
        Err(error @ (BuildError::NoToken | BuildError::Header(_))) => {
            return Verdict::Unauthorized { cure: Cure::Operator, fault: Fault::new("unsignable", error.to_string()) };
        }
    };
    let (at, started) = (account.common.clock.now(), account.common.clock.elapsed());
    let (written, was_written) = oneshot::channel();
    let sending = account.transport.send(call, account.timeout, written);
    let outcome = with_news(sending, was_written, permit).await;

    let (verdict, http_status, request_id) = read(account, &outcome);
    if let Verdict::Unauthorized { cure: Cure::FreshStamp, .. } = &verdict {
        account.stamps.refused(&stamp).await;
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
    verdict
}

/// Waits for the reply, and passes on to the quota what becomes known of the request meanwhile.
async fn with_news(
    sending: impl Future<Output = Result<Reply, TransportError>>,
    was_written: oneshot::Receiver<()>,
    permit: &Permit,
) -> Result<Reply, TransportError> {
    let mut sending = std::pin::pin!(sending);
    let outcome = tokio::select! {
        biased;
        Ok(()) = was_written => {
            permit.written();
            sending.await
        }
        outcome = &mut sending => outcome,
    };
    if outcome.is_ok() {
        permit.answered();
    }
    outcome
}

fn read(account: &Account, outcome: &Result<Reply, TransportError>) -> (Verdict, Option<u16>, Option<RequestId>) {
    match outcome {
        Ok(reply) => {
            let (verdict, request_id) = account.provider.classify(reply);
            (verdict, Some(reply.status.as_u16()), request_id)
        }
        Err(error) => (Verdict::Transient(Fault::new(error.code(), error.to_string())), None, None),
    }
}

/// What an attempt says of the provider's health. A throttle shows that it is there and knows us.
fn event(verdict: &Verdict, next: &Next) -> Event {
    match (next, verdict) {
        (Next::Suspend(_, reason), _) => Event::Refused(*reason),
        (Next::Settle(_) | Next::Defer(_), Verdict::Transient(_)) => Event::Failed,
        (Next::Settle(_) | Next::Defer(_), _) => Event::Answered,
    }
}

fn decision(account: &Account, job: &mut Job, verdict: &Verdict, next: Next) -> Decision {
    let common = &account.common;
    let wait = match next {
        Next::Settle(ending) => {
            return Decision::Settle(Box::new(job.settlement(common, ending.outcome, ending.error)));
        }
        Next::Defer(wait) | Next::Suspend(wait, _) => wait,
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
    job.progress.due = Some(common.clock.now() + wait);
    Decision::Defer(Box::new(job.progress.clone()))
}

/// One line for each job that is over.
pub fn tell(result: &crate::model::result::DismissResult) {
    tracing::info!(
        job_id = %result.job_id,
        batch_id = result.batch_id.as_ref().map(|id| id.as_str()),
        provider = result.provider.as_ref().map(|name| name.as_str()),
        room_id = result.room_id.as_ref().map(|id| id.as_str()),
        request_id = result.request_id.as_ref().map(|id| id.as_str()),
        attempt = result.attempts,
        error = result.error.as_ref().map(|fault| format!("{}: {}", fault.code, fault.message)),
        "{}",
        result.outcome
    );
}
