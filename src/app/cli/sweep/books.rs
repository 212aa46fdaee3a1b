//! The ledger in a sweep's file: what operators ask for is obeyed while it is at work, and what is old is forgotten.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::app::config::{self, Config, LedgerUrl};
use crate::app::wire;
use crate::pipeline::account::{Account, Common};
use crate::pipeline::books::{self, Books, Repeats};
use crate::pipeline::retention;
use crate::ports::ledger::{Ledger, Migrate};

/// A short sweep forgets at its end what a long one forgets meanwhile, and nobody waits for it longer.
const FORGETTING: Duration = Duration::from_secs(3);

pub struct SweepBooks {
    ledger: Arc<dyn Ledger>,
    keep: Duration,
}

impl SweepBooks {
    /// Of the queue's file.
    pub async fn open(path: &Path, config: &Config) -> anyhow::Result<Self> {
        let ledger = wire::open_ledger(&LedgerUrl::Sqlite(path.to_owned()), Migrate::Yes).await;
        let ledger = ledger.with_context(|| format!("the ledger in {}", path.display()))?;
        Ok(Self { ledger, keep: config.ledger.as_ref().map_or(config::KEEP, |settings| settings.keep) })
    }

    pub fn of(&self, common: Common) -> Common {
        Common { books: Books::of(self.ledger.clone(), Repeats::Sent), ..common }
    }

    /// Listens and tells for as long as it is polled.
    pub async fn tend(&self, common: &Common, accounts: &[Arc<Account>]) -> Infallible {
        books::tend(common, accounts, self.keep).await
    }

    pub async fn forget(&self, common: &Common) {
        let round = retention::round(&*self.ledger, common, self.keep);
        let _rest_is_left_for_the_next_time = tokio::time::timeout(FORGETTING, round).await;
    }

    pub async fn close(&self) {
        self.ledger.close().await;
    }
}
