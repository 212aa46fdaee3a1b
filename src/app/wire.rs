//! Configuration → concrete parts: the only place that knows which adapter stands behind a seam.

mod entrance;
mod ledger;
mod opener;

use std::sync::Arc;

pub use entrance::{Door, Entrance};
pub use ledger::{LateLedger, open_ledger};
pub use opener::{Access, FrontDoor, OpenError, Opened, Opener, Remedy};

use super::config::{Config, ProviderConfig};
use crate::adapters::http::HttpClient;
use crate::pipeline::account::{Account, Common, Service, Terms};
use crate::pipeline::books::{Books, Repeats};
use crate::pipeline::gate::Gate;
use crate::pipeline::stamp::Stamps;
use crate::policy::decide::RetryPolicy;
use crate::ports::clock::Clock;
use crate::ports::meter::Meter;
use crate::ports::transport::Transport;
use crate::provider::Provider;

/// What every part of the process shares.
pub fn common(config: &Config) -> Common {
    Common {
        clock: Clock::system(),
        meter: Meter::new(env!("CARGO_PKG_VERSION")),
        worker: worker_name().into(),
        providers: config.providers.iter().map(|provider| provider.name.clone()).collect(),
        #[expect(clippy::disallowed_methods, reason = "the one source of chance")]
        jitter: fastrand::f64,
        books: Books::default(),
        limbo: Arc::default(),
    }
}

/// What the pipeline is to have of the ledger.
pub fn books(config: &Config, ledger: Option<Arc<LateLedger>>) -> Books {
    match (&config.ledger, ledger) {
        (Some(settings), Some(ledger)) => {
            Books::of(ledger, if settings.dedupe { Repeats::Answered } else { Repeats::Sent })
        }
        (Some(_) | None, _) => Books::default(),
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
    let gate = Gate::new(provider.qps, transit, common.clock.clone());
    Ok(Account::new(provider.name.clone(), terms(provider, &config.retry)?, gate, common.clone()))
}

fn terms(provider: &ProviderConfig, retry: &RetryPolicy) -> anyhow::Result<Terms> {
    let dialect = provider.settings.clone().open();
    let transport = Arc::new(HttpClient::new(provider.max_transit)?);
    Ok(assemble(provider, retry, dialect, Arc::default(), transport))
}

/// The terms that come after those of `account`. What did not change is kept: the token, the connections to the provider.
pub fn next_terms(
    account: &Account,
    before: &ProviderConfig,
    after: &ProviderConfig,
    retry: &RetryPolicy,
) -> anyhow::Result<Terms> {
    let kept = account.terms();
    let (dialect, stamps) = if before.settings == after.settings {
        (kept.provider.clone(), kept.stamps.clone())
    } else {
        (after.settings.clone().open(), Arc::default())
    };
    let transport: Arc<dyn Transport> = if before.max_transit == after.max_transit {
        kept.transport.clone()
    } else {
        Arc::new(HttpClient::new(after.max_transit)?)
    };
    Ok(assemble(after, retry, dialect, stamps, transport))
}

fn assemble(
    provider: &ProviderConfig,
    retry: &RetryPolicy,
    dialect: Arc<dyn Provider>,
    stamps: Arc<Stamps>,
    transport: Arc<dyn Transport>,
) -> Terms {
    Terms {
        provider: dialect,
        transport,
        stamps,
        timeout: provider.timeout,
        max_in_flight: provider.max_in_flight,
        service: if provider.retired { Service::Retired } else { Service::Active },
        retry: retry.clone(),
    }
}

/// Has an account go on under other terms.
pub fn reconfigure(account: &Account, after: &ProviderConfig, terms: Terms) {
    account.gate.reconfigure(after.qps, after.pacing.transit(after.max_transit));
    account.reconfigure(terms);
    account.common.meter.register(&account.name, after.qps);
    account.common.meter.effective_qps(&account.name, account.gate.effective_qps());
}

/// Host and process: tells replicas apart in results and in the broker's list of connections.
fn worker_name() -> String {
    let host = host_name();
    format!("{}-{}", if host.is_empty() { "roomsweep" } else { &host }, std::process::id())
}

/// Empty where it cannot be told.
pub fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}
