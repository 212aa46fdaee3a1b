//! Publishing: success is a confirm without a return.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::call::{answered, blocked, confirmed};
use super::connection::{Link, News, OnAlarm};
use crate::ports::broker::BrokerError;
use crate::ports::crash::{self, Point};
use crate::ports::fence::Flow;

/// So long is waited for the end of an alarm by whoever gives up.
const ALARM_TIMEOUT: Duration = Duration::from_secs(5);
/// A broker that has confirmed something within so long confirms: longer than between two proofs that it does.
const OTHERS_CONFIRMED: Duration = Duration::from_secs(8);
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
    link: Link,
    idle: Mutex<Vec<Channel>>,
    places: Semaphore,
    news: News,
    on_alarm: OnAlarm,
    /// When something was confirmed last.
    confirmed: watch::Sender<Option<Instant>>,
}

impl Publisher {
    /// `news` of this connection; they are told, too, when it must be given up.
    pub fn new(link: Link, news: News, on_alarm: OnAlarm) -> Self {
        let (places, confirmed) = (Semaphore::new(UNDER_WAY), watch::Sender::new(None));
        Self { link, idle: Mutex::default(), places, news, on_alarm, confirmed }
    }

    pub fn link(&self) -> &Link {
        &self.link
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
        let exchanged = async {
            let _place = self.places.acquire().await.map_err(|_| BrokerError::Lost("closed".into()))?;
            let message = Outgoing { exchange, key, routing, body, properties };
            let confirmation = confirmed(self.flow(), async {
                let channel = self.channel().await?;
                let confirmation = message.publish(&channel).await?;
                self.idle().push(channel);
                Ok(confirmation)
            });
            read(confirmation.await?, exchange, key)
        };
        let outcome = tokio::select! {
            biased;
            outcome = exchanged => outcome,
            error = self.given_up() => Err(error),
        };
        let outcome = match outcome {
            Err(BrokerError::Unconfirmed(within)) if self.confirms_others() => {
                Err(BrokerError::Refused(format!("{exchange}/{key}: not confirmed within {within:?}, as others were")))
            }
            outcome => outcome,
        };
        match &outcome {
            Ok(()) => {
                self.confirmed.send_replace(Some(Instant::now()));
            }
            Err(lost @ (BrokerError::Lost(_) | BrokerError::Unconfirmed(_) | BrokerError::Unanswered { .. })) => {
                self.news.broken.send_replace(Some(lost.clone()));
            }
            Err(
                BrokerError::QueueDown(_)
                | BrokerError::Blocked(_)
                | BrokerError::Refused(_)
                | BrokerError::Unroutable(_),
            ) => {}
        }
        outcome
    }

    /// Resolves when the next message is confirmed. Cancel-safe.
    pub async fn next_confirm(&self) {
        let mut confirmed = self.confirmed.subscribe();
        // The sender is our own.
        let _confirmed = confirmed.changed().await;
    }

    /// Whether it is one queue that confirms nothing, and not the broker: the connection is in order.
    fn confirms_others(&self) -> bool {
        self.confirmed.borrow().is_some_and(|last| last.elapsed() < OTHERS_CONFIRMED)
    }

    /// A channel for messages that must keep their order. Whoever asks is told of an alarm.
    pub async fn in_order(&self) -> Result<InOrder, BrokerError> {
        if let Some(reason) = self.flow().blocked() {
            return Err(BrokerError::Blocked(reason));
        }
        let channel = self.link.channel().await?;
        answered(&channel, "confirm.select", channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(InOrder { channel, flow: self.flow() })
    }

    async fn given_up(&self) -> BrokerError {
        match self.on_alarm {
            OnAlarm::Wait => std::future::pending().await,
            OnAlarm::GiveUp => blocked(self.flow(), ALARM_TIMEOUT).await,
        }
    }

    fn flow(&self) -> Flow {
        Flow::of(&self.news.flow)
    }

    /// Waited for like a confirm.
    async fn channel(&self) -> lapin::Result<Channel> {
        let idle = self.idle().pop();
        if let Some(channel) = idle {
            return Ok(channel);
        }
        let channel = self.link.connection().create_channel().await?;
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
    flow: Flow,
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
        let message = Outgoing { exchange, key, routing: Routing::Mandatory, body, properties };
        tokio::select! {
            biased;
            confirmation = confirmed(self.flow.clone(), message.publish(&self.channel)) => {
                read(confirmation?, exchange, key)
            }
            error = blocked(self.flow.clone(), ALARM_TIMEOUT) => Err(error),
        }
    }
}

/// A message, and where it is to go.
struct Outgoing<'m> {
    exchange: &'m str,
    key: &'m str,
    routing: Routing,
    body: &'m [u8],
    properties: BasicProperties,
}

impl Outgoing<'_> {
    /// To be waited for as long as a confirm may take.
    async fn publish(self, channel: &Channel) -> lapin::Result<Confirmation> {
        let mandatory = self.routing == Routing::Mandatory;
        let options = BasicPublishOptions { mandatory, ..BasicPublishOptions::default() };
        let (exchange, key) = (self.exchange.into(), self.key.into());
        let unconfirmed = channel.basic_publish(exchange, key, options, self.body, self.properties).await?;
        crash::point(Point::Unconfirmed);
        unconfirmed.await
    }
}

fn read(confirmation: Confirmation, exchange: &str, key: &str) -> Result<(), BrokerError> {
    match confirmation {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(returned)) => {
            Err(BrokerError::Unroutable(format!("{exchange}/{key}: {}", returned.reply_text)))
        }
        Confirmation::Nack(_) => Err(BrokerError::Refused(format!("{exchange}/{key}"))),
        Confirmation::NotRequested => Err(BrokerError::Lost("the channel does not confirm".into())),
    }
}
