//! Our hold on one delivery: publish first, ack last.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::{Acker, Channel};

use super::call::{CallError, answered};
use super::copies::Copies;
use super::message::{self, Hop};
use super::publish::{Publisher, Routing};
use super::topology::{Names, RUNGS, ResultsQueue};
use super::wire::Original;
use crate::model::progress::Progress;
use crate::ports::broker::{BrokerError, JobTime, LaneKey, Message, Receipt, Settlement};
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
    /// Which it came from.
    pub queue: String,
    pub acker: Acker,
    pub original: Original,
    /// Of the result, where only the dead letter was refused: a result is published once.
    pub result: Publication,
    /// Kept, for a channel that nobody holds is closed, and a delivery can only be acked on its own channel.
    pub channel: Channel,
}

/// Whether something of a delivery is stored elsewhere already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publication {
    Pending,
    Confirmed,
}

impl AmqpReceipt {
    /// Acks what is stored elsewhere. What no queue takes goes back to where it came from, for a delivery that is merely
    /// dropped would stay with us for as long as its channel is open.
    async fn let_go(&self, stored: Result<(), BrokerError>) -> Result<(), BrokerError> {
        match stored {
            Ok(()) => {
                let acked = answered(&self.channel, "basic.ack", self.acker.ack(BasicAckOptions::default())).await;
                written(acked).inspect(|()| crash::point(Point::Acked))
            }
            Err(error @ BrokerError::Unroutable(_)) => {
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
        let properties = message::onward(&self.original.readable, message);
        self.desk.publisher.publish(exchange, key, Routing::Mandatory, &message.body, properties).await
    }

    async fn publish_ending(&mut self, message: &Message, settlement: &Settlement) -> Result<(), BrokerError> {
        let key = settlement.routing_key();
        if self.result == Publication::Pending {
            self.publish_result(message, settlement, &key).await?;
            self.result = Publication::Confirmed;
            crash::point(Point::Told);
        }
        let (publisher, names, result) = (&self.desk.publisher, &self.desk.names, &settlement.result);
        if result.outcome.is_dead_letter() {
            let properties = message::dead(&self.original, message, result);
            publisher.publish(&names.dead(), &key, Routing::Mandatory, &message.body, properties).await?;
            crash::point(Point::Buried);
        }
        Ok(())
    }

    async fn publish_result(&self, message: &Message, settlement: &Settlement, key: &str) -> Result<(), BrokerError> {
        let (publisher, names, result) = (&self.desk.publisher, &self.desk.names, &settlement.result);
        let body = serde_json::to_vec(result).map_err(|error| BrokerError::Refused(error.to_string()))?;
        let properties = message::result(message, result);
        let routing = match self.desk.results {
            ResultsQueue::Kept { .. } => Routing::Mandatory,
            ResultsQueue::ExchangeOnly => Routing::Optional,
        };
        publisher.publish(&names.results(), key, routing, &body, properties.clone()).await?;
        if let Some(reply_to) = message.reply_to.as_deref() {
            self.desk.copies.send(reply_to, &body, properties).await;
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
    async fn settle(&mut self, message: &Message, settlement: &Settlement) -> Result<(), BrokerError> {
        let stored = self.publish_ending(message, settlement).await;
        if let (Ok(()), Some(fault)) = (&stored, &message.unreadable) {
            let (queue, job_id) = (&self.queue, settlement.result.job_id.as_str());
            tracing::error!(queue, job_id, fault, "a message that cannot be read: put to the dead letters");
        }
        self.let_go(stored).await
    }

    async fn defer(&mut self, message: &Message, lane: &LaneKey, time: JobTime) -> Result<(), BrokerError> {
        let mut message = message.clone();
        let progress = message.progress.get_or_insert_with(|| Progress::received(time.now));
        let (hop, left) = message::step(progress, time);
        let last_hop = left <= Duration::from_millis(RUNGS[0].into());
        // A job that was tried, or must ride on, comes back where it is read first; another one joins its lane's end.
        let key = if !progress.goes_first() && last_hop { lane.to_string() } else { format!("{lane}.retry") };
        let exchange = match hop {
            Hop::Now => self.desk.names.jobs(),
            Hop::Wait(rung) => self.desk.names.wait(rung),
        };
        let stored = self.onward(&exchange, &key, &message).await;
        self.let_go(stored.inspect(|()| crash::point(Point::Deferred))).await
    }

    async fn forward(&mut self, message: &Message, lane: &LaneKey) -> Result<(), BrokerError> {
        let stored = self.onward(&self.desk.names.jobs(), &lane.to_string(), message).await;
        self.let_go(stored.inspect(|()| crash::point(Point::Forwarded))).await
    }

    async fn release(self: Box<Self>) -> Result<(), BrokerError> {
        self.give_back().await
    }
}
