//! The real RabbitMQ, in a namespace of one test's own.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{FieldTable, ShortString};
use lapin::{Acker, BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout, timeout_at};

/// The broker that `tests/run` starts where none answers.
pub const URL: &str = "amqp://guest:guest@127.0.0.1:5672/%2f";

const LANES: [&str; 2] = ["urgent", "bulk"];
const RUNGS: u32 = 12;
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);

/// A message that was taken out of a queue, and acked.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivered {
    pub exchange: String,
    pub routing_key: String,
    pub body: Vec<u8>,
    pub properties: BasicProperties,
}

impl Delivered {
    /// The body as JSON; panics with the body where it is none.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }
}

/// What became of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    Confirmed,
    /// Confirmed, but no queue took it.
    Returned,
    Refused,
}

/// A namespace that no other test uses, with a connection; all its queues and exchanges are deleted when dropped.
pub struct Namespace {
    name: String,
    providers: Vec<String>,
    url: String,
    /// Made anew for the next use where it was lost: the broker may have been restarted.
    link: Mutex<Link>,
}

struct Link {
    connection: Connection,
    publisher: Channel,
}

impl Link {
    async fn open(url: &str) -> lapin::Result<Self> {
        let connection = connect(url).await?;
        let publisher = connection.create_channel().await?;
        publisher.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { connection, publisher })
    }
}

impl Namespace {
    /// On the broker that all tests share. Panics where none is, for such tests are never skipped.
    pub async fn new(providers: &[&str]) -> Self {
        Self::on(URL, providers).await
    }

    /// On the broker at `url`.
    pub async fn on(url: &str, providers: &[&str]) -> Self {
        let name = format!("test-{}", uuid::Uuid::now_v7().simple());
        let link = Link::open(url).await.unwrap_or_else(|error| {
            panic!("these tests need a RabbitMQ at {url} that lets guest/guest in ({error}); tests/run starts one")
        });
        let providers = providers.iter().map(|name| (*name).to_owned()).collect();
        Self { name, providers, url: url.to_owned(), link: Mutex::new(link) }
    }

    async fn link(&self) -> MutexGuard<'_, Link> {
        let mut link = self.link.lock().await;
        if !link.connection.status().connected() {
            *link = Link::open(&self.url).await.expect("a broker that is back");
        }
        link
    }

    /// For `queue.namespace`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of one of its objects: `of("jobs")` is the intake, `of("results")` the results.
    pub fn of(&self, object: &str) -> String {
        format!("{}.{object}", self.name)
    }

    /// The names of all queues that it may have.
    pub fn queues(&self) -> Vec<String> {
        queues(&self.name, &self.providers)
    }

    /// A channel of its own, for what the helpers do not do.
    pub async fn channel(&self) -> Channel {
        self.link().await.connection.create_channel().await.expect("a channel")
    }

    /// Publishes persistently and mandatorily, and waits for the confirm. `""` is the default exchange.
    pub async fn publish(&self, exchange: &str, key: &str, body: &[u8], properties: BasicProperties) -> Published {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = properties.with_delivery_mode(2);
        let link = self.link().await;
        let sent = link.publisher.basic_publish(exchange.into(), key.into(), options, body, properties).await;
        drop(link);
        match sent.expect("a connection").await.expect("a confirm") {
            Confirmation::Ack(None) => Published::Confirmed,
            Confirmation::Ack(Some(_)) => Published::Returned,
            Confirmation::Nack(_) | Confirmation::NotRequested => Published::Refused,
        }
    }

    /// Takes up to `most` messages out of a queue and acks them; fewer come back if no more arrive `within` the time.
    pub async fn drain(&self, queue: &str, most: usize, within: Duration) -> Vec<Delivered> {
        let end = Instant::now() + within;
        let channel = self.channel().await;
        let prefetch = u16::try_from(most).unwrap_or(u16::MAX).clamp(1, 1_000);
        channel.basic_qos(prefetch, BasicQosOptions::default()).await.expect("a prefetch");
        let (queue, tag) = (ShortString::from(queue), ShortString::from("drain"));
        let consumer = channel.basic_consume(queue, tag, BasicConsumeOptions::default(), FieldTable::default()).await;
        let mut consumer = consumer.expect("a queue to drain");
        let mut drained = Vec::new();
        let mut unacked = None;
        while drained.len() < most {
            let Ok(Some(delivery)) = timeout_at(end, consumer.next()).await else { break };
            let delivery = delivery.expect("a delivery");
            // Few acks for many: a quorum queue forgets those that come faster than it stores them if the channel closes.
            unacked = Some(delivery.acker);
            if (drained.len() + 1) % (usize::from(prefetch)) == 0 {
                ack_all(unacked.take()).await;
            }
            drained.push(Delivered {
                exchange: delivery.exchange.to_string(),
                routing_key: delivery.routing_key.to_string(),
                body: delivery.data,
                properties: delivery.properties,
            });
        }
        ack_all(unacked).await;
        channel.close(200, "drained".into()).await.expect("acks are written before the close");
        drained
    }

    /// How many messages are ready in a queue; None if there is no such queue.
    pub async fn depth(&self, queue: &str) -> Option<u32> {
        let channel = self.channel().await;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        match channel.queue_declare(queue.into(), options, FieldTable::default()).await {
            Ok(queue) => {
                channel.close(200, "asked".into()).await.expect("a channel");
                Some(queue.message_count())
            }
            Err(error) if is_not_found(&error) => None,
            Err(error) => panic!("{queue}: {error}"),
        }
    }

    /// Deletes all that the namespace may hold; whoever still works in it should have been stopped.
    pub async fn delete_all(&self) {
        sweep(&self.link().await.connection, &queues(&self.name, &self.providers), &exchanges(&self.name)).await;
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let (queues, exchanges) = (queues(&self.name, &self.providers), exchanges(&self.name));
        let url = self.url.clone();
        // A thread of its own: a test's runtime cannot wait within a drop.
        let swept = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                if let Ok(connection) = connect(&url).await {
                    sweep(&connection, &queues, &exchanges).await;
                    let _ = connection.close(200, "swept".into()).await;
                }
            });
            std::io::Result::Ok(())
        });
        if !matches!(swept.join(), Ok(Ok(()))) {
            eprintln!("the namespace {} could not be deleted", self.name);
        }
    }
}

/// Acks a delivery and all before it.
async fn ack_all(last: Option<Acker>) {
    if let Some(last) = last {
        last.ack(BasicAckOptions { multiple: true }).await.expect("an ack");
    }
}

/// Connects as the tests themselves do; a broker that is frozen is not waited for.
pub async fn connect(url: &str) -> lapin::Result<Connection> {
    let url = format!("{url}?heartbeat=10&connection_timeout=5000");
    let connecting = Connection::connect(&url, ConnectionProperties::default());
    timeout(CONNECTED_WITHIN, connecting).await.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
}

/// Deleting what is not there is no error, nor is a queue that another connection holds exclusively: it goes with it.
async fn sweep(connection: &Connection, queues: &[String], exchanges: &[String]) {
    let mut channel = connection.create_channel().await.expect("a channel");
    for queue in queues {
        if channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.is_err() {
            channel = connection.create_channel().await.expect("a channel");
        }
    }
    for exchange in exchanges {
        if channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await.is_err() {
            channel = connection.create_channel().await.expect("a channel");
        }
    }
}

fn is_not_found(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else { return false };
    matches!(error.kind(), AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
}

fn rungs(namespace: &str) -> impl Iterator<Item = String> {
    (0..RUNGS).map(move |rung| format!("{namespace}.wait.{}", 500u64 << rung))
}

fn queues(namespace: &str, providers: &[String]) -> Vec<String> {
    let fixed = ["jobs", "ended", "results", "ledger", "dead", "proof"].map(|object| format!("{namespace}.{object}"));
    let lanes = providers.iter().flat_map(|provider| {
        let lane = move |lane| {
            let queue = format!("{namespace}.jobs.{provider}.{lane}");
            [format!("{queue}.retry"), queue]
        };
        LANES.into_iter().flat_map(lane).chain([format!("{namespace}.lead.{provider}")])
    });
    fixed.into_iter().chain(rungs(namespace)).chain(lanes).collect()
}

fn exchanges(namespace: &str) -> Vec<String> {
    let fixed = ["jobs", "ended", "intake", "results", "dead"].map(|object| format!("{namespace}.{object}"));
    fixed.into_iter().chain(rungs(namespace)).collect()
}

/// Text headers by name; others are left out.
pub fn text_headers(properties: &BasicProperties) -> HashMap<String, String> {
    let table = properties.headers().iter().flat_map(|table| table.inner());
    let text = |value: &lapin::types::AMQPValue| value.as_long_string().map(|text| text.to_string());
    table.filter_map(|(name, value)| Some((name.to_string(), text(value)?))).collect()
}

#[cfg(test)]
mod tests {
    use lapin::types::AMQPValue;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    async fn declare(namespace: &Namespace, object: &str) -> String {
        let queue = namespace.of(object);
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let channel = namespace.channel().await;
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.as_str().into(), options, arguments).await.expect("declared");
        queue
    }

    #[tokio::test]
    async fn what_is_published_is_counted_and_drained_in_order() {
        let namespace = Namespace::new(&["volcengine"]).await;
        let queue = declare(&namespace, "jobs").await;
        for n in 0..5 {
            let mut headers = FieldTable::default();
            headers.insert("outcome".into(), AMQPValue::LongString(format!("o{n}").into()));
            let properties = BasicProperties::default().with_message_id(format!("m{n}").into()).with_headers(headers);
            let published = namespace.publish("", &queue, format!("{{\"n\":{n}}}").as_bytes(), properties).await;
            assert_eq!(published, Published::Confirmed);
        }
        assert_eq!(namespace.depth(&queue).await, Some(5));
        let first = namespace.drain(&queue, 3, SOON).await;
        assert_eq!(first.iter().map(|message| message.json()["n"].as_i64().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(first[1].properties.message_id().as_ref().map(ShortString::as_str), Some("m1"));
        assert_eq!(text_headers(&first[2].properties), HashMap::from([("outcome".to_owned(), "o2".to_owned())]));
        assert_eq!((first[0].exchange.as_str(), first[0].routing_key.as_str()), ("", queue.as_str()));
        assert_eq!(namespace.drain(&queue, 9, Duration::from_millis(300)).await.len(), 2, "the deadline ends a drain");
    }

    #[tokio::test]
    async fn what_no_queue_takes_is_returned() {
        let namespace = Namespace::new(&[]).await;
        let nowhere = namespace.of("jobs");
        assert_eq!(nowhere, format!("{}.jobs", namespace.name()));
        assert_eq!(namespace.publish("", &nowhere, b"x", BasicProperties::default()).await, Published::Returned);
        assert_eq!(namespace.depth(&nowhere).await, None);
    }

    #[tokio::test]
    async fn a_namespace_leaves_nothing_behind() {
        let witness = Namespace::new(&[]).await;
        let namespace = Namespace::new(&["volcengine"]).await;
        let mut left = Vec::new();
        for object in ["jobs", "jobs.volcengine.urgent", "jobs.volcengine.bulk.retry", "wait.1024000", "dead"] {
            left.push(declare(&namespace, object).await);
        }
        namespace.delete_all().await;
        assert_eq!(witness.depth(&left[0]).await, None);
        left.push(declare(&namespace, "results").await);
        drop(namespace);
        for queue in left {
            assert_eq!(witness.depth(&queue).await, None, "{queue}");
        }
    }

    #[test]
    fn the_ladder_has_the_rungs_of_the_contract() {
        let rungs: Vec<String> = rungs("dismiss").collect();
        assert_eq!((rungs[0].as_str(), rungs[11].as_str()), ("dismiss.wait.500", "dismiss.wait.1024000"));
        assert!(queues("dismiss", &["huawei".to_owned()]).contains(&"dismiss.jobs.huawei.bulk.retry".to_owned()));
        assert!(queues("dismiss", &["huawei".to_owned()]).contains(&"dismiss.lead.huawei".to_owned()));
        assert!(exchanges("dismiss").contains(&"dismiss.intake".to_owned()));
    }
}
