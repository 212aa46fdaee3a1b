//! The queue of results for the ledger, read in groups.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicNackOptions};
use lapin::{Channel, Consumer};
use tokio::time::{Instant, sleep_until};

use super::call::answered;
use super::consuming::Consuming;
use super::message;
use super::publish::Routing;
use super::receipt::Desk;
use super::source::arrived;
use super::wire::Original;
use crate::ports::broker::BrokerError;
use crate::ports::outcomes::{OutcomeSource, Unkept};

/// So many results may be in hand: one group, and the next one on its way meanwhile.
const PREFETCH: u16 = 1_000;
/// At most so many are one group.
const GROUP: usize = 500;
/// So long is waited, after the first of a group, for others to join it.
const GATHER: Duration = Duration::from_millis(200);

pub struct AmqpOutcomes {
    desk: Arc<Desk>,
    channel: Channel,
    consumer: Consumer,
    held: Vec<Held>,
    /// When the group is closed.
    until: Instant,
}

struct Held {
    body: Bytes,
    tag: u64,
    key: String,
    original: Original,
}

impl AmqpOutcomes {
    pub async fn open(consuming: &Consuming, desk: Arc<Desk>) -> Result<Self, BrokerError> {
        let (channel, consumer) = consuming.consume(&desk.names.ledger(), PREFETCH).await?;
        Ok(Self { desk, channel, consumer, held: Vec::new(), until: Instant::now() })
    }

    fn hold(&mut self, delivery: lapin::message::Delivery) {
        if self.held.is_empty() {
            self.until = Instant::now() + GATHER;
        }
        self.held.push(Held {
            body: delivery.data.into(),
            tag: delivery.delivery_tag,
            key: delivery.routing_key.to_string(),
            original: delivery.properties.into(),
        });
    }

    async fn bury(&self, held: &Held, why: &str) -> Result<(), BrokerError> {
        let properties = message::unkept(&held.original, why);
        let (publisher, dead) = (&self.desk.publisher, self.desk.names.dead());
        publisher.publish(&dead, &held.key, Routing::Mandatory, &held.body, properties).await
    }
}

#[async_trait]
impl OutcomeSource for AmqpOutcomes {
    async fn next(&mut self) -> Result<Vec<Bytes>, BrokerError> {
        if self.held.is_empty() {
            let first = self.consumer.next().await;
            self.hold(arrived(first)?);
        }
        while self.held.len() < GROUP {
            let next = tokio::select! {
                biased;
                next = self.consumer.next() => next,
                () = sleep_until(self.until) => break,
            };
            self.hold(arrived(next)?);
        }
        Ok(self.held.iter().map(|held| held.body.clone()).collect())
    }

    async fn kept(&mut self, unkept: &[Unkept]) -> Result<(), BrokerError> {
        for Unkept { place, why } in unkept {
            if let Some(held) = self.held.get(*place) {
                self.bury(held, why).await?;
            }
        }
        let Some(last) = self.held.last() else { return Ok(()) };
        let all = BasicAckOptions { multiple: true };
        answered(&self.channel, "basic.ack", self.channel.basic_ack(last.tag, all)).await?;
        self.held.clear();
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BrokerError> {
        let cancelled = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default());
        answered(&self.channel, "basic.cancel", cancelled).await?;
        let everything = 0;
        let back = BasicNackOptions { requeue: true, multiple: true };
        answered(&self.channel, "basic.nack", self.channel.basic_nack(everything, back)).await?;
        self.held.clear();
        Ok(answered(&self.channel, "channel.close", self.channel.close(200, "done".into())).await?)
    }
}
