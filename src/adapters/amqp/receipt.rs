//! Our hold on one delivery: publish first, ack last.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::{Acker, BasicProperties, Channel};

use super::call::{CallError, answered};
use super::copies::Copies;
use super::message::{self, Hop};
use super::publish::{Publisher, Routing};
use super::topology::{Names, RUNGS, ResultsQueue};
use crate::ports::broker::{BrokerError, LaneKey, Message, Receipt, Settlement};
use crate::ports::crash::{self, Point};

/// What every receipt of a connection shares.
pub struct Desk {
    pub publisher: Publisher,
    pub copies: Copies,
    pub names: Names,
    pub results: ResultsQueue,
}

pub struct AmqpReceipt {
    pub desk: Arc<Desk>,
    pub acker: Acker,
    pub properties: BasicProperties,
    /// Kept, for a channel that nobody holds is closed, and a delivery can only be acked on its own channel.
    pub channel: Channel,
}

/// A queue that is full now will be so in a moment: a job whose message was refused goes back after this long.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

impl AmqpReceipt {
    /// Acks what is stored elsewhere. What was refused goes back to its queue, for a delivery that is merely dropped
    /// would stay with us for as long as its channel is open.
    async fn let_go(&self, stored: Result<(), BrokerError>) -> Result<(), BrokerError> {
        match stored {
            Ok(()) => {
                let acked = answered(&self.channel, "basic.ack", self.acker.ack(BasicAckOptions::default())).await;
                written(acked).inspect(|()| crash::point(Point::Acked))
            }
            Err(error) if error.is_of_one_message() => {
                tokio::time::sleep(REFUSED_PAUSE).await;
                self.give_back().await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn give_back(&self) -> Result<(), BrokerError> {
        let back = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        written(answered(&self.channel, "basic.nack", self.acker.nack(back)).await)
    }

    async fn onward(&self, exchange: &str, key: &str, message: &Message) -> Result<(), BrokerError> {
        let properties = message::onward(&self.properties, message);
        self.desk.publisher.publish(exchange, key, Routing::Mandatory, &message.body, properties).await
    }

    async fn publish_ending(&self, message: &Message, settlement: &Settlement) -> Result<(), BrokerError> {
        let (publisher, names) = (&self.desk.publisher, &self.desk.names);
        let (result, key) = (&settlement.result, settlement.routing_key());
        let body = serde_json::to_vec(result).map_err(|error| BrokerError::Refused(error.to_string()))?;
        let properties = message::result(message, result);
        let routing = match self.desk.results {
            ResultsQueue::Kept { .. } => Routing::Mandatory,
            ResultsQueue::ExchangeOnly => Routing::Optional,
        };
        publisher.publish(&names.results(), &key, routing, &body, properties.clone()).await?;
        crash::point(Point::Told);
        if let Some(reply_to) = message.reply_to.as_deref() {
            self.desk.copies.send(reply_to, &body, properties).await;
        }
        if result.outcome.is_dead_letter() {
            let properties = message::dead(&self.properties, message, result);
            publisher.publish(&names.dead(), &key, Routing::Mandatory, &message.body, properties).await?;
            crash::point(Point::Buried);
        }
        Ok(())
    }
}

/// An ack that was not written is a connection that was lost; one that was written may still be lost on the way.
fn written(outcome: Result<bool, CallError>) -> Result<(), BrokerError> {
    match outcome {
        Ok(true) => Ok(()),
        Ok(false) => Err(BrokerError::Lost("the channel of the delivery is closed".into())),
        Err(error) => Err(error.into()),
    }
}

#[async_trait]
impl Receipt for AmqpReceipt {
    async fn settle(self: Box<Self>, message: Message, settlement: &Settlement) -> Result<(), BrokerError> {
        let stored = self.publish_ending(&message, settlement).await;
        self.let_go(stored).await
    }

    async fn defer(self: Box<Self>, message: Message, lane: &LaneKey, now: Timestamp) -> Result<(), BrokerError> {
        let progress = message.progress.as_ref();
        let due = progress.and_then(|progress| progress.due);
        let hop = message::hop(due, now);
        let last_hop = due.is_none_or(|due| due.as_millisecond() - now.as_millisecond() <= i64::from(RUNGS[0]));
        let first_send = progress.is_none_or(|progress| progress.attempts == 0);
        // A job that was tried, or must ride on, comes back where it is read first; a new one joins its lane's end.
        let key = if first_send && last_hop { lane.to_string() } else { format!("{lane}.retry") };
        let exchange = match hop {
            Hop::Now => self.desk.names.jobs(),
            Hop::Wait(rung) => self.desk.names.wait(rung),
        };
        let stored = self.onward(&exchange, &key, &message).await;
        self.let_go(stored.inspect(|()| crash::point(Point::Deferred))).await
    }

    async fn forward(self: Box<Self>, message: Message, lane: &LaneKey) -> Result<(), BrokerError> {
        let stored = self.onward(&self.desk.names.jobs(), &lane.to_string(), &message).await;
        self.let_go(stored.inspect(|()| crash::point(Point::Forwarded))).await
    }

    async fn release(self: Box<Self>) -> Result<(), BrokerError> {
        self.give_back().await
    }
}
