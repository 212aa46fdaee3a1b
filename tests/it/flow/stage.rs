//! What the flow tests stand on: workers at work, and jobs on their way to them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};

use lapin::{BasicProperties, Confirmation, PublisherConfirm};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::evidence::Metrics;
use crate::support::process::{Environment, Process};
use crate::support::rabbit::{Namespace, URL};
use crate::support::{free_address, http};

/// Publishes that may wait for their confirms at a time.
const WINDOW: usize = 500;

/// Now, by the clock that the sandbox stamps its requests with.
pub fn wall() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "latency between processes is measured by the machine's clock")]
    Timestamp::now()
}

// --- workers ---------------------------------------------------------------------------------------------------------

/// A request is on its way, by the sandbox's clock, until the sandbox is given the time to read it: long, on a busy machine.
pub const TRANSIT: &str = "max_transit = '2s'";

/// `[providers.volcengine]` at a sandbox, with `more` lines.
pub fn volcengine(endpoint: &str, more: &str) -> String {
    format!(
        "[providers.volcengine]\nkind = 'volcengine'\nendpoint = '{endpoint}'\nqps = 60\n\
         access_key_id = 'sandbox-ak'\nsecret_access_key = 'sandbox-sk'\n{TRANSIT}\n{more}\n"
    )
}

/// `[providers.huawei]` at a sandbox, with `more` lines.
pub fn huawei(endpoint: &str, more: &str) -> String {
    format!(
        "[providers.huawei]\nkind = 'huawei'\nendpoint = '{endpoint}'\nqps = 20\n\
         access_key_id = 'sandbox-ak'\nsecret_access_key = 'sandbox-sk'\nproject_id = 'sandbox-project'\n{TRANSIT}\n{more}\n"
    )
}

/// A namespace for both providers.
pub async fn namespace() -> Namespace {
    Namespace::new(&["volcengine", "huawei"]).await
}

/// A running `roomsweep worker`; killed when dropped.
pub struct Worker {
    pub process: Process,
    pub admin: SocketAddr,
}

impl Worker {
    /// Starts one with these provider tables, and waits until it is ready.
    pub async fn start(namespace: &Namespace, tables: &str) -> Self {
        Self::start_by(URL, namespace, tables).await
    }

    /// The same, reaching the broker by this URL.
    pub async fn start_by(url: &str, namespace: &Namespace, tables: &str) -> Self {
        let mut worker = Self::launch(url, namespace, tables, &[]);
        worker.process.ready(worker.admin).await;
        worker
    }

    /// The same with these variables, and without waiting.
    pub fn launch(url: &str, namespace: &Namespace, tables: &str, environment: Environment<'_>) -> Self {
        let admin = free_address();
        let configuration = Self::configuration(url, namespace, admin, tables);
        Self { process: Process::start(&["worker"], &configuration, environment), admin }
    }

    /// What it is told.
    pub fn configuration(url: &str, namespace: &Namespace, admin: SocketAddr, tables: &str) -> String {
        let namespace = namespace.name();
        format!(
            "[queue]\nbackend = 'amqp'\nurl = '{url}'\nnamespace = '{namespace}'\n[admin]\nlisten = '{admin}'\n{tables}"
        )
    }

    /// Asks it to end, and waits until it has drained.
    pub async fn stop(mut self) {
        self.process.signal(Signal::TERM);
        let status = self.process.ended(Duration::from_secs(30)).await;
        assert_eq!(status.code(), Some(0), "a drained worker ends well");
    }

    pub async fn metrics(&self) -> Metrics {
        Metrics::new(http::get(self.admin, "/metrics").await.expect("metrics").body)
    }
}

// --- jobs ------------------------------------------------------------------------------------------------------------

/// A job to publish; its room is its ID.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Job {
    pub provider: &'static str,
    pub lane: &'static str,
    pub id: String,
    pub not_before: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
}

impl Job {
    pub fn new(provider: &'static str, lane: &'static str, id: String) -> Self {
        Self { provider, lane, id, not_before: None, expires_at: None }
    }

    pub fn body(&self) -> Vec<u8> {
        let mut job = json!({
            "provider": self.provider, "lane": self.lane, "app_id": "app-1", "room_id": self.id, "job_id": self.id,
        });
        let times = [("not_before", self.not_before), ("expires_at", self.expires_at)];
        for (name, time) in times.into_iter().filter_map(|(name, time)| Some((name, time?))) {
            job[name] = Value::from(time.to_string());
        }
        job.to_string().into_bytes()
    }
}

/// `count` bulk jobs named `name-0`, `name-1` …
pub fn bulk(provider: &'static str, name: &str, count: usize) -> Vec<Job> {
    (0..count).map(|n| Job::new(provider, "bulk", format!("{name}-{n}"))).collect()
}

/// The two ways in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Intake,
    RoutingKey,
}

impl Door {
    /// Every other job takes the other door.
    pub fn of(index: usize) -> Self {
        if index.is_multiple_of(2) { Door::Intake } else { Door::RoutingKey }
    }

    /// Exchange and routing key.
    pub fn address(self, namespace: &Namespace, job: &Job) -> (String, String) {
        match self {
            Door::Intake => (String::new(), namespace.of("jobs")),
            Door::RoutingKey => (namespace.of("jobs"), format!("{}.{}", job.provider, job.lane)),
        }
    }
}

/// Publishes all, half through each door, and waits for every confirm.
pub async fn publish(namespace: &Namespace, jobs: &[Job]) {
    publish_by(namespace, jobs, Door::of).await;
}

/// Publishes all, each through the door of its index.
pub async fn publish_by(namespace: &Namespace, jobs: &[Job], door: impl Fn(usize) -> Door) {
    let channel = namespace.channel().await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let mut unconfirmed = VecDeque::new();
    for (index, job) in jobs.iter().enumerate() {
        let (exchange, key) = door(index).address(namespace, job);
        let properties = BasicProperties::default().with_delivery_mode(2);
        let sent = channel.basic_publish(exchange.into(), key.into(), options, &job.body(), properties).await;
        unconfirmed.push_back(sent.expect("a connection"));
        if unconfirmed.len() > WINDOW {
            confirmed(unconfirmed.pop_front()).await;
        }
    }
    while !unconfirmed.is_empty() {
        confirmed(unconfirmed.pop_front()).await;
    }
    channel.close(200, "published".into()).await.expect("a channel");
}

async fn confirmed(sent: Option<PublisherConfirm>) {
    let confirmation = sent.expect("a publish").await.expect("a confirm");
    assert!(matches!(confirmation, Confirmation::Ack(None)), "{confirmation:?}");
}
