//! The ledger in a file: its own, or that of the embedded queue.

pub(super) mod batches;
pub(super) mod carry;
mod controls;
mod file;
mod forget;
mod history;
pub(super) mod record;
#[cfg(test)]
mod tests;

use std::path::Path;

use async_trait::async_trait;

use self::file::{LedgerFile, SEARCH};
use super::fault::Broken;
use super::open::{self, Part};
use crate::model::ids::{BatchId, JobId, ProviderName};
use crate::model::ledger::{Act, Batch, Controls, Cursor, HistoryFilter, NewBatch, SenderReport};
use crate::model::result::DismissResult;
use crate::ports::ledger::{Heard, Horizon, Ledger, LedgerError, OpenError};

/// An open ledger. Any number of processes share a file.
pub struct SqliteLedger {
    file: LedgerFile,
}

impl SqliteLedger {
    /// Opens the file, or makes it, with connections of its own: the queue may stand in the same file.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        let opened = open::open(path, Part::Beside).await.map_err(explain)?;
        let search = open::another(path).await.map_err(explain)?;
        Ok(Self { file: LedgerFile::new(opened, search) })
    }
}

/// What only the operator can mend is told apart from what passes.
fn explain(error: open::OpenError) -> OpenError {
    match error {
        open::OpenError::Newer { found, known, .. } => OpenError::Newer { found, known },
        error @ (open::OpenError::Busy { .. } | open::OpenError::Full { .. } | open::OpenError::Other { .. }) => {
            OpenError::Away(error.to_string())
        }
        error @ (open::OpenError::NotWritable { .. } | open::OpenError::NotADatabase { .. }) => {
            OpenError::Unusable(error.to_string())
        }
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn record(&self, results: &[DismissResult]) -> Result<(), LedgerError> {
        if results.is_empty() {
            return Ok(());
        }
        let mut turn = self.file.write().await;
        let done = record::record(turn.begin().await?, results).await;
        Ok(turn.end(done).await?)
    }

    async fn settled(&self, jobs: &[JobId]) -> Result<Vec<DismissResult>, LedgerError> {
        Ok(history::settled(&mut *self.file.read().await?, jobs).await?)
    }

    async fn register(&self, batch: &NewBatch) -> Result<(), LedgerError> {
        let mut turn = self.file.write().await;
        let done = batches::register(turn.begin().await?, batch).await;
        Ok(turn.end(done).await?)
    }

    async fn batches(&self, most: u32) -> Result<Vec<Batch>, LedgerError> {
        Ok(batches::newest(&mut *self.file.read().await?, most).await?)
    }

    async fn batch(&self, id: &BatchId) -> Result<Option<Batch>, LedgerError> {
        Ok(batches::one(&mut *self.file.read().await?, id).await?)
    }

    async fn cancel(&self, id: &BatchId, act: &Act) -> Result<Heard, LedgerError> {
        let mut turn = self.file.write().await;
        let done = batches::cancel(turn.begin().await?, id, act).await;
        Ok(turn.end(done).await?)
    }

    async fn controls(&self) -> Result<Controls, LedgerError> {
        Ok(controls::all(&mut *self.file.read().await?).await?)
    }

    async fn pause(&self, provider: &ProviderName, act: &Act) -> Result<(), LedgerError> {
        let mut turn = self.file.write().await;
        let done = controls::pause(turn.begin().await?, provider, act).await;
        Ok(turn.end(done).await?)
    }

    async fn resume(&self, provider: &ProviderName) -> Result<Option<Act>, LedgerError> {
        let mut turn = self.file.write().await;
        let done = controls::resume(turn.begin().await?, provider).await;
        Ok(turn.end(done).await?)
    }

    async fn report(&self, report: &SenderReport) -> Result<(), LedgerError> {
        let mut turn = self.file.write().await;
        let done = controls::report(turn.begin().await?, report).await;
        Ok(turn.end(done).await?)
    }

    async fn reports(&self) -> Result<Vec<SenderReport>, LedgerError> {
        Ok(controls::reports(&mut *self.file.read().await?).await?)
    }

    async fn history(
        &self,
        filter: &HistoryFilter,
        after: Option<&Cursor>,
        most: u32,
    ) -> Result<Vec<DismissResult>, LedgerError> {
        let search = async { history::page(&mut *self.file.search().await?, filter, after, most).await };
        let found = tokio::time::timeout(SEARCH, search).await;
        Ok(found.unwrap_or(Err(Broken::Silent(SEARCH)))?)
    }

    async fn forget(&self, horizon: Horizon, most: u32) -> Result<u64, LedgerError> {
        let mut turn = self.file.write().await;
        let done = forget::forget(turn.begin().await?, horizon, most).await;
        Ok(turn.end(done).await?)
    }

    async fn close(&self) {
        self.file.close().await;
    }
}
