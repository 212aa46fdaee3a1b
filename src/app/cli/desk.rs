//! The ledger, for the commands that ask it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::out::tell;
use super::{Context, USAGE};
use crate::app::config::{self, LedgerConfig, LedgerUrl};
use crate::app::wire;
use crate::ports::clock::Clock;
use crate::ports::ledger::{Ledger, Migrate, OpenError};

/// What such a command works with.
pub struct Desk {
    pub ledger: Arc<dyn Ledger>,
    pub clock: Clock,
}

/// A database that says nothing for so long is away.
const PATIENCE: Duration = Duration::from_secs(15);

/// The configuration, as far as it matters here; says what is wrong with it.
pub fn load(context: &Context) -> Result<LedgerConfig, ExitCode> {
    config::load_ledger(context.file.as_deref(), &context.env).map_err(|faults| super::refuse(&faults))
}

impl Desk {
    /// Opens the configured ledger; says why if there is none, and with which exit code to end.
    pub async fn open(context: &Context) -> Result<Self, ExitCode> {
        Self::with(load(context)?).await
    }

    pub async fn with(config: LedgerConfig) -> Result<Self, ExitCode> {
        let Some(url) = config.url else {
            tell!("roomsweep: {NONE}");
            return Err(ExitCode::from(USAGE));
        };
        let ledger = open(&url, Migrate::No).await.map_err(|error| {
            tell!("roomsweep: {url}: {error}");
            exit_code(&error)
        })?;
        Ok(Self { ledger, clock: Clock::system() })
    }
}

const NONE: &str = "this needs the ledger, and none is configured: add a table [ledger] with a url to the configuration of \
                    workers and commands, like \"postgres://user:password@host/database\" or \"sqlite://roomsweep.db\"";

/// Opens a ledger within a bounded time; bringing a schema up to date takes as long as it takes.
pub async fn open(url: &LedgerUrl, migrate: Migrate) -> Result<Arc<dyn Ledger>, OpenError> {
    let opening = wire::open_ledger(url, migrate);
    let late = |_| Err(OpenError::Away(format!("no answer within {} s", PATIENCE.as_secs())));
    match migrate {
        Migrate::Yes => opening.await,
        Migrate::No => tokio::time::timeout(PATIENCE, opening).await.unwrap_or_else(late),
    }
}

/// 1 where it may pass by itself, 2 where somebody has to do something first.
fn exit_code(error: &OpenError) -> ExitCode {
    match error {
        OpenError::Away(_) => ExitCode::FAILURE,
        OpenError::Older { .. } | OpenError::Newer { .. } | OpenError::Unusable(_) => ExitCode::from(USAGE),
    }
}
