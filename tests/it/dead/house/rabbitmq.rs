//! RabbitMQ's dead queue.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use roomsweep::adapters::amqp::topology::{LedgerQueue, Outcomes, ResultsQueue, Wanted};
use roomsweep::adapters::amqp::{AmqpBroker, Doubts, OnAlarm, Settings};
use roomsweep::model::ids::ProviderName;
use roomsweep::model::secret::Secret;
use roomsweep::ports::broker::Broker;
use roomsweep::ports::dead::DeadLetters;
use serde_json::Value;
use tempfile::TempDir;

use super::{Grave, House};
use crate::edges_rig::{SOON, job};
use crate::support::eventually;
use crate::support::rabbit::{Namespace, URL};

const PROVIDERS: [&str; 2] = ["volcengine", "huawei"];
const UNDER_WAY: usize = 500;

pub struct RabbitMq {
    pub namespace: Namespace,
    directory: TempDir,
}

impl RabbitMq {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self { namespace: Namespace::new(&[PROVIDERS[0], PROVIDERS[1], "nobody"]).await, directory }
    }

    async fn broker(&self) -> Arc<AmqpBroker> {
        let namespace = self.namespace.name().to_owned();
        let (url, client_name) = (Secret::new(URL), "dead".to_owned());
        let (on_alarm, doubts) = (OnAlarm::GiveUp, Doubts::default());
        let settings = Settings { url, ca: None, namespace, client_name, on_alarm, doubts };
        let providers = PROVIDERS.iter().map(|name| ProviderName::parse(*name).unwrap()).collect();
        let outcomes = Outcomes { results: ResultsQueue::Kept { max_bytes: None }, ledger: LedgerQueue::Absent };
        let broker = AmqpBroker::open(&settings, &Wanted { providers, outcomes: Some(outcomes) }).await;
        Arc::new(broker.expect("a broker"))
    }

    async fn take(&self, queue: &str) -> Vec<String> {
        let queue = self.namespace.of(queue);
        let many = self.namespace.depth(&queue).await.unwrap_or(0) as usize;
        let taken = if many == 0 { Vec::new() } else { self.namespace.drain(&queue, many, SOON).await };
        assert_eq!(taken.len(), many, "{queue}");
        let id = |properties: &BasicProperties| properties.message_id().as_ref().map(ToString::to_string);
        taken.iter().map(|message| id(&message.properties).expect("an ID")).collect()
    }
}

#[async_trait]
impl House for RabbitMq {
    async fn open(&self) -> Arc<dyn Broker> {
        self.broker().await
    }

    async fn dead(&self) -> Arc<dyn DeadLetters> {
        self.broker().await
    }

    async fn put(&self, _broker: &Arc<dyn Broker>, room: &str) {
        let properties = BasicProperties::default()
            .with_message_id(room.into())
            .with_correlation_id("c".into())
            .with_expiration("86400000".into());
        self.namespace
            .publish(&self.namespace.of("jobs"), "volcengine.bulk", &job("volcengine", room), properties)
            .await;
    }

    async fn bury(&self, graves: &[Grave]) {
        self.broker().await.close().await;
        let channel = self.namespace.channel().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        let exchange = self.namespace.of("dead");
        let sent = futures_util::stream::iter(graves.to_vec()).map(|grave| {
            let mut headers = FieldTable::default();
            let (settled_at, last_run) = (grave.settled_at.to_string(), grave.last_run().to_string());
            for (name, text) in [
                ("x-outcome", grave.outcome),
                ("x-error", grave.error),
                ("x-job-id", &grave.id),
                ("x-settled-at", &settled_at),
                ("x-last-run", &last_run),
                ("tenant", "blue"),
            ] {
                headers.insert(name.into(), AMQPValue::LongString(text.into()));
            }
            let properties = BasicProperties::default().with_message_id(grave.id.as_str().into()).with_delivery_mode(2);
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let key = format!("{}.{}", grave.provider, grave.outcome);
            let (channel, exchange) = (channel.clone(), exchange.clone());
            async move {
                let properties = properties.with_headers(headers);
                let sent =
                    channel.basic_publish(exchange.as_str().into(), key.into(), options, &grave.body, properties).await;
                assert!(sent.expect("a connection").await.expect("a confirm").is_ack());
            }
        });
        sent.buffered(UNDER_WAY).collect::<Vec<()>>().await;
    }

    async fn take_all(&self) -> (Vec<String>, Vec<String>) {
        let mut jobs = self.take("jobs.volcengine.bulk").await;
        jobs.extend(self.take("jobs.huawei.bulk").await);
        (jobs, self.take("dead").await)
    }

    async fn redriven(&self) -> usize {
        self.namespace.depth(&self.namespace.of("jobs.volcengine.bulk")).await.unwrap_or(0) as usize
    }

    async fn half_way(&self) {
        let before = self.redriven().await;
        eventually("some are redriven", SOON, || async { (self.redriven().await > before + 300).then_some(()) }).await;
    }

    async fn results(&self, many: usize) -> Vec<Value> {
        let results = self.namespace.drain(&self.namespace.of("results"), many, SOON).await;
        assert_eq!(results.len(), many, "results");
        results.iter().map(|result| result.json()).collect()
    }

    fn queue(&self) -> String {
        format!("[queue]\nbackend = 'amqp'\nurl = '{URL}'\nnamespace = '{}'\n", self.namespace.name())
    }

    fn directory(&self) -> &TempDir {
        &self.directory
    }
}
