//! Configuration → concrete parts: the only place that knows which adapter stands behind a seam.

use std::sync::Arc;

use anyhow::{Context, bail};

use super::config::{Config, ProviderConfig, Queue};
use crate::adapters::amqp::topology::{LedgerQueue, Outcomes, ResultsQueue, Wanted};
use crate::adapters::amqp::{self, AmqpBroker, OpenError};
use crate::adapters::http::HttpClient;
use crate::model::ids::ProviderName;
use crate::model::secret::Secret;
use crate::pipeline::account::{Account, Common, InHand, Service};
use crate::pipeline::gate::Gate;
use crate::pipeline::health::Health;
use crate::pipeline::limbo::Limbo;
use crate::pipeline::stamp::Stamps;
use crate::ports::broker::Broker;
use crate::ports::clock::Clock;
use crate::ports::meter::Meter;

/// What every part of the process shares.
pub fn common(config: &Config) -> Common {
    Common {
        clock: Clock::system(),
        meter: Meter::new(env!("CARGO_PKG_VERSION")),
        worker: worker_name().into(),
        providers: config.providers.iter().map(|provider| provider.name.clone()).collect(),
        #[expect(clippy::disallowed_methods, reason = "the one source of chance")]
        jitter: fastrand::f64,
    }
}

/// The accounts of all configured providers.
pub fn accounts(config: &Config, common: &Common) -> anyhow::Result<Vec<Arc<Account>>> {
    let mut accounts = Vec::new();
    for provider in &config.providers {
        accounts.push(Arc::new(account(provider, config, common)?));
    }
    Ok(accounts)
}

fn account(provider: &ProviderConfig, config: &Config, common: &Common) -> anyhow::Result<Account> {
    let transit = provider.pacing.transit(provider.max_transit);
    common.meter.register(&provider.name, provider.qps);
    Ok(Account {
        name: provider.name.clone(),
        provider: provider.settings.clone().open(),
        transport: Arc::new(HttpClient::new(provider.max_transit)?),
        timeout: provider.timeout,
        max_in_flight: provider.max_in_flight,
        service: if provider.retired { Service::Retired } else { Service::Active },
        retry: config.retry.clone(),
        gate: Arc::new(Gate::new(provider.qps, transit, common.clock.clone())),
        stamps: Stamps::default(),
        limbo: Limbo::default(),
        health: Health::new(provider.name.clone(), common.clone()),
        in_hand: InHand::default(),
        common: common.clone(),
    })
}

/// Opens the configured queue, again and again over the life of a worker.
pub struct Opener {
    settings: amqp::Settings,
    wanted: Wanted,
}

impl Opener {
    /// For a worker, or a check of what a worker will find.
    pub fn of_worker(config: &Config) -> anyhow::Result<Self> {
        let results = match config.results.queue {
            true => ResultsQueue::Kept { max_bytes: config.results.max_bytes },
            false => ResultsQueue::ExchangeOnly,
        };
        let ledger = if config.ledger.is_some() { LedgerQueue::Present } else { LedgerQueue::Absent };
        let providers = config.providers.iter().map(|provider| provider.name.clone()).collect();
        Self::new(&config.queue, Wanted { providers, outcomes: Some(Outcomes { results, ledger }) })
    }

    /// For a command that only puts jobs in.
    pub fn of_producer(queue: &Queue, providers: Vec<ProviderName>) -> anyhow::Result<Self> {
        Self::new(queue, Wanted { providers, outcomes: None })
    }

    fn new(queue: &Queue, wanted: Wanted) -> anyhow::Result<Self> {
        let Queue::Amqp { url, ca_file, namespace } = queue else {
            bail!("queue.backend: \"sqlite\" is not there yet; set it to \"amqp\" and queue.url to a RabbitMQ");
        };
        let ca = ca_file
            .as_ref()
            .map(|path| std::fs::read_to_string(path).with_context(|| format!("queue.ca_file: {}", path.display())))
            .transpose()?;
        let settings = amqp::Settings {
            url: Secret::new(url.expose()),
            ca,
            namespace: namespace.clone(),
            client_name: format!("roomsweep {}", worker_name()),
        };
        Ok(Self { settings, wanted })
    }

    pub async fn open_amqp(&self) -> Result<AmqpBroker, OpenError> {
        AmqpBroker::open(&self.settings, &self.wanted).await
    }

    pub async fn open(&self) -> Result<Arc<dyn Broker>, OpenError> {
        Ok(Arc::new(self.open_amqp().await?))
    }
}

/// Host and process: tells replicas apart in results and in the broker's list of connections.
fn worker_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    format!("{}-{}", if host.is_empty() { "roomsweep" } else { host }, std::process::id())
}
