//! A worker between a broker and clouds of its own: what the edge tests stand on.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use serde_json::{Value, json};

use crate::support::process::Process;
use crate::support::rabbit::{Delivered, Namespace, Published, URL};
use crate::support::sandbox::Sandbox;
use crate::support::{eventually, free_address, http};

/// For whatever should come soon, on a busy machine too.
pub const SOON: Duration = Duration::from_secs(40);

/// Tables of providers; `ENDPOINT` becomes the sandbox's.
pub const VOLCENGINE: &str = "
[providers.volcengine]
kind = 'volcengine'
endpoint = 'ENDPOINT'
access_key_id = 'sandbox-ak'
secret_access_key = 'sandbox-sk'
qps = 500
timeout = '2s'
";
pub const HUAWEI: &str = "
[providers.huawei]
kind = 'huawei'
endpoint = 'ENDPOINT'
access_key_id = 'sandbox-ak'
secret_access_key = 'sandbox-sk'
project_id = 'sandbox-project'
qps = 500
timeout = '2s'
";

/// The queue and the admin server of a configuration.
pub fn base(url: &str, namespace: &str, admin: SocketAddr) -> String {
    format!(
        "[queue]\nbackend = 'amqp'\nurl = '{url}'\nnamespace = '{namespace}'\n\
         [admin]\nlisten = '{admin}'\n[retry]\ninitial = '20ms'\nmax = '50ms'\nmax_attempts = 3\n"
    )
}

/// Everything at work; the worker goes before the queues that it works on.
pub struct Rig {
    pub worker: Process,
    pub admin: SocketAddr,
    pub sandbox: Sandbox,
    pub namespace: Namespace,
}

impl Rig {
    /// Starts a worker with these tables, and waits until it is ready.
    pub async fn start(providers: &str) -> Self {
        Self::within(Namespace::new(&["volcengine", "huawei", "elsewhere"]).await, providers).await
    }

    pub async fn within(namespace: Namespace, providers: &str) -> Self {
        let quotas =
            ["--qps-volcengine", "unlimited", "--qps-volcengine-ban", "unlimited", "--qps-huawei", "unlimited"];
        let sandbox = Sandbox::start(&quotas).await;
        let admin = free_address();
        let providers = providers.replace("ENDPOINT", &sandbox.endpoint());
        let configuration = base(URL, namespace.name(), admin) + &providers;
        let mut worker = Process::start(&["worker"], &configuration, &[]);
        worker.ready(admin).await;
        Self { worker, admin, sandbox, namespace }
    }

    /// Publishes to the intake queue.
    pub async fn submit(&self, body: &[u8], properties: BasicProperties) {
        self.publish("", "jobs", body, properties).await;
    }

    /// Publishes to the exchange by routing key.
    pub async fn route(&self, key: &str, body: &[u8], properties: BasicProperties) {
        let exchange = self.namespace.of("jobs");
        let published = self.namespace.publish(&exchange, key, body, properties).await;
        assert_eq!(published, Published::Confirmed, "{key}");
    }

    async fn publish(&self, exchange: &str, queue: &str, body: &[u8], properties: BasicProperties) {
        let queue = self.namespace.of(queue);
        let published = self.namespace.publish(exchange, &queue, body, properties).await;
        assert_eq!(published, Published::Confirmed, "{queue}");
    }

    /// Submits a plain job for each room.
    pub async fn rooms(&self, provider: &str, rooms: &[&str]) {
        for room in rooms {
            self.submit(&job(provider, room), BasicProperties::default()).await;
        }
    }

    /// The next results, exactly so many.
    pub async fn results(&self, many: usize) -> Vec<Delivered> {
        self.take("results", many).await
    }

    /// The next results by their rooms.
    pub async fn results_by_room(&self, many: usize) -> HashMap<String, Value> {
        let results = self.results(many).await.into_iter().map(|result| result.json());
        let by_room: HashMap<_, _> = results.map(|result| (text(&result, "room_id"), result)).collect();
        assert_eq!(by_room.len(), many, "a room has one result");
        by_room
    }

    /// The next dead letters, exactly so many.
    pub async fn dead(&self, many: usize) -> Vec<Delivered> {
        self.take("dead", many).await
    }

    async fn take(&self, queue: &str, many: usize) -> Vec<Delivered> {
        let taken = self.namespace.drain(&self.namespace.of(queue), many, SOON).await;
        assert_eq!(taken.len(), many, "{queue}");
        taken
    }

    /// A queue of the test's own, which goes with its connection; bound to `exchange` where a key is given.
    pub async fn own_queue(&self, exchange: &str, key: Option<&str>, arguments: FieldTable) -> String {
        let channel = self.namespace.channel().await;
        let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare(ShortString::default(), options, arguments).await.expect("declared");
        if let Some(key) = key {
            let (exchange, options) = (self.namespace.of(exchange), QueueBindOptions::default());
            let bound =
                channel.queue_bind(queue.name().clone(), exchange.into(), key.into(), options, FieldTable::default());
            bound.await.expect("bound");
        }
        queue.name().to_string()
    }

    /// All requests that the sandbox saw for a room, oldest first.
    pub async fn requests(&self, room: &str) -> Vec<Value> {
        let requests = self.sandbox.requests().await.into_iter();
        requests.filter(|request| request["room_id"] == room).collect()
    }

    /// Whether a line stands among the metrics.
    pub async fn shows(&self, line: &str) -> bool {
        let metrics = http::get(self.admin, "/metrics").await.expect("metrics").body;
        metrics.lines().any(|shown| shown == line)
    }

    /// Waits for a line among the metrics.
    pub async fn shown(&self, line: &str) {
        eventually(line, SOON, || async { self.shows(line).await.then_some(()) }).await;
    }

    /// Waits until a queue holds so many ready messages.
    pub async fn holds(&self, queue: &str, many: u32) {
        let queue = self.namespace.of(queue);
        let what = format!("{many} in {queue}");
        eventually(&what, SOON, || async { (self.namespace.depth(&queue).await == Some(many)).then_some(()) }).await;
    }

    /// Nothing is left of any job.
    pub async fn is_empty(&self) {
        for queue in ["jobs", "results", "dead", "wait.500", "wait.1000", "wait.2000"] {
            self.holds(queue, 0).await;
        }
        for provider in ["volcengine", "huawei"] {
            for lane in ["urgent", "urgent.retry", "bulk", "bulk.retry"] {
                let queue = format!("jobs.{provider}.{lane}");
                if self.namespace.depth(&self.namespace.of(&queue)).await.is_some() {
                    self.holds(&queue, 0).await;
                }
            }
        }
    }
}

/// A job with nothing but what it must have.
pub fn job(provider: &str, room: &str) -> Vec<u8> {
    json!({ "provider": provider, "app_id": "app", "room_id": room }).to_string().into_bytes()
}

#[track_caller]
pub fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no text {field} in {value}")).to_owned()
}
