//! Publishing: success is a confirm without a return.

use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::watch;

use crate::ports::broker::BrokerError;

/// A broker that does not confirm for so long is frozen, or blocked by an alarm: both connections are built anew.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(20);

/// What becomes of a message that no queue takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routing {
    /// It is an error.
    Mandatory,
    /// It may vanish: nobody need be listening.
    Optional,
}

/// One confirming channel; any number of messages may be under way on it.
pub struct Publisher {
    channel: Channel,
    broken: watch::Sender<Option<BrokerError>>,
}

impl Publisher {
    /// `broken` is told when the connection must be given up.
    pub async fn open(
        connection: &Connection,
        broken: watch::Sender<Option<BrokerError>>,
    ) -> Result<Self, lapin::Error> {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { channel, broken })
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
        let options =
            BasicPublishOptions { mandatory: routing == Routing::Mandatory, ..BasicPublishOptions::default() };
        let confirmed = async {
            let confirm = self.channel.basic_publish(exchange.into(), key.into(), options, body, properties).await?;
            confirm.await
        };
        let outcome = match tokio::time::timeout(CONFIRM_TIMEOUT, confirmed).await {
            Err(_) => Err(BrokerError::Unconfirmed(CONFIRM_TIMEOUT)),
            Ok(Err(error)) => Err(BrokerError::Lost(error.to_string())),
            Ok(Ok(Confirmation::Ack(None))) => return Ok(()),
            Ok(Ok(Confirmation::Ack(Some(returned)))) => {
                return Err(BrokerError::Unroutable(format!("{exchange}/{key}: {}", returned.reply_text)));
            }
            Ok(Ok(Confirmation::Nack(_))) => return Err(BrokerError::Refused(format!("{exchange}/{key}"))),
            Ok(Ok(Confirmation::NotRequested)) => Err(BrokerError::Lost("the channel does not confirm".into())),
        };
        if let Err(error) = &outcome {
            self.broken.send_replace(Some(error.clone()));
        }
        outcome
    }
}
