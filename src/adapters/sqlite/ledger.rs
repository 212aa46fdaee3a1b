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

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use self::file::{LedgerFile, SEARCH};
use super::fault::Broken;
use super::open;
use crate::model::ids::{BatchId, JobId, ProviderName};
use crate::model::ledger::{Act, Batch, Controls, Cursor, HistoryFilter, NewBatch, SenderReport};
use crate::model::result::DismissResult;
use crate::ports::ledger::{Heard, Horizon, Ledger, LedgerError, OpenError};

/// A ledger in a file, opened anew when the path leads to another one. Any number of processes share a file.
pub struct SqliteLedger {
    path: PathBuf,
    current: Mutex<Current>,
}

enum Current {
    Open(Arc<LedgerFile>),
    /// Not at its path any more.
    Lost,
    Closed,
}

impl SqliteLedger {
    /// Opens the file, or makes it, with connections of its own: the queue may stand in the same file.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        let file = LedgerFile::open(path).await.map_err(explain)?;
        Ok(Self { path: path.to_owned(), current: Mutex::new(Current::Open(Arc::new(file))) })
    }

    /// The file that is at the path now.
    async fn file(&self) -> Result<Arc<LedgerFile>, LedgerError> {
        let mut current = self.current.lock().await;
        match &*current {
            Current::Closed => return Err(Broken::Closed.into()),
            Current::Lost => {}
            Current::Open(file) => {
                let Err(displaced) = file.check() else { return Ok(file.clone()) };
                tracing::warn!("the ledger's file is given up: {displaced}");
                let file = file.clone();
                tokio::spawn(async move { file.close().await });
                *current = Current::Lost;
            }
        }
        let opened = LedgerFile::open(&self.path).await;
        let file = Arc::new(opened.map_err(|error| LedgerError::Away(error.to_string()))?);
        tracing::info!("the ledger's file was opened anew");
        *current = Current::Open(file.clone());
        Ok(file)
    }
}

/// What only the operator can mend is told apart from what passes.
fn explain(error: open::OpenError) -> OpenError {
    match error {
        open::OpenError::Newer { found, known, .. } => OpenError::Newer { found, known },
        error @ (open::OpenError::Busy { .. }
        | open::OpenError::NotClosed { .. }
        | open::OpenError::Displaced(_)
        | open::OpenError::Full { .. }
        | open::OpenError::Other { .. }) => OpenError::Away(error.to_string()),
        error @ (open::OpenError::NotWritable { .. }
        | open::OpenError::NotADatabase { .. }
        | open::OpenError::OtherName { .. }
        | open::OpenError::ManyNames { .. }) => OpenError::Unusable(error.to_string()),
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn record(&self, results: &[DismissResult]) -> Result<(), LedgerError> {
        if results.is_empty() {
            return Ok(());
        }
        let mut turn = self.file().await?.write().await;
        let done = record::record(turn.begin().await?, results).await;
        Ok(turn.end(done).await?)
    }

    async fn settled(&self, jobs: &[JobId]) -> Result<Vec<DismissResult>, LedgerError> {
        Ok(history::settled(&mut *self.file().await?.read().await?, jobs).await?)
    }

    async fn register(&self, batch: &NewBatch) -> Result<(), LedgerError> {
        let mut turn = self.file().await?.write().await;
        let done = batches::register(turn.begin().await?, batch).await;
        Ok(turn.end(done).await?)
    }

    async fn batches(&self, most: u32) -> Result<Vec<Batch>, LedgerError> {
        Ok(batches::newest(&mut *self.file().await?.read().await?, most).await?)
    }

    async fn batch(&self, id: &BatchId) -> Result<Option<Batch>, LedgerError> {
        Ok(batches::one(&mut *self.file().await?.read().await?, id).await?)
    }

    async fn cancel(&self, id: &BatchId, act: &Act) -> Result<Heard, LedgerError> {
        let mut turn = self.file().await?.write().await;
        let done = batches::cancel(turn.begin().await?, id, act).await;
        Ok(turn.end(done).await?)
    }

    async fn controls(&self) -> Result<Controls, LedgerError> {
        let file = self.file().await?;
        let found = controls::all(&mut *file.read().await?).await;
        // Asked again and again: so a file that cannot be read any more is noticed, whoever needs it next.
        Ok(found.inspect_err(|broken| file.heed(broken))?)
    }

    async fn pause(&self, provider: &ProviderName, act: &Act) -> Result<(), LedgerError> {
        let mut turn = self.file().await?.write().await;
        let done = controls::pause(turn.begin().await?, provider, act).await;
        Ok(turn.end(done).await?)
    }

    async fn resume(&self, provider: &ProviderName) -> Result<Option<Act>, LedgerError> {
        let mut turn = self.file().await?.write().await;
        let done = controls::resume(turn.begin().await?, provider).await;
        Ok(turn.end(done).await?)
    }

    async fn report(&self, report: &SenderReport) -> Result<(), LedgerError> {
        let mut turn = self.file().await?.write().await;
        let done = controls::report(turn.begin().await?, report).await;
        Ok(turn.end(done).await?)
    }

    async fn reports(&self) -> Result<Vec<SenderReport>, LedgerError> {
        Ok(controls::reports(&mut *self.file().await?.read().await?).await?)
    }

    async fn history(
        &self,
        filter: &HistoryFilter,
        after: Option<&Cursor>,
        most: u32,
    ) -> Result<Vec<DismissResult>, LedgerError> {
        let file = self.file().await?;
        let search = async { history::page(&mut *file.search().await?, filter, after, most).await };
        let found = tokio::time::timeout(SEARCH, search).await;
        Ok(found.unwrap_or(Err(Broken::Silent(SEARCH)))?)
    }

    async fn forget(&self, horizon: Horizon, most: u32) -> Result<u64, LedgerError> {
        let mut turn = self.file().await?.write().await;
        let done = forget::forget(turn.begin().await?, horizon, most).await;
        Ok(turn.end(done).await?)
    }

    async fn close(&self) {
        let current = std::mem::replace(&mut *self.current.lock().await, Current::Closed);
        if let Current::Open(file) = current {
            file.close().await;
        }
    }
}
