//! Intake queue → lane queues: every replica routes, and nobody looks at a job's provider but its lane.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};

use super::account::Common;
use super::evictions::Evictions;
use super::outlet::{Change, Deferral, Outlet, Verb};
use super::reception::{self, Job, Over, Received};
use super::stop::Stop;
use crate::ports::broker::{Broker, BrokerError, Delivery, QueueEnding};
use crate::ports::crash::{self, Point};
use crate::ports::readiness::PartState;

/// How long a job is left alone that a queue did not keep: one that keeps nothing is not fed at full speed.
const EVICTED_PAUSE: Duration = Duration::from_millis(500);

/// Routes until asked to stop, or until the queue fails.
pub async fn run(
    broker: Arc<dyn Broker>,
    common: Common,
    mut stop: Stop,
    state: &PartState,
) -> Result<(), BrokerError> {
    let mut intake = broker.intake().await?;
    state.works();
    let outlet = Outlet::new(common.clock.clone());
    let router = Arc::new(Router { broker, common, outlet, evictions: Evictions::default() });
    let mut moves: JoinSet<Result<(), BrokerError>> = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.asked() => break,
            Some(done) = moves.join_next() => ended(done)?,
            ready = intake.ready() => {
                ready?;
                while let Some(delivery) = intake.best() {
                    let router = router.clone();
                    moves.spawn(async move { router.route(delivery).await });
                }
            }
        }
    }
    router.outlet.give_up();
    intake.stop().await?;
    while let Some(done) = moves.join_next().await {
        ended(done)?;
    }
    Ok(())
}

fn ended(done: Result<Result<(), BrokerError>, JoinError>) -> Result<(), BrokerError> {
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

/// What all moves of one connection share.
struct Router {
    broker: Arc<dyn Broker>,
    common: Common,
    outlet: Outlet,
    evictions: Evictions,
}

impl Router {
    async fn route(&self, delivery: Delivery) -> Result<(), BrokerError> {
        crash::point(Point::Received);
        let common = &self.common;
        let Over { delivery, settlement, decided } = match reception::receive(delivery, common) {
            Received::Over(over) => *over,
            Received::InHand(job) => {
                let until = job.copy_until(common);
                return self.defer(*job, until).await;
            }
            Received::Job(job) if self.knows(&job).await? => {
                common.books.sightings.seen(&job.job, common.clock.now());
                if !common.books.orders.is_cancelled(job.job.batch_id.as_ref()) {
                    return self.pass_on(*job).await;
                }
                let settlement = job.cancelled(common);
                Over::of(job.delivery, settlement)
            }
            Received::Job(job) => {
                let settlement = reception::unknown_provider(&job, common);
                Over::of(job.delivery, settlement)
            }
        };
        self.end(delivery, Verb::Settle(&settlement)).await?;
        common.settled(&settlement.result);
        decided.inspect(|mark| common.limbo.forget(mark));
        Ok(())
    }

    /// A provider may be known to other replicas only; then its lane exists.
    async fn knows(&self, job: &Job) -> Result<bool, BrokerError> {
        Ok(self.common.knows(&job.job.provider) || self.broker.has_lane(&job.lane()).await?)
    }

    /// A job that a queue did not keep waits a moment first: its lane may not keep it either.
    async fn pass_on(&self, job: Job) -> Result<(), BrokerError> {
        let (clock, elapsed) = (&self.common.clock, self.common.clock.elapsed());
        let pause = match &job.delivery.message.ended {
            Some(QueueEnding::Evicted { queue, limit }) => {
                self.evictions.tell(queue, *limit, elapsed);
                EVICTED_PAUSE
            }
            Some(QueueEnding::DeliveryLimit | QueueEnding::Expiration) | None => Duration::ZERO,
        };
        let wait = pause.max(job.progress.wait());
        if wait > Duration::ZERO || job.job.not_before.is_some_and(|start| clock.now() < start) {
            return self.defer(job, elapsed + wait).await;
        }
        let (delivery, lane) = job.onward();
        self.end(delivery, Verb::Forward(&lane)).await
    }

    /// Leaves a job alone until then, by the clock's `elapsed`, and until its own time.
    async fn defer(&self, job: Job, until: Duration) -> Result<(), BrokerError> {
        let (lane, not_before) = (job.lane(), job.job.not_before);
        let deferral = Deferral { lane: &lane, progress: &job.progress, until, not_before };
        self.end(job.delivery, Verb::Defer(deferral)).await
    }

    async fn end(&self, delivery: Delivery, verb: Verb<'_>) -> Result<(), BrokerError> {
        let tell = |change: Change| {
            self.common.limbo.stop_ageing(self.common.clock.elapsed());
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
        self.outlet.end(delivery, verb, &tell).await
    }
}
