//! Publishing: success is a confirm without a return.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::{Semaphore, watch};

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
        let mandatory = routing == Routing::Mandatory;
        let options = BasicPublishOptions { mandatory, ..BasicPublishOptions::default() };
        let _place = self.places.acquire().await.map_err(|_| BrokerError::Lost("closed".into()))?;
        let exchanged = async {
            let channel = self.channel().await?;
            let confirm = channel.basic_publish(exchange.into(), key.into(), options, body, properties).await?;
            let confirmation = confirm.await?;
            self.idle().push(channel);
            Ok(confirmation)
        };
        let lost = match tokio::time::timeout(CONFIRM_TIMEOUT, exchanged).await {
            Ok(Ok(Confirmation::Ack(None))) => return Ok(()),
            Ok(Ok(Confirmation::Ack(Some(returned)))) => {
                return Err(BrokerError::Unroutable(format!("{exchange}/{key}: {}", returned.reply_text)));
            }
            Ok(Ok(Confirmation::Nack(_))) => return Err(BrokerError::Refused(format!("{exchange}/{key}"))),
            Ok(Ok(Confirmation::NotRequested)) => BrokerError::Lost("the channel does not confirm".into()),
            Ok(Err(error)) => BrokerError::Lost(lapin::Error::to_string(&error)),
            Err(_) => BrokerError::Unconfirmed(CONFIRM_TIMEOUT),
        };
        self.broken.send_replace(Some(lost.clone()));
        Err(lost)
    }

    async fn channel(&self) -> Result<Channel, lapin::Error> {
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
