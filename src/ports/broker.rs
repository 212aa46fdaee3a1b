//! The queue, seen from the pipeline.
//!
//! A [`Delivery`] is a job in hand. Each of its verbs consumes it and ends our hold on it; a delivery that is dropped
//! without a verb comes back from the queue later, like one whose verb failed. Only where the queue refuses what is to be
//! stored does the job stay in hand: to give it back would cost one of the times that it may be handed out.

use std::ops::ControlFlow;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::model::ids::ProviderName;
use crate::model::job::Lane;
use crate::model::progress::Progress;
use crate::model::result::DismissResult;
use crate::ports::fence::{Fence, Flow};
use crate::ports::outcomes::OutcomeSource;

/// The queue failed; everything in hand comes back once it is there again.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BrokerError {
    #[error("connection to the broker lost: {0}")]
    Lost(String),
    #[error("the broker did not answer {call} within {within:?}")]
    Unanswered { call: &'static str, within: Duration },
    /// The others go on.
    #[error("a queue gives nothing: {0}")]
    QueueDown(String),
    #[error("the broker did not confirm within {0:?}")]
    Unconfirmed(Duration),
    /// It says so itself: an alarm of its memory or its disk.
    #[error("{0}")]
    Blocked(String),
    #[error("the broker refused a message: {0}")]
    Refused(String),
    #[error("no queue takes {0}")]
    Unroutable(String),
}

impl BrokerError {
    /// Whether this is about the one message, and others may well be taken.
    pub fn is_of_one_message(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Unroutable(_) => true,
            Self::Lost(_) | Self::Unanswered { .. } | Self::QueueDown(_) | Self::Unconfirmed(_) | Self::Blocked(_) => {
                false
            }
        }
    }
}

/// Why a verb of a delivery did not end it.
#[derive(thiserror::Error)]
pub enum Unended {
    /// The queue takes no more of this at present; the job is still in hand.
    #[error("the broker refused a message: {what}")]
    Refused { what: String, delivery: Box<Delivery> },
    /// The queue failed.
    #[error(transparent)]
    Failed(#[from] BrokerError),
}

/// A job's bytes and all that travels beside them.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// As the producer sent it, never rewritten.
    pub body: Bytes,
    pub message_id: Option<String>,
    pub correlation_id: Option<String>,
    /// Where a copy of the result is asked for.
    pub reply_to: Option<String>,
    pub traceparent: Option<String>,
    /// Absent until the job was first deferred.
    pub progress: Option<Progress>,
    /// Set where the queue itself gave up on the job.
    pub ended: Option<QueueEnding>,
    /// What came with it and cannot be read, and why: such a message is no job.
    pub unreadable: Option<String>,
}

/// Why the queue gave up on a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueEnding {
    /// Handed out too often without an answer.
    DeliveryLimit,
    /// The message's own `expiration`.
    Expiration,
    /// A limit of that queue, which an operator gave it: no end of the job, which goes on.
    Evicted { queue: String, limit: QueueLimit },
}

/// What a queue holds only so much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueLimit {
    Time,
    Length,
}

/// Where a job belongs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LaneKey {
    pub provider: ProviderName,
    pub lane: Lane,
}

impl std::fmt::Display for LaneKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.provider, self.lane)
    }
}

/// A job's own time, beside what the wall clock of whoever defers it shows.
#[derive(Debug, Clone, Copy)]
pub struct JobTime {
    pub not_before: Option<Timestamp>,
    pub now: Timestamp,
}

impl JobTime {
    /// How long it is until then, by that clock: not a moment less than it is.
    pub fn left(self) -> Duration {
        let left = self.not_before.map(|start| start.duration_since(self.now));
        left.and_then(|left| Duration::try_from(left).ok()).unwrap_or_default()
    }
}

/// What ends a job.
#[derive(Debug, Clone)]
pub struct Settlement {
    pub result: DismissResult,
    /// Whether the result's provider is one that is known here.
    pub provider_known: ProviderKnown,
}

/// Whether a provider is configured here; results for others are filed under `unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderKnown {
    Yes,
    No,
}

impl Settlement {
    /// Under what the result and the dead letter are filed: `<provider>.<outcome>`.
    pub fn routing_key(&self) -> String {
        match (&self.result.provider, self.provider_known) {
            (Some(provider), ProviderKnown::Yes) => format!("{provider}.{}", self.result.outcome),
            _ => format!("unknown.{}", self.result.outcome),
        }
    }
}

/// A job in hand.
pub struct Delivery {
    pub message: Message,
    /// The lane whose queue it came from; None from the intake.
    pub origin: Option<LaneKey>,
    receipt: Box<dyn Receipt>,
}

impl Delivery {
    pub fn new(message: Message, origin: Option<LaneKey>, receipt: Box<dyn Receipt>) -> Self {
        Self { message, origin, receipt }
    }

    /// Publishes the result (and the dead letter, where the outcome asks for one), confirmed, then lets the job go.
    pub async fn settle(mut self, settlement: &Settlement) -> Result<(), Unended> {
        let ended = self.receipt.settle(&self.message, settlement).await;
        self.unless_refused(ended)
    }

    /// Stores the job with its `progress`, to come back to `lane` when its wait is over and its own time has come, then
    /// lets this copy go. It may come back earlier, with what is left of its wait.
    pub async fn defer(mut self, lane: &LaneKey, progress: Progress, time: JobTime) -> Result<(), Unended> {
        self.message.progress = Some(progress);
        let ended = self.receipt.defer(&self.message, lane, time).await;
        self.unless_refused(ended)
    }

    /// Puts the job into `lane`, then lets this copy go.
    pub async fn forward(mut self, lane: &LaneKey) -> Result<(), Unended> {
        let ended = self.receipt.forward(&self.message, lane).await;
        self.unless_refused(ended)
    }

    fn unless_refused(self, ended: Result<(), BrokerError>) -> Result<(), Unended> {
        match ended {
            Ok(()) => Ok(()),
            Err(BrokerError::Refused(what)) => Err(Unended::Refused { what, delivery: Box::new(self) }),
            Err(error) => Err(Unended::Failed(error)),
        }
    }

    /// Gives the job back as it is.
    pub async fn release(self) -> Result<(), BrokerError> {
        self.receipt.release().await
    }
}

impl std::fmt::Debug for Unended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// The queue's half of a [`Delivery`]; the verbs mean what they mean there. After [`BrokerError::Refused`] the job is still
/// in hand, and the same verb is asked for again or the job is released.
#[async_trait]
pub trait Receipt: Send + Sync {
    async fn settle(&mut self, message: &Message, settlement: &Settlement) -> Result<(), BrokerError>;
    async fn defer(&mut self, message: &Message, lane: &LaneKey, time: JobTime) -> Result<(), BrokerError>;
    async fn forward(&mut self, message: &Message, lane: &LaneKey) -> Result<(), BrokerError>;
    async fn release(self: Box<Self>) -> Result<(), BrokerError>;
}

/// Is shown a job's body and message ID, and says whether it wants to see more.
pub type See<'a> = dyn FnMut(&[u8], Option<&str>) -> ControlFlow<()> + 'a;

/// One provider's jobs, or the intake's, as they arrive. Dropping it gives back what it holds.
#[async_trait]
pub trait JobSource: Send {
    /// Resolves once a delivery is at hand. Cancel-safe.
    async fn ready(&mut self) -> Result<(), BrokerError>;

    /// The best delivery at hand: urgent before bulk, due retries before new jobs of their lane.
    fn best(&mut self) -> Option<Delivery>;

    /// The delivery at hand that is missed least, for a probe: new jobs before retries, bulk before urgent, and the one that
    /// came last. So each probe takes another job for as long as there are new ones, and one that stands far from the
    /// best: neighbours may have the same trouble.
    fn spare(&mut self) -> Option<Delivery>;

    /// Shows the jobs at hand, the best first, until told that it is enough: the body and the message ID.
    fn look(&mut self, see: &mut See<'_>);

    /// How many are at hand, by lane.
    fn held(&self, lane: Lane) -> usize;

    /// Gives back what has been at hand for `age` or longer: queues mind long holds.
    async fn release_older_than(&mut self, age: Duration) -> Result<(), BrokerError>;

    /// Stops receiving and gives back what is at hand; deliveries handed out before may still be ended.
    async fn stop(&mut self) -> Result<(), BrokerError>;
}

/// The right to be a provider's one active sender.
#[async_trait]
pub trait Lead: Send {
    /// Stands for as long as the right is known to be held; asked before each request is written.
    fn fence(&self) -> Fence;

    /// Resolves when the right is lost.
    async fn lost(&mut self) -> BrokerError;
}

/// A connection to the queue, or the file.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Jobs whose provider and lane nobody has looked at yet.
    async fn intake(&self) -> Result<Box<dyn JobSource>, BrokerError>;

    /// The jobs of one provider; `prefetch` is how many may be at hand from each of its queues.
    async fn lanes(&self, provider: &ProviderName, prefetch: u16) -> Result<Box<dyn JobSource>, BrokerError>;

    /// A job of a provider that is missed little, of the row that [`JobSource::spare`] says, without taking any other one
    /// into hand.
    async fn pull(&self, provider: &ProviderName) -> Result<Option<Delivery>, BrokerError>;

    /// The right to send for a provider; None while another holds it.
    async fn lead(&self, provider: &ProviderName) -> Result<Option<Box<dyn Lead>>, BrokerError>;

    /// Whether somebody (a replica with another configuration, perhaps) keeps a queue for this lane.
    async fn has_lane(&self, lane: &LaneKey) -> Result<bool, BrokerError>;

    /// The results that wait for the ledger; None where the queue keeps none for it.
    async fn outcomes(&self) -> Result<Option<Box<dyn OutcomeSource>>, BrokerError>;

    /// How many jobs wait in a lane, those in hand not counted.
    async fn ready(&self, lane: &LaneKey) -> Result<u64, BrokerError>;

    /// All that waits for its time.
    async fn deferred(&self) -> Result<u64, BrokerError>;

    /// Whether messages are taken.
    fn flow(&self) -> Flow;

    /// Resolves once the queue has confirmed a write that is as durable as that of a result and leaves nothing behind, or
    /// any other write meanwhile. Waits while messages are not taken.
    async fn prove(&self) -> Result<(), BrokerError>;

    /// Resolves when the connection is lost.
    async fn lost(&self) -> BrokerError;

    /// Says good-bye; whatever is still in hand comes back to its queue.
    async fn close(&self);
}
