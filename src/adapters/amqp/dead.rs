//! The dead queue: letters are taken unacked and given back, or acked once they are elsewhere.
//!
//! While they are in hand nobody else sees them; they come back by themselves however the process ends. RabbitMQ puts
//! them back in front of the others in the order in which they are given back, but promises no order for those of a
//! connection that was lost.

use std::ops::ControlFlow;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::protocol::AMQPSoftError;
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::time::{Instant, sleep, timeout};

use super::call::answered;
use super::publish::Routing;
use super::wire::Original;
use super::{AmqpBroker, letter, message};
use crate::model::dead::{DeadLetter, Redrive};
use crate::ports::broker::{BrokerError, LaneKey};
use crate::ports::dead::{Count, DeadLetters, Fate, Look, Others, Sorter};

/// So many bodies are in memory at a time.
const LOOKED_AT: u64 = 1_000;
/// A quorum queue takes in 32 acks of a channel at a time; it forgets those that it holds back if the channel closes
/// just then, and the letter would be dead and redriven. Opening the next window waits until the acks of the last one
/// are stored.
const SORTED: u64 = 30;
/// When nothing came for so long, it is asked whether anything is left.
const QUIET: Duration = Duration::from_millis(500);
/// A broker that has letters and sends none for so long is frozen.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long what was given back is waited for.
const SETTLING: Duration = Duration::from_secs(5);

/// One reading of the queue, on a channel of its own.
struct Reading {
    channel: Channel,
    queue: String,
    /// What was there at the start and was not handed out yet.
    left: u64,
    /// So many of them are to be seen again at the end: all but those that were acked.
    staying: u64,
    /// Those that are open.
    windows: Vec<Consumer>,
    opened: usize,
}

/// What was decided about a letter in hand.
struct Decided {
    tag: u64,
    original: Original,
    letter: DeadLetter,
    fate: Fate,
}

impl Reading {
    /// Takes up to `size` letters more into hand. Windows are in the order of their tags, and so is giving back.
    async fn open_window(&mut self, size: u64) -> Result<u64, BrokerError> {
        let size = u16::try_from(size.min(self.left)).unwrap_or(u16::MAX);
        answered(&self.channel, "basic.qos", self.channel.basic_qos(size, BasicQosOptions::default())).await?;
        let tag = format!("dead-{:09}", self.opened);
        let options = BasicConsumeOptions::default();
        let consumer =
            self.channel.basic_consume(self.queue.as_str().into(), tag.into(), options, FieldTable::default());
        self.windows.push(answered(&self.channel, "basic.consume", consumer).await?);
        self.opened += 1;
        Ok(size.into())
    }

    /// The next letter of the last window; None when no more are there.
    async fn next(&mut self) -> Result<Option<lapin::message::Delivery>, BrokerError> {
        let end = Instant::now() + PATIENCE;
        let Some(window) = self.windows.last_mut() else { return Ok(None) };
        loop {
            match timeout(QUIET, window.next()).await {
                Ok(Some(Ok(delivery))) => {
                    self.left -= 1;
                    return Ok(Some(delivery));
                }
                Ok(Some(Err(error))) => return Err(BrokerError::Lost(error.to_string())),
                Ok(None) => return Err(BrokerError::Lost("the broker cancelled a consumer".into())),
                Err(_) if ready(&self.channel, &self.queue).await?.letters == 0 => return Ok(None),
                Err(_) if Instant::now() > end => return Err(BrokerError::Unconfirmed(PATIENCE)),
                Err(_) => {}
            }
        }
    }

    /// Takes no more by the last window: what its letters leave free would be filled again.
    async fn close_window(&mut self) -> Result<(), BrokerError> {
        match self.windows.pop() {
            Some(window) => self.cancel(&window).await,
            None => Ok(()),
        }
    }

    async fn cancel(&self, window: &Consumer) -> Result<(), BrokerError> {
        let cancelled = self.channel.basic_cancel(window.tag(), BasicCancelOptions::default());
        Ok(answered(&self.channel, "basic.cancel", cancelled).await?)
    }

    /// Gives back all that is in hand, and waits until it can be seen again.
    async fn end(self) -> Result<(), BrokerError> {
        for window in &self.windows {
            self.cancel(window).await?;
        }
        let back = BasicNackOptions { requeue: true, multiple: true };
        let everything = 0;
        answered(&self.channel, "basic.nack", self.channel.basic_nack(everything, back)).await?;
        let end = Instant::now() + SETTLING;
        while self.staying > 0
            && ready(&self.channel, &self.queue).await?.letters < self.staying
            && Instant::now() < end
        {
            sleep(Duration::from_millis(20)).await;
        }
        Ok(answered(&self.channel, "channel.close", self.channel.close(200, "done".into())).await?)
    }
}

async fn ready(channel: &Channel, queue: &str) -> Result<Count, BrokerError> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(queue.into(), passive, FieldTable::default());
    match answered(channel, "queue.declare", declared).await {
        Ok(queue) => {
            let others = if queue.consumer_count() > 0 { Others::Somebody } else { Others::Nobody };
            Ok(Count { letters: queue.message_count().into(), others })
        }
        // No worker has ever been here.
        Err(error) if error.is(AMQPSoftError::NOTFOUND) => Ok(Count { letters: 0, others: Others::Nobody }),
        Err(error) => Err(error.into()),
    }
}

impl AmqpBroker {
    async fn reading(&self) -> Result<Reading, BrokerError> {
        let left = DeadLetters::count(self).await?.letters;
        let channel = self.consuming.link().channel().await?;
        Ok(Reading { channel, queue: self.desk.names.dead(), left, staying: left, windows: Vec::new(), opened: 0 })
    }

    /// Does what was decided about one window; the first failure is told once the others are through.
    async fn carry_out(
        &self,
        reading: &mut Reading,
        window: Vec<Decided>,
        sorter: &mut dyn Sorter,
    ) -> Result<(), BrokerError> {
        let channel = &reading.channel;
        let mut under_way: FuturesUnordered<_> = window
            .into_iter()
            .map(|decided| async move {
                match &decided.fate {
                    Fate::Keep | Fate::Stop => return Ok(0),
                    Fate::Purge => {}
                    Fate::Redrive(redrive) => self.revive(&decided, redrive).await?,
                }
                answered(channel, "basic.ack", channel.basic_ack(decided.tag, BasicAckOptions::default())).await?;
                Ok(1)
            })
            .collect();
        let mut all = Ok(());
        while let Some(done) = under_way.next().await {
            match done {
                Ok(many) => {
                    reading.staying -= many;
                    sorter.done(many);
                }
                Err(error) => all = all.and(Err(error)),
            }
        }
        all
    }

    async fn revive(&self, decided: &Decided, redrive: &Redrive) -> Result<(), BrokerError> {
        let mut message = letter::revived(&decided.letter, &decided.original, &self.namespace);
        message.progress = Some(redrive.progress.clone());
        let properties = message::onward(&decided.original.readable, &message);
        let lane = LaneKey { provider: redrive.job.provider.clone(), lane: redrive.job.lane }.to_string();
        let desk = &self.desk;
        desk.publisher.publish(&desk.names.jobs(), &lane, Routing::Mandatory, &message.body, properties).await
    }

    async fn sort_on(&self, reading: &mut Reading, sorter: &mut dyn Sorter) -> Result<(), BrokerError> {
        while reading.left > 0 {
            let size = reading.open_window(SORTED).await?;
            let mut window = Vec::new();
            let mut is_last = false;
            for _ in 0..size {
                let Some(delivery) = reading.next().await? else {
                    is_last = true;
                    break;
                };
                let original = Original::from(delivery.properties);
                let letter = letter::read(delivery.data, &original);
                let fate = sorter.decide(&letter);
                is_last = fate == Fate::Stop;
                window.push(Decided { tag: delivery.delivery_tag, original, letter, fate });
                if is_last {
                    break;
                }
            }
            reading.close_window().await?;
            self.carry_out(reading, window, sorter).await?;
            if is_last {
                break;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl DeadLetters for AmqpBroker {
    async fn count(&self) -> Result<Count, BrokerError> {
        let channel = self.consuming.link().channel().await?;
        ready(&channel, &self.desk.names.dead()).await
    }

    async fn look(&self, look: &mut Look<'_>) -> Result<(), BrokerError> {
        let mut reading = self.reading().await?;
        'windows: while reading.left > 0 {
            for _ in 0..reading.open_window(LOOKED_AT).await? {
                let Some(delivery) = reading.next().await? else { break 'windows };
                if let ControlFlow::Break(()) = look(&letter::read(delivery.data, &delivery.properties.into())) {
                    break 'windows;
                }
            }
        }
        reading.end().await
    }

    async fn sort(&self, sorter: &mut dyn Sorter) -> Result<(), BrokerError> {
        let mut reading = self.reading().await?;
        let sorted = self.sort_on(&mut reading, sorter).await;
        match sorted {
            // The connection that reads is in order.
            Ok(()) | Err(BrokerError::Refused(_) | BrokerError::Unroutable(_) | BrokerError::Blocked(_)) => {
                reading.end().await.and(sorted)
            }
            Err(
                BrokerError::Lost(_)
                | BrokerError::Unanswered { .. }
                | BrokerError::QueueDown(_)
                | BrokerError::Unconfirmed(_),
            ) => sorted,
        }
    }
}
