//! What can happen to the end of a job's stay in a worker's hand.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use roomsweep::model::progress::Progress;
use roomsweep::model::verdict::VerdictLabel;
use roomsweep::policy::backoff;
use roomsweep::policy::decide::RetryPolicy;
use roomsweep::ports::broker::{BrokerError, Delivery, JobTime, LaneKey, Message, Receipt, Settlement};

use super::conn::{Conn, attempts, came_free, given_back, job_id};
use super::plan::{MOST_RETRY_AFTER, SECOND};
use super::world::World;

pub struct SimReceipt {
    pub world: Arc<World>,
    pub conn: Arc<Conn>,
    pub key: u64,
    pub job: String,
}

impl Drop for SimReceipt {
    fn drop(&mut self) {
        let out = self.conn.take(self.key);
        if let Some(out) = out {
            given_back(&self.world, &self.conn, &self.job);
            came_free(&self.world, &out);
        }
    }
}

/// How a verb ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    LostBefore,
    /// Done, but the job is handed out again.
    AckLost,
    /// Done, and nobody hears of it.
    Unheard,
    Unconfirmed,
}

impl SimReceipt {
    fn fate(&self) -> Fate {
        if !self.world.mishap(self.world.plan.cuts * 3.0) {
            return Fate::Done;
        }
        [Fate::LostBefore, Fate::AckLost, Fate::AckLost, Fate::Unheard, Fate::Unconfirmed][self.world.one_of(5)]
    }

    /// Does a verb, with what may happen around it.
    async fn end(&self, verb: &str, message: Message, act: Act<'_>) -> Result<(), BrokerError> {
        let (world, conn) = (&self.world, &self.conn);
        let slow = if world.mishap(world.plan.slow_confirms) { 3 * SECOND } else { world.plan.confirm };
        tokio::select! {
            biased;
            error = conn.gone() => return Err(error),
            () = tokio::time::sleep(world.up_to(slow)) => {}
        }
        if !conn.is_whole() {
            return Err(conn.gone().await);
        }
        if world.now() < world.state().full_until && matches!(act, Act::Settle(_)) {
            world.note(format_args!("{} {verb}: refused", self.job));
            return Err(BrokerError::Refused("full".into()));
        }
        let fate = match act {
            Act::Release => {
                given_back(world, conn, &self.job);
                Fate::Done
            }
            Act::Settle(_) | Act::Defer(..) | Act::Forward(_) => self.fate(),
        };
        world.note(format_args!("{} {verb}: {fate:?}", self.job));
        let notice = world.up_to(world.plan.notice);
        match fate {
            Fate::Unconfirmed => {
                tokio::select! {
                    biased;
                    error = conn.gone() => return Err(error),
                    () = tokio::time::sleep(10 * SECOND) => return Err(BrokerError::Unconfirmed(10 * SECOND)),
                }
            }
            Fate::LostBefore => {
                conn.cut(world, notice);
                return Err(conn.gone().await);
            }
            Fate::Done | Fate::AckLost | Fate::Unheard => {}
        }
        let Some(out) = conn.take(self.key) else {
            world.fault(format!("{} is not in hand any more", self.job));
            return Err(BrokerError::Lost("not in hand".into()));
        };
        let (origin, original) = (out.delivery.origin.clone(), out.original.clone());
        act.on(world, out.delivery, message).await?;
        match fate {
            Fate::AckLost => {
                world.state().doubled.insert(self.job.clone());
                if let (Some(lane), 1..) = (&origin, attempts(&original)) {
                    let now = world.now();
                    world.state().tried.push((lane.clone(), self.job.clone(), attempts(&original), now));
                }
                world.queue.put_message(origin, original);
                conn.cut(world, notice);
                Err(conn.gone().await)
            }
            Fate::Unheard => {
                conn.cut(world, notice);
                Err(conn.gone().await)
            }
            Fate::Done | Fate::LostBefore | Fate::Unconfirmed => Ok(()),
        }
    }
}

/// A refusal of one job is tried again after so long, at most.
const MOST_AFTER_REFUSAL: Duration = Duration::from_secs(30);

/// No job is left alone for longer, whatever clocks show: what its last attempt asks for, or until a copy of it has ended.
fn longest_wait(progress: &Progress) -> Duration {
    let decided = match progress.last().map(|record| record.verdict) {
        Some(VerdictLabel::Transient) => backoff::interval(&RetryPolicy::default(), progress.transient),
        Some(VerdictLabel::Throttled) => MOST_RETRY_AFTER,
        Some(VerdictLabel::Unauthorized | VerdictLabel::Misconfigured) => MOST_AFTER_REFUSAL,
        Some(_) | None => Duration::ZERO,
    };
    decided.max(SECOND)
}

enum Act<'a> {
    Settle(&'a Settlement),
    Defer(&'a LaneKey, JobTime),
    Forward(&'a LaneKey),
    Release,
}

impl Act<'_> {
    async fn on(self, world: &World, mut delivery: Delivery, message: Message) -> Result<(), BrokerError> {
        let tried = (job_id(&message), attempts(&message));
        let now = world.now();
        let wait = |lane: &LaneKey, waits: Duration| {
            if tried.1 > 0 {
                world.state().tried.push((lane.clone(), tried.0.clone(), tried.1, now + waits));
            }
        };
        delivery.message = message;
        let ended = match self {
            Act::Settle(settlement) => delivery.settle(settlement).await,
            Act::Defer(lane, time) => {
                let progress: Progress = delivery.message.progress.take().expect("a deferred job has progress");
                if progress.wait() > longest_wait(&progress) {
                    world.fault(format!("{} is deferred by {:?}", job_id(&delivery.message), progress.wait()));
                }
                wait(lane, progress.wait().max(time.left()));
                delivery.defer(lane, progress, time).await
            }
            Act::Forward(lane) => {
                wait(lane, Duration::ZERO);
                delivery.forward(lane).await
            }
            Act::Release => return delivery.release().await,
        };
        ended.map_err(|error| BrokerError::Lost(error.to_string()))
    }
}

#[async_trait]
impl Receipt for SimReceipt {
    async fn settle(&mut self, message: &Message, settlement: &Settlement) -> Result<(), BrokerError> {
        self.end(settlement.result.outcome.as_str(), message.clone(), Act::Settle(settlement)).await
    }

    async fn defer(&mut self, message: &Message, lane: &LaneKey, time: JobTime) -> Result<(), BrokerError> {
        self.end("defer", message.clone(), Act::Defer(lane, time)).await
    }

    async fn forward(&mut self, message: &Message, lane: &LaneKey) -> Result<(), BrokerError> {
        self.end("forward", message.clone(), Act::Forward(lane)).await
    }

    async fn release(self: Box<Self>) -> Result<(), BrokerError> {
        let message = self.conn.original(self.key);
        match message {
            Some(message) => self.end("release", message, Act::Release).await,
            None => Err(self.conn.gone().await),
        }
    }
}
