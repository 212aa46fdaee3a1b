//! The ledger in a worker's life: opened behind its back, and tended.

use std::sync::Arc;
use std::time::Duration;

use super::config;
use super::wire::LateLedger;
use crate::pipeline::account::{Account, Common};
use crate::pipeline::books;
use crate::ports::ledger::OpenError;

/// What is wrong with the ledger from the start is known by then.
const EARLY: Duration = Duration::from_secs(5);
/// What only an operator can mend is looked at again after so long.
const AGAIN: Duration = Duration::from_secs(15);

/// Opens the ledger and tends it for as long as the worker lives. Returns only where the ledger is of no use, and that
/// was found out early; what is found out later ends no worker.
pub async fn attend(
    late: Option<Arc<LateLedger>>,
    settings: Option<config::Ledger>,
    common: Common,
    accounts: Vec<Arc<Account>>,
) -> OpenError {
    let (Some(late), Some(settings)) = (late, settings) else { return std::future::pending().await };
    let opening = async {
        match open(&late, &settings.url, &common).await {
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        }
    };
    tokio::select! {
        biased;
        error = opening => error,
        never = books::tend(&common, &accounts, settings.keep) => match never {},
    }
}

/// Tries until it is open: after a restore the server may be there before its databases and roles are.
async fn open(late: &LateLedger, url: &config::LedgerUrl, common: &Common) -> Result<(), OpenError> {
    let mut told = Told::No;
    loop {
        match (late.open(url).await, told) {
            (Ok(()), Told::No) => return Ok(()),
            (Ok(()), Told::Yes) => {
                tracing::info!("the ledger is there: recording");
                return Ok(());
            }
            (Err(error), _) if common.clock.elapsed() < EARLY => return Err(error),
            (Err(error), Told::No) => {
                tracing::error!(%error, "the ledger is of no use: looking again every {AGAIN:?}");
                told = Told::Yes;
            }
            (Err(_), Told::Yes) => {}
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Whether it was said that it is of no use.
#[derive(Clone, Copy)]
enum Told {
    No,
    Yes,
}
