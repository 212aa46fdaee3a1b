//! The results that wait for the ledger.

use async_trait::async_trait;
use bytes::Bytes;

use super::broker::BrokerError;

/// A result that no ledger takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unkept {
    /// Its place in the group.
    pub place: usize,
    pub why: String,
}

/// Results in the order of their coming, each copy for one of those that ask. Dropped, it gives back what it holds.
#[async_trait]
pub trait OutcomeSource: Send {
    /// The next group as it was published, never empty. It is in hand until one of the verbs below; until then it comes
    /// again, with what has come since behind it. Cancel-safe.
    async fn next(&mut self) -> Result<Vec<Bytes>, BrokerError>;

    /// Lets go of the group, for it is in the ledger. What is in none is put to the dead letters first.
    async fn kept(&mut self, unkept: &[Unkept]) -> Result<(), BrokerError>;

    /// Stops receiving and gives everything back.
    async fn stop(&mut self) -> Result<(), BrokerError>;
}
