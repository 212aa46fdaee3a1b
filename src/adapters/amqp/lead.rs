//! The right to send for a provider: an exclusive queue, which the broker gives to one connection only.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer, ErrorKind};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::ports::broker::{BrokerError, Lead};
use crate::ports::fence::{Fence, Flow};

/// A round trip with the broker is good for so long, and never longer than one heartbeat: the broker gives a lead away
/// only after two without a sign of life.
const FRESH: Duration = Duration::from_secs(5);
/// How often the broker is asked whether the lead is still ours.
const PULSE: Duration = Duration::from_secs(1);

pub struct AmqpLead {
    consumer: Consumer,
    fence: Fence,
    pulse: JoinHandle<()>,
}

/// Takes the lead, unless another connection has it.
pub async fn take(connection: &Connection, queue: &str, flow: Flow) -> Result<Option<AmqpLead>, BrokerError> {
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
    let (asked, fence) = Fence::new(fresh(connection.configuration().heartbeat()), flow);
    let pulse = tokio::spawn(pulse(channel, queue.to_owned(), asked));
    Ok(Some(AmqpLead { consumer, fence, pulse }))
}

/// For how long an answer proves that the lead is ours; `heartbeat` in seconds, 0 for none.
fn fresh(heartbeat: u16) -> Duration {
    match heartbeat {
        0 => FRESH,
        seconds => FRESH.min(Duration::from_secs(seconds.into())),
    }
}

/// Asks for the lead queue again and again, on the connection that holds it: only its holder gets an answer. The
/// channel is open as long as the lead is held.
async fn pulse(channel: Channel, queue: String, asked: watch::Sender<Instant>) {
    loop {
        let now = Instant::now();
        let passive = QueueDeclareOptions { passive: true, exclusive: true, ..QueueDeclareOptions::default() };
        if channel.queue_declare(queue.as_str().into(), passive, FieldTable::default()).await.is_err() {
            // The lead is lost, as its consumer will say.
            return;
        }
        asked.send_replace(now);
        tokio::time::sleep(PULSE).await;
    }
}

impl Drop for AmqpLead {
    fn drop(&mut self) {
        self.pulse.abort();
    }
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
    fn fence(&self) -> Fence {
        self.fence.clone()
    }

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
