//! Opens the configured ledger: the one place that knows that there are two kinds.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;

use crate::adapters::postgres::PostgresLedger;
use crate::adapters::sqlite::SqliteLedger;
use crate::app::config::LedgerUrl;
use crate::model::ids::{BatchId, JobId, ProviderName};
use crate::model::ledger::{Act, Batch, Controls, Cursor, HistoryFilter, NewBatch, SenderReport};
use crate::model::result::DismissResult;
use crate::ports::ledger::{Heard, Horizon, Ledger, LedgerError, Migrate, OpenError};

/// Between two tries to reach the database, at least and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// Opens it once.
pub async fn open_ledger(url: &LedgerUrl, migrate: Migrate) -> Result<Arc<dyn Ledger>, OpenError> {
    Ok(match url {
        LedgerUrl::Postgres(url) => Arc::new(PostgresLedger::open(url.expose(), migrate).await?),
        LedgerUrl::Sqlite(path) => Arc::new(SqliteLedger::open(path).await?),
    })
}

/// A ledger that may be away for now: whoever asks is told so, and it is opened behind their backs.
#[derive(Default)]
pub struct LateLedger(ArcSwapOption<Arc<dyn Ledger>>);

impl LateLedger {
    /// Tries until it is open. An error is one that does not pass by itself.
    pub async fn open(&self, url: &LedgerUrl) -> Result<(), OpenError> {
        let mut pause = RETRY.0;
        loop {
            match open_ledger(url, Migrate::Yes).await {
                Ok(ledger) => {
                    self.0.store(Some(Arc::new(ledger)));
                    return Ok(());
                }
                Err(OpenError::Away(reason)) => tracing::warn!(reason, "no ledger; trying again in {pause:?}"),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
        }
    }

    fn there(&self) -> Result<Arc<dyn Ledger>, LedgerError> {
        let ledger = self.0.load_full().ok_or_else(|| LedgerError::Away("it was not reached yet".into()))?;
        Ok((*ledger).clone())
    }
}

#[async_trait]
impl Ledger for LateLedger {
    async fn record(&self, results: &[DismissResult]) -> Result<(), LedgerError> {
        self.there()?.record(results).await
    }

    async fn settled(&self, jobs: &[JobId]) -> Result<Vec<DismissResult>, LedgerError> {
        self.there()?.settled(jobs).await
    }

    async fn register(&self, batch: &NewBatch) -> Result<(), LedgerError> {
        self.there()?.register(batch).await
    }

    async fn batches(&self, most: u32) -> Result<Vec<Batch>, LedgerError> {
        self.there()?.batches(most).await
    }

    async fn batch(&self, id: &BatchId) -> Result<Option<Batch>, LedgerError> {
        self.there()?.batch(id).await
    }

    async fn cancel(&self, id: &BatchId, act: &Act) -> Result<Heard, LedgerError> {
        self.there()?.cancel(id, act).await
    }

    async fn controls(&self) -> Result<Controls, LedgerError> {
        self.there()?.controls().await
    }

    async fn pause(&self, provider: &ProviderName, act: &Act) -> Result<(), LedgerError> {
        self.there()?.pause(provider, act).await
    }

    async fn resume(&self, provider: &ProviderName) -> Result<Option<Act>, LedgerError> {
        self.there()?.resume(provider).await
    }

    async fn report(&self, report: &SenderReport) -> Result<(), LedgerError> {
        self.there()?.report(report).await
    }

    async fn reports(&self) -> Result<Vec<SenderReport>, LedgerError> {
        self.there()?.reports().await
    }

    async fn history(
        &self,
        filter: &HistoryFilter,
        after: Option<&Cursor>,
        most: u32,
    ) -> Result<Vec<DismissResult>, LedgerError> {
        self.there()?.history(filter, after, most).await
    }

    async fn forget(&self, horizon: Horizon, most: u32) -> Result<u64, LedgerError> {
        self.there()?.forget(horizon, most).await
    }

    async fn close(&self) {
        if let Ok(ledger) = self.there() {
            ledger.close().await;
        }
    }
}
