//! The right to send for a provider: an exclusive queue, which the broker gives to one connection only.

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer, ErrorKind};

use crate::ports::broker::{BrokerError, Lead};

pub struct AmqpLead {
    /// Open as long as the lead is held.
    _channel: Channel,
    consumer: Consumer,
}

/// Takes the lead, unless another connection has it.
pub async fn take(connection: &Connection, queue: &str) -> Result<Option<AmqpLead>, BrokerError> {
    let lost = |error: lapin::Error| BrokerError::Lost(error.to_string());
    let channel = connection.create_channel().await.map_err(lost)?;
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    match channel.queue_declare(queue.into(), options, FieldTable::default()).await {
        Ok(_) => {}
        Err(error) if is_taken(&error) => return Ok(None),
        Err(error) => return Err(lost(error)),
    }
    // Consumed although nothing is ever published to it: the end of the consumer tells that the queue was deleted.
    let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
    let consumer =
        channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await.map_err(lost)?;
    Ok(Some(AmqpLead { _channel: channel, consumer }))
}

fn is_taken(error: &lapin::Error) -> bool {
    match error.kind() {
        ErrorKind::ProtocolError(refusal) => {
            matches!(refusal.kind(), AMQPErrorKind::Soft(AMQPSoftError::RESOURCELOCKED))
        }
        _ => false,
    }
}

#[async_trait]
impl Lead for AmqpLead {
    async fn lost(&mut self) -> BrokerError {
        loop {
            match self.consumer.next().await {
                // Somebody published to the lead queue by mistake; it means nothing.
                Some(Ok(_)) => {}
                Some(Err(error)) => return BrokerError::Lost(error.to_string()),
                None => return BrokerError::Lost("the lead queue was deleted".into()),
            }
        }
    }
}
