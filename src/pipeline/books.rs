//! What the pipeline has of the ledger, and what it tells it. Nothing on a job's way waits for it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use super::account::{Account, Common};
use super::controls::{self, Orders};
use super::sightings::Sightings;
use super::{reports, retention};
use crate::ports::ledger::Ledger;

/// The default is that of a worker without a ledger.
#[derive(Clone, Default)]
pub struct Books {
    pub ledger: Option<Arc<dyn Ledger>>,
    pub repeats: Repeats,
    pub orders: Orders,
    pub sightings: Sightings,
}

/// What is done with a job whose ID already has a result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Repeats {
    #[default]
    Sent,
    /// With that result.
    Answered,
}

impl Books {
    /// Of a worker with a ledger, of which nothing was heard yet.
    pub fn of(ledger: Arc<dyn Ledger>, repeats: Repeats) -> Self {
        Self { ledger: Some(ledger), repeats, orders: Orders::awaited(), sightings: Sightings::noted() }
    }
}

/// Listens to the ledger and tells it what it should know, for as long as the process lives. `keep` is how long results
/// are kept.
pub async fn tend(common: &Common, accounts: &[Arc<Account>], keep: Duration) -> Infallible {
    let Books { ledger, repeats: _, orders, sightings } = &common.books;
    let Some(ledger) = ledger.as_deref() else { return std::future::pending().await };
    tokio::select! {
        biased;
        never = controls::follow(ledger, orders, accounts) => never,
        never = sightings.tell(ledger) => never,
        never = reports::tell(ledger, common) => never,
        never = retention::run(ledger, common, keep) => never,
    }
}
