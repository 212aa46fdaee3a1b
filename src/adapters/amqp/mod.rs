//! RabbitMQ: two connections, the topology, and the broker seam on them.
//!
//! A connection is never repaired. On the first sign of trouble [`Broker::lost`] resolves, and whoever holds the
//! [`AmqpBroker`] drops it and opens another one.

mod call;
mod connection;
mod consuming;
mod copies;
mod dead;
mod lead;
mod letter;
pub mod message;
mod outcomes;
mod publish;
mod receipt;
mod source;
pub mod topology;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::protocol::AMQPSoftError;
use lapin::types::FieldTable;

use call::answered;
use connection::{Link, News};
pub use connection::{OnAlarm, Settings};
use consuming::Consuming;
pub use consuming::Doubts;
use copies::Copies;
use outcomes::AmqpOutcomes;
use publish::{InOrder, Publisher, Routing};
use receipt::{AmqpReceipt, Desk, Publication};
use source::{AmqpSource, Tap};
use topology::{LedgerQueue, Names, RUNGS, ResultsQueue, Wanted, lanes_of};
use wire::Original;

use crate::model::ids::ProviderName;
use crate::model::job::DismissJob;
use crate::ports::broker::{Broker, BrokerError, Delivery, JobSource, LaneKey, Lead};
use crate::ports::fence::Flow;
use crate::ports::outcomes::OutcomeSource;

/// Deliveries that the router may have in hand. A quorum queue takes in 32 acks of a channel at a time and holds back the
/// others, and these are forgotten if the channel closes just then: a clean stop would route jobs twice.
const INTAKE_PREFETCH: u16 = 30;
/// It is the last queue that a job comes to whose queues keep nothing, and only what is in hand is safe from a policy.
const ENDED_PREFETCH: u16 = 1_000;

/// Why there is no working connection.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// May pass by itself.
    #[error("the broker cannot be reached: {0}")]
    Unreachable(String),
    /// Only the operator can mend it.
    #[error("the broker refuses the {what} {name}: {refusal}")]
    Topology { what: &'static str, name: String, refusal: String },
}

impl From<BrokerError> for OpenError {
    fn from(error: BrokerError) -> Self {
        Self::Unreachable(error.to_string())
    }
}

/// Both connections to RabbitMQ with everything declared.
pub struct AmqpBroker {
    consuming: Consuming,
    desk: Arc<Desk>,
    namespace: String,
    ledger: LedgerQueue,
    news: News,
}

impl AmqpBroker {
    /// Connects and declares what is wanted; idempotent.
    pub async fn open(settings: &Settings, wanted: &Wanted) -> Result<Self, OpenError> {
        let names = Names::new(&settings.namespace);
        let news = News::default();
        let publishing = Link::open(settings, "publish", news.clone()).await?;
        let consuming = Consuming::open(settings, news.clone()).await?;
        let channel = publishing.channel().await.map_err(BrokerError::from)?;
        topology::declare(&channel, &names, wanted).await?;
        let publisher = Publisher::new(publishing, news.clone(), settings.on_alarm);
        let copies = Copies::new(settings.clone());
        let results = wanted.outcomes.map_or(ResultsQueue::ExchangeOnly, |outcomes| outcomes.results);
        let ledger = wanted.outcomes.map_or(LedgerQueue::Absent, |outcomes| outcomes.ledger);
        let desk = Arc::new(Desk { publisher, copies, names, results });
        Ok(Self { consuming, desk, namespace: settings.namespace.clone(), ledger, news })
    }

    /// A way in for new jobs, which keeps their order.
    pub async fn entrance(&self) -> Result<Entrance, BrokerError> {
        Ok(Entrance { exchange: self.desk.names.jobs(), channel: self.desk.publisher.in_order().await? })
    }

    /// The lane queues of a provider, best first: urgent before bulk, due retries before new jobs.
    fn taps(&self, provider: &ProviderName, prefetch: u16) -> Vec<Tap> {
        let names = &self.desk.names;
        lanes_of(provider)
            .flat_map(|lane| {
                [
                    Tap { queue: names.retry(&lane), lane: Some(lane.clone()), prefetch },
                    Tap { queue: names.lane(&lane), lane: Some(lane), prefetch },
                ]
            })
            .collect()
    }

    async fn source(&self, taps: Vec<Tap>) -> Result<Box<dyn JobSource>, BrokerError> {
        let source = AmqpSource::open(&self.consuming, self.desk.clone(), &self.namespace, taps).await?;
        Ok(Box::new(source))
    }

    /// How many jobs are ready in a queue; None if there is no such queue, and then the channel is closed.
    async fn count(&self, channel: &Channel, queue: &str) -> Result<Option<u64>, BrokerError> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare(queue.into(), passive, FieldTable::default());
        match answered(channel, "queue.declare", declared).await {
            Ok(queue) => Ok(Some(queue.message_count().into())),
            Err(error) if error.is(AMQPSoftError::NOTFOUND) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Puts new jobs into their lanes.
pub struct Entrance {
    exchange: String,
    channel: InOrder,
}

impl Entrance {
    /// Publishes a job to its lane, or to the intake where there is no such lane. Jobs keep the order in which these
    /// futures are first polled.
    pub async fn enqueue(&self, job: &DismissJob) -> Result<(), BrokerError> {
        let body = serde_json::to_vec(job).map_err(|error| BrokerError::Refused(error.to_string()))?;
        let key = LaneKey { provider: job.provider.clone(), lane: job.lane }.to_string();
        self.channel.publish(&self.exchange, &key, &body, message::fresh(job.job_id.as_str())).await
    }
}

#[async_trait]
impl Broker for AmqpBroker {
    async fn intake(&self) -> Result<Box<dyn JobSource>, BrokerError> {
        let names = &self.desk.names;
        let taps = [(names.ended(), ENDED_PREFETCH), (names.jobs(), INTAKE_PREFETCH)];
        self.source(taps.map(|(queue, prefetch)| Tap { queue, lane: None, prefetch }).into()).await
    }

    async fn lanes(&self, provider: &ProviderName, prefetch: u16) -> Result<Box<dyn JobSource>, BrokerError> {
        self.source(self.taps(provider, prefetch)).await
    }

    async fn pull(&self, provider: &ProviderName) -> Result<Option<Delivery>, BrokerError> {
        let channel = self.consuming.link().channel().await?;
        for tap in self.taps(provider, 1).into_iter().rev() {
            if let Some(got) = self.consuming.get(&channel, &tap.queue).await? {
                let delivery = got.delivery;
                let original = Original::from(delivery.properties);
                let message = message::read(delivery.data, &original, &self.namespace);
                let receipt = AmqpReceipt {
                    desk: self.desk.clone(),
                    queue: tap.queue,
                    acker: delivery.acker,
                    original,
                    result: Publication::Pending,
                    channel,
                };
                return Ok(Some(Delivery::new(message, tap.lane, Box::new(receipt))));
            }
        }
        Ok(None)
    }

    async fn lead(&self, provider: &ProviderName) -> Result<Option<Box<dyn Lead>>, BrokerError> {
        let lead = lead::take(self.consuming.link(), &self.desk.names.lead(provider), self.flow()).await?;
        Ok(lead.map(|lead| Box::new(lead) as Box<dyn Lead>))
    }

    async fn has_lane(&self, lane: &LaneKey) -> Result<bool, BrokerError> {
        let channel = self.consuming.link().channel().await?;
        Ok(self.count(&channel, &self.desk.names.lane(lane)).await?.is_some())
    }

    async fn outcomes(&self) -> Result<Option<Box<dyn OutcomeSource>>, BrokerError> {
        match self.ledger {
            LedgerQueue::Absent => Ok(None),
            LedgerQueue::Present => {
                let source = AmqpOutcomes::open(&self.consuming, self.desk.clone()).await?;
                Ok(Some(Box::new(source)))
            }
        }
    }

    async fn ready(&self, lane: &LaneKey) -> Result<u64, BrokerError> {
        let channel = self.consuming.link().channel().await?;
        let names = &self.desk.names;
        let new = self.count(&channel, &names.lane(lane)).await?.unwrap_or(0);
        Ok(new + self.count(&channel, &names.retry(lane)).await?.unwrap_or(0))
    }

    async fn deferred(&self) -> Result<u64, BrokerError> {
        let channel = self.consuming.link().channel().await?;
        let mut total = 0;
        for rung in RUNGS {
            total += self.count(&channel, &self.desk.names.wait(rung)).await?.unwrap_or(0);
        }
        Ok(total)
    }

    fn flow(&self) -> Flow {
        Flow::of(&self.news.flow)
    }

    async fn prove(&self) -> Result<(), BrokerError> {
        let (publisher, proof) = (&self.desk.publisher, self.desk.names.proof());
        // An empty one would be taken as the first of a connection even during an alarm, which lets its header through.
        let published = publisher.publish("", &proof, Routing::Mandatory, b"proof", message::proof());
        let proven = tokio::select! {
            biased;
            published = published => published,
            () = publisher.next_confirm() => Ok(()),
        };
        if let Err(gone @ BrokerError::Unroutable(_)) = &proven {
            // Declared anew, it is there again.
            self.news.broken.send_replace(Some(gone.clone()));
        }
        proven
    }

    async fn lost(&self) -> BrokerError {
        let mut broken = self.news.broken.subscribe();
        match broken.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or_else(|| BrokerError::Lost("unknown".into())),
            Err(_) => BrokerError::Lost("the connection is closed".into()),
        }
    }

    async fn close(&self) {
        tokio::join!(self.desk.copies.close(), self.consuming.link().end(), self.desk.publisher.link().end());
    }
}
