//! What all routes share.

use std::time::Duration;

use serde::Serialize;

use super::AdminState;
use super::answers::Trouble;
use super::events::Hub;
use super::gate::Gate;
use super::rates::Rates;
use crate::ports::ledger::{Ledger, LedgerError};

/// How long the ledger is waited for: less than a request may take.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) struct Desk {
    pub(super) state: AdminState,
    pub(super) gate: Gate,
    pub(super) hub: Hub,
    pub(super) rates: Rates,
}

/// Whether there is somebody to ask of batches and results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LedgerState {
    /// None is configured.
    None,
    Up,
    Away,
}

impl Desk {
    pub(super) fn new(state: AdminState) -> Self {
        let gate = Gate::new(state.intake.token.clone(), state.intake.exposure, state.clock.clone());
        Self { gate, hub: Hub::default(), rates: Rates::default(), state }
    }

    pub(super) fn ledger(&self) -> Result<&dyn Ledger, Trouble> {
        self.state.ledger.as_deref().ok_or(Trouble::NoLedger)
    }

    pub(super) async fn ledger_state(&self) -> LedgerState {
        match self.ledger() {
            Err(_) => LedgerState::None,
            Ok(ledger) => match answered(ledger.controls()).await {
                Ok(_) => LedgerState::Up,
                Err(_) => LedgerState::Away,
            },
        }
    }
}

/// What the ledger says; one that does not answer in time is away.
pub(super) async fn answered<T>(asked: impl Future<Output = Result<T, LedgerError>>) -> Result<T, Trouble> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Trouble::LedgerAway),
    }
}
