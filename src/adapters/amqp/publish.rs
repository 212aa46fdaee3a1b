//! Publishing: success is a confirm without a return.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::Semaphore;

use super::connection::News;
use crate::ports::broker::BrokerError;
use crate::ports::crash::{self, Point};
use crate::ports::fence::Flow;

/// A broker that does not confirm for so long, although it takes messages, is frozen: both connections are built anew.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(20);
/// So many messages may wait for their confirm at a time.
const UNDER_WAY: usize = 64;

/// What becomes of a message that no queue takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routing {
    /// It is an error.
    Mandatory,
    /// It may vanish: nobody need be listening.
    Optional,
}

/// A connection that publishes, with one message at a time on each of its channels: only so is a returned message
/// sure to be matched with its own confirm, for the client matches the oldest return with the next confirm.
pub struct Publisher {
    connection: Connection,
    idle: Mutex<Vec<Channel>>,
    places: Semaphore,
    news: News,
}

impl Publisher {
    /// `news` of this connection; they are told, too, when it must be given up.
    pub fn new(connection: Connection, news: News) -> Self {
        Self { connection, idle: Mutex::default(), places: Semaphore::new(UNDER_WAY), news }
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Publishes one message and waits for its confirm.
    pub async fn publish(
        &self,
        exchange: &str,
        key: &str,
        routing: Routing,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<(), BrokerError> {
        let _place = self.places.acquire().await.map_err(|_| BrokerError::Lost("closed".into()))?;
        let exchanged = async {
            let channel = self.channel().await?;
            let confirmation = confirmed(&channel, exchange, key, routing, body, properties).await?;
            self.idle().push(channel);
            Ok(confirmation)
        };
        let outcome = tokio::select! {
            biased;
            exchanged = exchanged => read(exchanged, exchange, key),
            () = self.patience() => Err(BrokerError::Unconfirmed(CONFIRM_TIMEOUT)),
        };
        if let Err(lost @ (BrokerError::Lost(_) | BrokerError::Unconfirmed(_))) = &outcome {
            self.news.broken.send_replace(Some(lost.clone()));
        }
        outcome
    }

    /// A channel for messages that must keep their order.
    pub async fn in_order(&self) -> Result<InOrder, BrokerError> {
        let channel = self.channel().await.map_err(|error| BrokerError::Lost(error.to_string()))?;
        Ok(InOrder { channel })
    }

    /// Ends once the broker had its time; while it takes nothing, time stands still.
    async fn patience(&self) {
        let mut flow = Flow::of(&self.news.flow);
        loop {
            flow.until_free().await;
            tokio::select! {
                () = flow.until_blocked() => {}
                () = tokio::time::sleep(CONFIRM_TIMEOUT) => return,
            }
        }
    }

    async fn channel(&self) -> lapin::Result<Channel> {
        let idle = self.idle().pop();
        if let Some(channel) = idle {
            return Ok(channel);
        }
        let channel = self.connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Channel>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One channel with many messages under way, in order. Where some of them find no queue, it is not sure which: after an
/// [`BrokerError::Unroutable`] none that was confirmed on it since it was opened is certain.
pub struct InOrder {
    channel: Channel,
}

impl InOrder {
    /// Publishes one message, which must find a queue, and waits for its confirm. Messages keep the order in which
    /// these futures are first polled.
    pub async fn publish(
        &self,
        exchange: &str,
        key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<(), BrokerError> {
        let exchanged = confirmed(&self.channel, exchange, key, Routing::Mandatory, body, properties);
        match tokio::time::timeout(CONFIRM_TIMEOUT, exchanged).await {
            Ok(exchanged) => read(exchanged, exchange, key),
            Err(_) => Err(BrokerError::Unconfirmed(CONFIRM_TIMEOUT)),
        }
    }
}

async fn confirmed(
    channel: &Channel,
    exchange: &str,
    key: &str,
    routing: Routing,
    body: &[u8],
    properties: BasicProperties,
) -> lapin::Result<Confirmation> {
    let options = BasicPublishOptions { mandatory: routing == Routing::Mandatory, ..BasicPublishOptions::default() };
    let unconfirmed = channel.basic_publish(exchange.into(), key.into(), options, body, properties).await?;
    crash::point(Point::Unconfirmed);
    unconfirmed.await
}

fn read(outcome: lapin::Result<Confirmation>, exchange: &str, key: &str) -> Result<(), BrokerError> {
    match outcome {
        Ok(Confirmation::Ack(None)) => Ok(()),
        Ok(Confirmation::Ack(Some(returned))) => {
            Err(BrokerError::Unroutable(format!("{exchange}/{key}: {}", returned.reply_text)))
        }
        Ok(Confirmation::Nack(_)) => Err(BrokerError::Refused(format!("{exchange}/{key}"))),
        Ok(Confirmation::NotRequested) => Err(BrokerError::Lost("the channel does not confirm".into())),
        Err(error) => Err(BrokerError::Lost(error.to_string())),
    }
}
