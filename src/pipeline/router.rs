//! Intake queue → lane queues: every replica routes, and nobody looks at a job's provider but its lane.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::account::Common;
use super::outlet::{Change, Outlet, Verb};
use super::reception::{self, Job, Over, Received};
use super::stop::Stop;
use crate::ports::broker::{Broker, BrokerError, Delivery};
use crate::ports::crash::{self, Point};

/// Routes until asked to stop, or until the queue fails.
pub async fn run(broker: Arc<dyn Broker>, common: Common, mut stop: Stop) -> Result<(), BrokerError> {
    let mut intake = broker.intake().await?;
    let outlet = Arc::new(Outlet::new(common.clock.clone()));
    let mut moves: JoinSet<Result<(), BrokerError>> = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.asked() => break,
            Some(done) = moves.join_next() => ended(done)?,
            ready = intake.ready() => {
                ready?;
                while let Some(delivery) = intake.best() {
                    let (broker, common, outlet) = (broker.clone(), common.clone(), outlet.clone());
                    moves.spawn(async move { route(&*broker, &common, &outlet, delivery).await });
                }
            }
        }
    }
    outlet.give_up();
    intake.stop().await?;
    while let Some(done) = moves.join_next().await {
        ended(done)?;
    }
    Ok(())
}

fn ended(done: Result<Result<(), BrokerError>, tokio::task::JoinError>) -> Result<(), BrokerError> {
    match done {
        // A queue that takes nothing now is no reason to connect anew; the job is back in the intake.
        Ok(Err(BrokerError::Refused(what))) => {
            tracing::debug!(what, "a job went back to the intake");
            Ok(())
        }
        Ok(outcome) => outcome,
        Err(error) => Err(BrokerError::Lost(format!("a routing task failed: {error}"))),
    }
}

async fn end(outlet: &Outlet, common: &Common, delivery: Delivery, verb: Verb<'_>) -> Result<(), BrokerError> {
    let tell = |change: Change| {
        common.limbo.stop_ageing(common.clock.elapsed());
        match change {
            Change::Closed(what) => {
                tracing::error!(what, "the queue takes no more: what is in the intake waits for its end");
            }
            Change::StillClosed => {}
            Change::Open(after) => {
                tracing::info!("the queue takes what comes from the intake again, after {after:.1?}")
            }
        }
    };
    outlet.end(delivery, verb, &tell).await
}

async fn route(broker: &dyn Broker, common: &Common, outlet: &Outlet, delivery: Delivery) -> Result<(), BrokerError> {
    crash::point(Point::Received);
    let Over { delivery, settlement, decided } = match reception::receive(delivery, common) {
        Received::Over(over) => *over,
        Received::InHand(job) => {
            let (lane, progress) = (job.lane(), job.deferred_copy(common));
            return end(outlet, common, job.delivery, Verb::Defer(&lane, &progress)).await;
        }
        Received::Job(job) if knows(broker, common, &job).await? => {
            common.books.sightings.seen(&job.job, common.clock.now());
            if !common.books.orders.is_cancelled(job.job.batch_id.as_ref()) {
                return pass_on(common, outlet, *job).await;
            }
            let settlement = job.cancelled(common);
            Over::of(job.delivery, settlement)
        }
        Received::Job(job) => {
            let settlement = reception::unknown_provider(&job, common);
            Over::of(job.delivery, settlement)
        }
    };
    end(outlet, common, delivery, Verb::Settle(&settlement)).await?;
    common.settled(&settlement.result);
    decided.inspect(|mark| common.limbo.forget(mark));
    Ok(())
}

/// A provider may be known to other replicas only; then its lane exists.
async fn knows(broker: &dyn Broker, common: &Common, job: &Job) -> Result<bool, BrokerError> {
    Ok(common.knows(&job.job.provider) || broker.has_lane(&job.lane()).await?)
}

async fn pass_on(common: &Common, outlet: &Outlet, mut job: Job) -> Result<(), BrokerError> {
    let (lane, now) = (job.lane(), common.clock.now());
    match job.job.not_before {
        Some(start) if now < start => {
            job.progress.due = Some(start);
            end(outlet, common, job.delivery, Verb::Defer(&lane, &job.progress)).await
        }
        Some(_) | None => {
            let (delivery, lane) = job.onward();
            end(outlet, common, delivery, Verb::Forward(&lane)).await
        }
    }
}
