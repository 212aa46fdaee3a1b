//! The connection that takes messages out of queues. RabbitMQ ends all of it where one queue has no leader.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lapin::message::BasicGetMessage;
use lapin::options::{BasicConsumeOptions, BasicGetOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};

use super::OpenError;
use super::call::{CallError, answered};
use super::connection::{Link, News, Settings};
use crate::ports::broker::BrokerError;

/// Queues that a connection was asking when it ended, or that did not answer; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Doubts(Arc<Mutex<HashSet<String>>>);

impl Doubts {
    fn queues(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct Consuming {
    link: Link,
    settings: Settings,
}

impl Consuming {
    pub async fn open(settings: &Settings, news: News) -> Result<Self, OpenError> {
        Ok(Self { link: Link::open(settings, "consume", news).await?, settings: settings.clone() })
    }

    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Starts consuming, on a channel of its own.
    pub async fn consume(&self, queue: &str, prefetch: u16) -> Result<(Channel, Consumer), BrokerError> {
        self.ask(queue, consume(&self.link, queue, prefetch)).await
    }

    /// One message, if there is one.
    pub async fn get(&self, channel: &Channel, queue: &str) -> Result<Option<BasicGetMessage>, BrokerError> {
        self.ask(queue, answered(channel, "basic.get", channel.basic_get(queue.into(), BasicGetOptions::default())))
            .await
    }

    /// Asks a queue for messages; one that is in doubt first on a connection on which nothing else hangs.
    async fn ask<T>(&self, queue: &str, answer: impl Future<Output = Result<T, CallError>>) -> Result<T, BrokerError> {
        let is_doubted = !self.settings.doubts.queues().insert(queue.to_owned());
        if is_doubted {
            let tried = self.try_apart(queue).await;
            tried.map_err(|error| BrokerError::QueueDown(format!("{queue}: {error}")))?;
        }
        let mut question = Question { asker: self, queue, is_answered: true };
        let answer = answer.await;
        question.is_answered = !matches!(answer, Err(CallError::Unanswered(_)));
        Ok(answer?)
    }

    /// What it takes in hand here goes back at once.
    async fn try_apart(&self, queue: &str) -> Result<(), BrokerError> {
        let link = Link::open(&self.settings, "try", News::default()).await;
        let link = link.map_err(|error| BrokerError::Lost(error.to_string()))?;
        consume(&link, queue, 1).await?;
        link.end().await;
        Ok(())
    }
}

/// Put to a queue. However it ends, nothing is held against the queue while the connection stands, but for a silence.
struct Question<'q> {
    asker: &'q Consuming,
    queue: &'q str,
    is_answered: bool,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        if self.is_answered && self.asker.link.is_open() {
            self.asker.settings.doubts.queues().remove(self.queue);
        }
    }
}

async fn consume(link: &Link, queue: &str, prefetch: u16) -> Result<(Channel, Consumer), CallError> {
    let channel = link.channel().await?;
    answered(&channel, "basic.qos", channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
    let options = BasicConsumeOptions::default();
    let consumer = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    let consumer = answered(&channel, "basic.consume", consumer).await?;
    Ok((channel, consumer))
}
