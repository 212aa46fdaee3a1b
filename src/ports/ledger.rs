//! The ledger: what was dismissed when, why and under which request ID; how far batches are; what operators asked for.
//!
//! Nothing on a job's way waits for it. Any number of processes share one.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::model::ids::{BatchId, JobId, ProviderName};
use crate::model::ledger::{Act, Batch, Controls, Cursor, HistoryFilter, NewBatch, SenderReport};
use crate::model::result::DismissResult;

/// Why the ledger did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// May pass by itself.
    #[error("the ledger cannot be reached: {0}")]
    Away(String),
    /// It takes no such thing, however often it is asked.
    #[error("the ledger refuses this: {0}")]
    Refused(String),
}

/// Why there is no ledger to ask.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// May pass by itself.
    #[error("the ledger cannot be reached: {0}")]
    Away(String),
    #[error(
        "the ledger's schema is {found}, this version wants {known}: start a worker, or run roomsweep check --migrate"
    )]
    Older { found: i64, known: i64 },
    #[error(
        "the ledger was written by a later version of roomsweep (schema {found}; this one knows {known}): use that version"
    )]
    Newer { found: i64, known: i64 },
    /// Only the operator can mend it.
    #[error("the ledger cannot be used: {0}")]
    Unusable(String),
}

/// Whether opening brings the schema up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrate {
    /// Under a lock, so that many may do it at a time.
    Yes,
    No,
}

/// Whether a batch that was cancelled had been heard of before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    Before,
    /// It is kept all the same: its jobs end as they surface.
    Never,
}

/// What is old enough to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    /// Results that were settled before, and batches to which nothing happened since.
    pub results: Timestamp,
    /// The same of a batch that was cancelled and whose size nobody told: how many of its jobs still lie in a queue is not
    /// known, and without the row they would be sent. Never later than `results`.
    pub cancels: Timestamp,
}

#[async_trait]
pub trait Ledger: Send + Sync {
    /// Keeps results, all or none of them, and counts them to their batches. Repeated ones change nothing; two of one run
    /// are joined as [`DismissResult::joined`] says.
    async fn record(&self, results: &[DismissResult]) -> Result<(), LedgerError>;

    /// The result of the last run of each of these jobs that has one, in one question.
    async fn settled(&self, jobs: &[JobId]) -> Result<Vec<DismissResult>, LedgerError>;

    /// Keeps what is told of a batch. Told again, what was missing is added, and a known size or part stays.
    async fn register(&self, batch: &NewBatch) -> Result<(), LedgerError>;

    /// The newest first, at most `most`.
    async fn batches(&self, most: u32) -> Result<Vec<Batch>, LedgerError>;

    async fn batch(&self, id: &BatchId) -> Result<Option<Batch>, LedgerError>;

    /// Has what was not sent of a batch not be sent. Who asked first stays on record.
    async fn cancel(&self, id: &BatchId, act: &Act) -> Result<Heard, LedgerError>;

    async fn controls(&self) -> Result<Controls, LedgerError>;

    /// Stops sending for a provider, over all replicas. Who asked first stays on record.
    async fn pause(&self, provider: &ProviderName, act: &Act) -> Result<(), LedgerError>;

    /// Ends a pause; tells which one it was.
    async fn resume(&self, provider: &ProviderName) -> Result<Option<Act>, LedgerError>;

    /// Replaces what the sender of this provider told before.
    async fn report(&self, report: &SenderReport) -> Result<(), LedgerError>;

    async fn reports(&self) -> Result<Vec<SenderReport>, LedgerError>;

    /// The last settled first, at most `most`, those behind `after`.
    async fn history(
        &self,
        filter: &HistoryFilter,
        after: Option<&Cursor>,
        most: u32,
    ) -> Result<Vec<DismissResult>, LedgerError>;

    /// Forgets at most `most` results, and once fewer are left, at most so many batches of which nothing is left; tells how
    /// many, of whichever were more. A batch of which not all jobs are over stays; so does, while any provider is paused, a
    /// cancelled one whose size nobody told.
    async fn forget(&self, horizon: Horizon, most: u32) -> Result<u64, LedgerError>;

    /// Says good-bye.
    async fn close(&self);
}
