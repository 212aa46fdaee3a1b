//! Receiving: the queues of one provider (or the intake), each with a consumer of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::select_all;
use futures_util::{FutureExt, StreamExt};
use lapin::options::BasicCancelOptions;
use lapin::types::ShortString;
use lapin::{Channel, Consumer};
use tokio::time::Instant;

use super::call::answered;
use super::consuming::Consuming;
use super::message;
use super::receipt::{AmqpReceipt, Desk, Publication};
use super::wire::Original;
use crate::model::job::Lane;
use crate::ports::broker::{BrokerError, Delivery, JobSource, LaneKey, See};

/// The queue to consume, and what its jobs are.
pub struct Tap {
    pub queue: String,
    pub lane: Option<LaneKey>,
    /// So many of them may be in hand.
    pub prefetch: u16,
}

struct Line {
    queue: String,
    channel: Channel,
    consumer: Consumer,
    lane: Option<LaneKey>,
    held: VecDeque<(Instant, lapin::message::Delivery)>,
}

/// A quorum queue takes in 32 acks of a channel at a time, those of jobs that go back included. It holds back the others, and
/// forgets them if the channel closes just then: so it stays open for a while.
const LINGER: Duration = Duration::from_secs(5);

/// Consumers in the order in which their jobs are to be served.
pub struct AmqpSource {
    desk: Arc<Desk>,
    namespace: String,
    lines: Vec<Line>,
    /// When it was last seen what has arrived.
    looked: Instant,
    failed: Option<BrokerError>,
}

impl AmqpSource {
    /// Starts consuming `taps`, best first.
    pub async fn open(
        consuming: &Consuming,
        desk: Arc<Desk>,
        namespace: &str,
        taps: Vec<Tap>,
    ) -> Result<Self, BrokerError> {
        let mut lines = Vec::new();
        for tap in taps {
            let (channel, consumer) = consuming.consume(&tap.queue, tap.prefetch).await?;
            lines.push(Line { queue: tap.queue, channel, consumer, lane: tap.lane, held: VecDeque::new() });
        }
        Ok(Self { desk, namespace: namespace.to_owned(), lines, looked: Instant::now(), failed: None })
    }

    /// Takes in what has arrived without waiting. It may have been there since the last look: so it counts as at hand since
    /// then, for nothing may wait longer than it was to.
    fn gather(&mut self) {
        let since = std::mem::replace(&mut self.looked, Instant::now());
        for line in &mut self.lines {
            while let Some(next) = line.consumer.next().now_or_never() {
                match arrived(next) {
                    Ok(delivery) => line.held.push_back((since, delivery)),
                    Err(error) => {
                        self.failed = Some(error);
                        break;
                    }
                }
            }
        }
    }
}

pub fn arrived(next: Option<lapin::Result<lapin::message::Delivery>>) -> Result<lapin::message::Delivery, BrokerError> {
    match next {
        Some(Ok(delivery)) => Ok(delivery),
        Some(Err(error)) => Err(BrokerError::Lost(error.to_string())),
        None => Err(BrokerError::Lost("the broker cancelled a consumer".into())),
    }
}

/// What was at hand for a while has waited for so long.
fn hand_over(
    desk: &Arc<Desk>,
    namespace: &str,
    line: &Line,
    (since, delivery): (Instant, lapin::message::Delivery),
) -> Delivery {
    let original = Original::from(delivery.properties);
    let mut message = message::read(delivery.data, &original, namespace);
    message.progress = message.progress.map(|progress| progress.after(since.elapsed()));
    let receipt = AmqpReceipt {
        desk: desk.clone(),
        queue: line.queue.clone(),
        acker: delivery.acker,
        original,
        result: Publication::Pending,
        channel: line.channel.clone(),
    };
    Delivery::new(message, line.lane.clone(), Box::new(receipt))
}

#[async_trait]
impl JobSource for AmqpSource {
    async fn ready(&mut self) -> Result<(), BrokerError> {
        loop {
            self.gather();
            if self.lines.iter().any(|line| !line.held.is_empty()) {
                return Ok(());
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            let (next, index, _) = select_all(self.lines.iter_mut().map(|line| line.consumer.next())).await;
            self.looked = Instant::now();
            match arrived(next) {
                Ok(delivery) => self.lines[index].held.push_back((self.looked, delivery)),
                Err(error) => self.failed = Some(error),
            }
        }
    }

    fn best(&mut self) -> Option<Delivery> {
        self.gather();
        let line = self.lines.iter_mut().find(|line| !line.held.is_empty())?;
        let held = line.held.pop_front()?;
        Some(hand_over(&self.desk, &self.namespace, line, held))
    }

    fn spare(&mut self) -> Option<Delivery> {
        self.gather();
        let line = self.lines.iter_mut().rfind(|line| !line.held.is_empty())?;
        let held = line.held.pop_back()?;
        Some(hand_over(&self.desk, &self.namespace, line, held))
    }

    fn look(&mut self, see: &mut See<'_>) {
        self.gather();
        for (_, delivery) in self.lines.iter().flat_map(|line| &line.held) {
            let id = delivery.properties.message_id().as_ref().map(ShortString::as_str);
            if see(&delivery.data, id.filter(|id| !id.is_empty())).is_break() {
                return;
            }
        }
    }

    fn held(&self, lane: Lane) -> usize {
        let of_lane = |line: &&Line| line.lane.as_ref().is_some_and(|key| key.lane == lane);
        self.lines.iter().filter(of_lane).map(|line| line.held.len()).sum()
    }

    async fn release_older_than(&mut self, age: Duration) -> Result<(), BrokerError> {
        self.gather();
        for index in 0..self.lines.len() {
            while self.lines[index].held.front().is_some_and(|(since, _)| since.elapsed() >= age) {
                let Some(held) = self.lines[index].held.pop_front() else { break };
                hand_over(&self.desk, &self.namespace, &self.lines[index], held).release().await?;
            }
        }
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BrokerError> {
        for line in &self.lines {
            let cancelled = line.channel.basic_cancel(line.consumer.tag(), BasicCancelOptions::default());
            answered(&line.channel, "basic.cancel", cancelled).await?;
        }
        self.release_older_than(Duration::ZERO).await?;
        let channels: Vec<Channel> = self.lines.drain(..).map(|line| line.channel).collect();
        tokio::spawn(async move {
            tokio::time::sleep(LINGER).await;
            drop(channels);
        });
        Ok(())
    }
}
