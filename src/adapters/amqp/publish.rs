//! Publishing: success is a confirm without a return.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::{Semaphore, watch};
use tokio::time::error::Elapsed;

use crate::ports::broker::BrokerError;

/// A broker that does not confirm for so long is frozen, or blocked by an alarm: both connections are built anew.
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
    broken: watch::Sender<Option<BrokerError>>,
}

impl Publisher {
    /// `broken` is told when the connection must be given up.
    pub fn new(connection: Connection, broken: watch::Sender<Option<BrokerError>>) -> Self {
        Self { connection, idle: Mutex::default(), places: Semaphore::new(UNDER_WAY), broken }
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
        let outcome = read(tokio::time::timeout(CONFIRM_TIMEOUT, exchanged).await, exchange, key);
        if let Err(lost @ (BrokerError::Lost(_) | BrokerError::Unconfirmed(_))) = &outcome {
            self.broken.send_replace(Some(lost.clone()));
        }
        outcome
    }

    /// A channel for messages that must keep their order.
    pub async fn in_order(&self) -> Result<InOrder, BrokerError> {
        let channel = self.channel().await.map_err(|error| BrokerError::Lost(error.to_string()))?;
        Ok(InOrder { channel })
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
        read(tokio::time::timeout(CONFIRM_TIMEOUT, exchanged).await, exchange, key)
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
    channel.basic_publish(exchange.into(), key.into(), options, body, properties).await?.await
}

fn read(outcome: Result<lapin::Result<Confirmation>, Elapsed>, exchange: &str, key: &str) -> Result<(), BrokerError> {
    match outcome {
        Ok(Ok(Confirmation::Ack(None))) => Ok(()),
        Ok(Ok(Confirmation::Ack(Some(returned)))) => {
            Err(BrokerError::Unroutable(format!("{exchange}/{key}: {}", returned.reply_text)))
        }
        Ok(Ok(Confirmation::Nack(_))) => Err(BrokerError::Refused(format!("{exchange}/{key}"))),
        Ok(Ok(Confirmation::NotRequested)) => Err(BrokerError::Lost("the channel does not confirm".into())),
        Ok(Err(error)) => Err(BrokerError::Lost(error.to_string())),
        Err(_) => Err(BrokerError::Unconfirmed(CONFIRM_TIMEOUT)),
    }
}
