//! Configuration → concrete parts: the only place that knows which adapter stands behind a seam.

mod entrance;
mod opener;

use std::sync::Arc;

pub use entrance::{Door, Entrance};
pub use opener::{OpenError, Opened, Opener, Remedy};

use super::config::{Config, ProviderConfig};
use crate::adapters::http::HttpClient;
use crate::pipeline::account::{Account, Common, InHand, Service};
use crate::pipeline::gate::Gate;
use crate::pipeline::health::Health;
use crate::pipeline::limbo::Limbo;
use crate::pipeline::stamp::Stamps;
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
        limbo: Arc::new(Limbo::default()),
        health: Health::new(provider.name.clone(), common.clone()),
        in_hand: InHand::default(),
        common: common.clone(),
    })
}

/// Host and process: tells replicas apart in results and in the broker's list of connections.
fn worker_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    format!("{}-{}", if host.is_empty() { "roomsweep" } else { host }, std::process::id())
}
