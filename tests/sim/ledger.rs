//! What stands between a worker and the ledger: answers take their time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use roomsweep::adapters::memory_ledger::MemoryLedger;
use roomsweep::model::ids::{BatchId, JobId, ProviderName};
use roomsweep::model::ledger::{Act, Batch, Controls, Cursor, HistoryFilter, NewBatch, SenderReport};
use roomsweep::model::result::DismissResult;
use roomsweep::ports::ledger::{Heard, Horizon, Ledger, LedgerError};

/// A ledger that answers after a while, and refuses what bears a certain job ID.
pub struct SlowLedger {
    pub inner: MemoryLedger,
    pub takes: Duration,
    /// Questions by [`Ledger::settled`], and how many jobs each asked about.
    pub questions: Arc<std::sync::Mutex<Vec<usize>>>,
}

/// Results of this job are refused.
pub const REFUSED: &str = "refused";

impl SlowLedger {
    pub fn new(inner: &MemoryLedger, takes: Duration) -> Self {
        Self { inner: inner.clone(), takes, questions: Arc::default() }
    }

    async fn wait(&self) {
        tokio::time::sleep(self.takes).await;
    }
}

#[async_trait]
impl Ledger for SlowLedger {
    async fn record(&self, results: &[DismissResult]) -> Result<(), LedgerError> {
        self.wait().await;
        if results.iter().any(|result| result.job_id.as_str() == REFUSED) {
            return Err(LedgerError::Refused("a job of that name".into()));
        }
        self.inner.record(results).await
    }

    async fn settled(&self, jobs: &[JobId]) -> Result<Vec<DismissResult>, LedgerError> {
        self.questions.lock().unwrap().push(jobs.len());
        self.wait().await;
        self.inner.settled(jobs).await
    }

    async fn register(&self, batch: &NewBatch) -> Result<(), LedgerError> {
        self.wait().await;
        self.inner.register(batch).await
    }

    async fn batches(&self, most: u32) -> Result<Vec<Batch>, LedgerError> {
        self.inner.batches(most).await
    }

    async fn batch(&self, id: &BatchId) -> Result<Option<Batch>, LedgerError> {
        self.inner.batch(id).await
    }

    async fn cancel(&self, id: &BatchId, act: &Act) -> Result<Heard, LedgerError> {
        self.inner.cancel(id, act).await
    }

    async fn controls(&self) -> Result<Controls, LedgerError> {
        let controls = self.inner.controls().await;
        self.wait().await;
        controls
    }

    async fn pause(&self, provider: &ProviderName, act: &Act) -> Result<(), LedgerError> {
        self.inner.pause(provider, act).await
    }

    async fn resume(&self, provider: &ProviderName) -> Result<Option<Act>, LedgerError> {
        self.inner.resume(provider).await
    }

    async fn report(&self, report: &SenderReport) -> Result<(), LedgerError> {
        self.wait().await;
        self.inner.report(report).await
    }

    async fn reports(&self) -> Result<Vec<SenderReport>, LedgerError> {
        self.inner.reports().await
    }

    async fn history(
        &self,
        filter: &HistoryFilter,
        after: Option<&Cursor>,
        most: u32,
    ) -> Result<Vec<DismissResult>, LedgerError> {
        self.inner.history(filter, after, most).await
    }

    async fn forget(&self, horizon: Horizon, most: u32) -> Result<u64, LedgerError> {
        self.inner.forget(horizon, most).await
    }

    async fn close(&self) {}
}
