//! Intake queue → lane queues: every replica routes, and nobody looks at a job's provider but its lane.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::account::Common;
use super::reception::{self, Job, Received};
use super::stop::Stop;
use crate::ports::broker::{Broker, BrokerError, Delivery};
use crate::ports::crash::{self, Point};
use crate::ports::readiness::PartState;

/// How long the intake is left alone when the queue refuses a result: what was refused is back in it at once.
const REST: Duration = Duration::from_secs(1);

/// What became of one routed job.
enum Routed {
    Done,
    Refused,
}

/// Routes until asked to stop, or until the queue fails.
pub async fn run(
    broker: Arc<dyn Broker>,
    common: Common,
    mut stop: Stop,
    state: &PartState,
) -> Result<(), BrokerError> {
    let mut intake = broker.intake().await?;
    state.works();
    let mut moves: JoinSet<Result<(), BrokerError>> = JoinSet::new();
    let mut rest_until = Duration::ZERO;
    loop {
        let resting = common.clock.elapsed() < rest_until;
        tokio::select! {
            biased;
            () = stop.asked() => break,
            Some(done) = moves.join_next() => match ended(done)? {
                Routed::Done => {}
                Routed::Refused => rest_until = common.clock.elapsed() + REST,
            },
            () = common.clock.sleep_until(rest_until), if resting => {}
            ready = intake.ready(), if !resting => {
                ready?;
                while let Some(delivery) = intake.best() {
                    moves.spawn(route(broker.clone(), common.clone(), delivery));
                }
            }
        }
    }
    intake.stop().await?;
    while let Some(done) = moves.join_next().await {
        let _routed = ended(done)?;
    }
    Ok(())
}

fn ended(done: Result<Result<(), BrokerError>, tokio::task::JoinError>) -> Result<Routed, BrokerError> {
    match done {
        // A queue that takes nothing now is no reason to connect anew; the job is back in the intake.
        Ok(Err(BrokerError::Refused(what))) => {
            tracing::error!(what, "the queue takes no more");
            Ok(Routed::Refused)
        }
        Ok(outcome) => outcome.map(|()| Routed::Done),
        Err(error) => Err(BrokerError::Lost(format!("a routing task failed: {error}"))),
    }
}

async fn route(broker: Arc<dyn Broker>, common: Common, delivery: Delivery) -> Result<(), BrokerError> {
    crash::point(Point::Received);
    let (delivery, settlement) = match reception::receive(delivery, &common) {
        Received::Over(delivery, settlement) => (delivery, *settlement),
        Received::Job(job) if knows(&*broker, &common, &job).await? => {
            common.books.sightings.seen(&job.job, common.clock.now());
            if !common.books.orders.is_cancelled(job.job.batch_id.as_ref()) {
                return pass_on(&common, *job).await;
            }
            let settlement = job.cancelled(&common);
            (Box::new(job.delivery), settlement)
        }
        Received::Job(job) => {
            let settlement = reception::unknown_provider(&job, &common);
            (Box::new(job.delivery), settlement)
        }
    };
    delivery.settle(&settlement).await?;
    common.settled(&settlement.result);
    Ok(())
}

/// A provider may be known to other replicas only; then its lane exists.
async fn knows(broker: &dyn Broker, common: &Common, job: &Job) -> Result<bool, BrokerError> {
    Ok(common.knows(&job.job.provider) || broker.has_lane(&job.lane()).await?)
}

async fn pass_on(common: &Common, mut job: Job) -> Result<(), BrokerError> {
    let (lane, now) = (job.lane(), common.clock.now());
    match job.job.not_before {
        Some(start) if now < start => {
            job.progress.due = Some(start);
            job.delivery.defer(&lane, job.progress, now).await
        }
        Some(_) | None => job.forward().await,
    }
}
