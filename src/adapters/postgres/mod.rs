//! PostgreSQL: the ledger of many workers.

mod batches;
mod controls;
mod fault;
mod forget;
mod history;
mod open;
mod record;
mod row;
mod session;

use async_trait::async_trait;

use self::session::{QUICK, SEARCH, Sessions, within};
use crate::model::ids::{BatchId, JobId, ProviderName};
use crate::model::ledger::{Act, Batch, Controls, Cursor, HistoryFilter, NewBatch, SenderReport};
use crate::model::result::DismissResult;
use crate::ports::ledger::{Heard, Horizon, Ledger, LedgerError, Migrate, OpenError};

/// A database, reached through a few connections that are made when they are needed.
pub struct PostgresLedger(Sessions);

impl PostgresLedger {
    /// `url` is `postgres://…`, with user and password. Asks once whether the database is there and its schema is ours.
    pub async fn open(url: &str, migrate: Migrate) -> Result<Self, OpenError> {
        Ok(Self(Sessions::new(open::open(url, migrate).await?)))
    }
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn record(&self, results: &[DismissResult]) -> Result<(), LedgerError> {
        let mut session = self.0.take().await?;
        let done = within(QUICK, record::record(&mut session, results)).await;
        session.end(done)
    }

    async fn settled(&self, jobs: &[JobId]) -> Result<Vec<DismissResult>, LedgerError> {
        let mut session = self.0.take().await?;
        let done = within(QUICK, history::settled(&mut session, jobs)).await;
        session.end(done)
    }

    async fn register(&self, batch: &NewBatch) -> Result<(), LedgerError> {
        let mut session = self.0.take().await?;
        let done = within(QUICK, batches::register(&mut session, batch)).await;
        session.end(done)
    }

    async fn batches(&self, most: u32) -> Result<Vec<Batch>, LedgerError> {
        let mut session = self.0.take().await?;
        let done = within(QUICK, batches::newest(&mut session, most)).await;
        session.end(done)
    }

    async fn batch(&self, id: &BatchId) -> Result<Option<Batch>, LedgerError> {
        let mut session = self.0.take().await?;
        let done = within(QUICK, batches::one(&mut session, id)).await;
        session.end(done)
    }

    async fn cancel(&self, id: &BatchId, act: &Act) -> Result<Heard, LedgerError> {
        let mut session = self.0.take().await?;
        let done = within(QUICK, batches::cancel(&mut session, id, act)).await;
        session.end(done)
    }

    async fn controls(&self) -> Result<Controls, LedgerError> {
        let mut session = self.0.take().await?;
        let done = within(QUICK, controls::controls(&mut session)).await;
        session.end(done)
    }

    async fn pause(&self, provider: &ProviderName, act: &Act) -> Result<(), LedgerError> {
        let mut session = self.0.take().await?;
        let done = within(QUICK, controls::pause(&mut session, provider, act)).await;
        session.end(done)
    }

    async fn resume(&self, provider: &ProviderName) -> Result<Option<Act>, LedgerError> {
        let mut session = self.0.take().await?;
        let done = within(QUICK, controls::resume(&mut session, provider)).await;
        session.end(done)
    }

    async fn report(&self, report: &SenderReport) -> Result<(), LedgerError> {
        let mut session = self.0.take().await?;
        let done = within(QUICK, controls::report(&mut session, report)).await;
        session.end(done)
    }

    async fn reports(&self) -> Result<Vec<SenderReport>, LedgerError> {
        let mut session = self.0.take().await?;
        let done = within(QUICK, controls::reports(&mut session)).await;
        session.end(done)
    }

    async fn history(
        &self,
        filter: &HistoryFilter,
        after: Option<&Cursor>,
        most: u32,
    ) -> Result<Vec<DismissResult>, LedgerError> {
        let mut session = self.0.take_to_search().await?;
        let done = within(SEARCH, history::history(&mut session, filter, after, most)).await;
        session.end(done)
    }

    async fn forget(&self, horizon: Horizon, most: u32) -> Result<u64, LedgerError> {
        let mut session = self.0.take_to_search().await?;
        let done = within(SEARCH, forget::forget(&mut session, horizon, most)).await;
        session.end(done)
    }

    async fn close(&self) {
        self.0.close().await;
    }
}
