//! What operators asked for: every replica looks at the ledger, and does as it says.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::account::Account;
use crate::model::ids::{BatchId, ProviderName};
use crate::model::ledger::{Act, Controls};
use crate::ports::ledger::{Ledger, LedgerError};

/// How often the ledger is asked. A cancelled batch is to be still within 2 s.
const INTERVAL: Duration = Duration::from_millis(500);
/// One answer is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// So long nothing is sent at the start for want of the first answer.
const FIRST: Duration = Duration::from_secs(5);

/// What is asked for, as last heard; clones share one state. The default is that of a worker without a ledger: nothing.
#[derive(Clone, Default)]
pub struct Orders(Arc<watch::Sender<Known>>);

#[derive(Default)]
struct Known {
    controls: Controls,
    first: First,
}

/// Whether the first answer is still waited for.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum First {
    Awaited,
    #[default]
    Over,
}

impl Orders {
    /// Before the first answer.
    pub fn awaited() -> Self {
        Self(Arc::new(watch::Sender::new(Known { first: First::Awaited, ..Known::default() })))
    }

    /// Whether nothing of this batch is to be sent any more.
    pub fn is_cancelled(&self, batch: Option<&BatchId>) -> bool {
        batch.is_some_and(|batch| self.0.borrow().controls.cancelled.contains(batch))
    }

    /// Resolves once the first answer is there, or is not waited for any more. Cancel-safe.
    pub async fn heard(&self) {
        let mut known = self.0.subscribe();
        let _heard = known.wait_for(|known| known.first == First::Over).await;
    }

    fn take(&self, accounts: &[Arc<Account>], controls: Controls) {
        // First these: whoever waits for the first answer finds his provider paused.
        for account in accounts {
            account.health.pause(controls.paused.get(&account.name).cloned());
        }
        self.0.send_if_modified(|known| {
            let is_new = known.first == First::Awaited || known.controls != controls;
            *known = Known { controls, first: First::Over };
            is_new
        });
    }

    fn give_up_waiting(&self) -> bool {
        self.0.send_if_modified(|known| std::mem::replace(&mut known.first, First::Over) == First::Awaited)
    }
}

/// Looks at the ledger for as long as the process lives, and keeps what was heard last while it is away.
pub async fn follow(ledger: &dyn Ledger, orders: &Orders, accounts: &[Arc<Account>]) -> Infallible {
    let mut look = tokio::time::interval(INTERVAL);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut away = Away::No;
    let asking = async {
        loop {
            look.tick().await;
            let answer = tokio::time::timeout(PATIENCE, ledger.controls()).await;
            let late = || Err(LedgerError::Away(format!("no answer within {PATIENCE:?}")));
            match answer.unwrap_or_else(|_| late()) {
                Ok(controls) => {
                    away = away.is_back();
                    orders.take(accounts, controls);
                }
                Err(error) => away = away.goes_on(&error),
            }
        }
    };
    let giving_up = async {
        tokio::time::sleep(FIRST).await;
        if orders.give_up_waiting() {
            tracing::warn!("no word of cancelled batches and paused providers yet: sending without it");
        }
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        biased;
        never = asking => never,
        never = giving_up => never,
    }
}

/// An outage is told once, when it has lasted for a second look, and so is its end.
#[derive(Clone, Copy)]
enum Away {
    No,
    Perhaps,
    Told,
}

impl Away {
    fn goes_on(self, error: &LedgerError) -> Self {
        match self {
            Away::No => Away::Perhaps,
            Away::Perhaps => {
                tracing::warn!(%error, "what is cancelled and paused stays as last heard");
                Away::Told
            }
            Away::Told => Away::Told,
        }
    }

    fn is_back(self) -> Self {
        match self {
            Away::No | Away::Perhaps => {}
            Away::Told => tracing::info!("the ledger answers again: cancels and pauses are up to date"),
        }
        Away::No
    }
}

/// One line for each pause and its end.
pub(super) fn tell(provider: &ProviderName, before: Option<&Act>, now: Option<&Act>) {
    match (before, now) {
        (_, Some(Act { by, why, .. })) => {
            tracing::warn!(%provider, by, why = why.as_deref(), "paused by an operator: its jobs stay queued");
        }
        (Some(Act { by, why, at }), None) => {
            tracing::info!(%provider, by, why = why.as_deref(), paused_at = %at, "resumed: sending again");
        }
        (None, None) => {}
    }
}
