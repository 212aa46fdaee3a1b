//! The right to send for a provider: an exclusive queue, which the broker gives to one connection only.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::protocol::AMQPSoftError;
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::call::{CallError, answered};
use super::connection::Link;
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
    pulse: JoinHandle<CallError>,
}

/// Takes the lead, unless another connection has it.
pub async fn take(link: &Link, queue: &str, flow: Flow) -> Result<Option<AmqpLead>, BrokerError> {
    let channel = link.channel().await?;
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(queue.into(), options, FieldTable::default());
    match answered(&channel, "queue.declare", declared).await {
        Ok(_) => {}
        Err(error) if error.is(AMQPSoftError::RESOURCELOCKED) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // Consumed although nothing is ever published to it: the end of the consumer tells that the queue was deleted.
    let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
    let consumer = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    let consumer = answered(&channel, "basic.consume", consumer).await?;
    let (asked, fence) = Fence::new(fresh(link.heartbeat()), flow);
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
async fn pulse(channel: Channel, queue: String, asked: watch::Sender<Instant>) -> CallError {
    loop {
        let now = Instant::now();
        let passive = QueueDeclareOptions { passive: true, exclusive: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare(queue.as_str().into(), passive, FieldTable::default());
        if let Err(error) = answered(&channel, "queue.declare", declared).await {
            return error;
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

#[async_trait]
impl Lead for AmqpLead {
    fn fence(&self) -> Fence {
        self.fence.clone()
    }

    async fn lost(&mut self) -> BrokerError {
        loop {
            let next = tokio::select! {
                biased;
                next = self.consumer.next() => next,
                ended = &mut self.pulse => {
                    return ended.map_or_else(|error| BrokerError::Lost(error.to_string()), BrokerError::from);
                }
            };
            match next {
                // Somebody published to the lead queue by mistake; it means nothing.
                Some(Ok(_)) => {}
                Some(Err(error)) => return BrokerError::Lost(error.to_string()),
                None => return BrokerError::Lost("the lead queue was deleted".into()),
            }
        }
    }
}
