//! All that the page shows at a time.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;

use super::answers::json;
use super::desk::{Desk, LedgerState, answered};
use super::providers::{Own, Providers};
use crate::app::board::BatchView;
use crate::model::ids::{AppId, BatchId, JobId, ProviderName, RequestId, RoomId};
use crate::model::ledger::{Batch, Controls, HistoryFilter, SenderReport};
use crate::model::result::{DismissResult, Outcome};
use crate::model::verdict::Fault;
use crate::ports::ledger::{Ledger, LedgerError};
use crate::ports::meter::{ProviderStatus, QueueLink};
use crate::ports::readiness::ReadyState;

/// How many batches and failures the page shows.
const SHOWN: (u32, u32) = (50, 20);

/// What this replica says of itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Standing {
    version: &'static str,
    worker: String,
    connected: bool,
    ready: bool,
    draining: bool,
    /// Why it is not ready; None where it is, or where it drains.
    not_ready: Option<String>,
    ledger: LedgerState,
}

impl Standing {
    fn of(desk: &Desk, ledger: LedgerState) -> Self {
        let readiness = desk.state.ready_state();
        Self {
            version: desk.state.version,
            worker: desk.state.worker.clone(),
            connected: desk.state.meter.queue_link() == QueueLink::Up,
            ready: readiness == ReadyState::Ready,
            draining: readiness == ReadyState::Draining,
            not_ready: match readiness {
                ReadyState::Connecting { reason } => Some(reason),
                ReadyState::Ready | ReadyState::Draining => None,
            },
            ledger,
        }
    }
}

#[derive(Serialize)]
struct Status {
    #[serde(flatten)]
    standing: Standing,
    uptime_seconds: u64,
    providers: Vec<ProviderStatus>,
}

/// `/api/status`.
pub(super) async fn status(State(desk): State<Arc<Desk>>) -> Response {
    let standing = Standing::of(&desk, desk.ledger_state().await);
    let uptime_seconds = desk.state.clock.elapsed().as_secs();
    json(StatusCode::OK, &Status { standing, uptime_seconds, providers: desk.state.meter.providers() })
}

/// A job that needs somebody to look at it.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Failure {
    job_id: JobId,
    batch_id: Option<BatchId>,
    provider: Option<ProviderName>,
    app_id: Option<AppId>,
    room_id: Option<RoomId>,
    outcome: Outcome,
    request_id: Option<RequestId>,
    http_status: Option<u16>,
    error: Option<Fault>,
    attempts: u32,
    run: u32,
    settled_at: Timestamp,
}

impl From<DismissResult> for Failure {
    fn from(result: DismissResult) -> Self {
        Self {
            job_id: result.job_id,
            batch_id: result.batch_id,
            provider: result.provider,
            app_id: result.app_id,
            room_id: result.room_id,
            outcome: result.outcome,
            request_id: result.request_id,
            http_status: result.http_status,
            error: result.error,
            attempts: result.attempts,
            run: result.run,
            settled_at: result.settled_at,
        }
    }
}

/// Everything but the time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Snapshot {
    status: Standing,
    #[serde(flatten)]
    providers: Providers,
    /// When the ledger last answered, if it is away; what follows is of then.
    ledger_at: Option<Timestamp>,
    batches: Vec<BatchView>,
    failures: Vec<Failure>,
}

/// What the ledger told.
#[derive(Default)]
pub(super) struct Told {
    batches: Vec<Batch>,
    reports: Vec<SenderReport>,
    controls: Controls,
    failures: Vec<Failure>,
}

/// What is known of the ledger: what it told last, and when.
pub(super) struct Known {
    ledger: LedgerState,
    at: Option<Timestamp>,
    told: Told,
}

impl Known {
    pub(super) async fn first(desk: &Desk) -> Self {
        let mut known = Self { ledger: LedgerState::None, at: None, told: Told::default() };
        known.take(desk, look(desk).await);
        known
    }

    /// What a ledger that is away told before is kept.
    pub(super) fn take(&mut self, desk: &Desk, seen: Seen) {
        self.ledger = match seen {
            Seen::NoLedger => LedgerState::None,
            Seen::Away => LedgerState::Away,
            Seen::Told(told) => {
                (self.told, self.at) = (*told, Some(desk.state.clock.now()));
                LedgerState::Up
            }
        };
    }

    /// How all stands now.
    pub(super) fn snapshot(&self, desk: &Desk) -> Snapshot {
        let told = &self.told;
        let ledger_at = self.at.filter(|_| self.ledger == LedgerState::Away);
        // What was told when it last answered was fresh then: of senders that are silent since nobody can know.
        let then = ledger_at.unwrap_or_else(|| desk.state.clock.now());
        let batches = told.batches.iter().map(|batch| BatchView::of(batch.clone(), &told.reports, then)).collect();
        Snapshot {
            status: Standing::of(desk, self.ledger),
            providers: Providers::of(self.ledger, Own::of(desk), &told.reports, &told.controls, then),
            ledger_at,
            batches,
            failures: told.failures.clone(),
        }
    }
}

/// What came of asking the ledger.
pub(super) enum Seen {
    NoLedger,
    Away,
    Told(Box<Told>),
}

pub(super) async fn look(desk: &Desk) -> Seen {
    match desk.ledger() {
        Err(_) => Seen::NoLedger,
        Ok(ledger) => match answered(ask(ledger)).await {
            Ok(told) => Seen::Told(Box::new(told)),
            Err(_) => Seen::Away,
        },
    }
}

async fn ask(ledger: &dyn Ledger) -> Result<Told, LedgerError> {
    let failed = Outcome::ALL.into_iter().filter(|outcome| outcome.is_failure()).collect();
    let filter = HistoryFilter { outcomes: failed, ..HistoryFilter::default() };
    let (batches, reports, controls, failures) = tokio::try_join!(
        ledger.batches(SHOWN.0),
        ledger.reports(),
        ledger.controls(),
        ledger.history(&filter, None, SHOWN.1),
    )?;
    let failures = failures.into_iter().map(Failure::from).collect();
    Ok(Told { batches, reports, controls, failures })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::adapters::memory_ledger::MemoryLedger;
    use crate::app::admin::tests::start;
    use crate::ports::clock::Clock;

    #[tokio::test(start_paused = true)]
    async fn nobody_is_called_silent_while_the_ledger_is() {
        let server = start().await;
        let (ledger, clock) = (MemoryLedger::default(), Clock::starting_at(Timestamp::UNIX_EPOCH));
        let report = SenderReport {
            provider: ProviderName::parse("volcengine").unwrap(),
            worker: "host-2".to_owned(),
            at: clock.now(),
            quota_qps: 60.0,
            effective_qps: 60.0,
            in_flight: 0,
            waiting_urgent: 0,
            waiting_bulk: 9,
            deferred: 0,
            suspended: None,
            since: None,
            next_probe: None,
            rates: vec![],
        };
        ledger.report(&report).await.unwrap();
        let desk = Desk::new(crate::app::admin::AdminState {
            clock,
            ledger: Some(Arc::new(ledger.clone())),
            ..server.state.clone()
        });
        let mut known = Known::first(&desk).await;
        let silent = async |known: &mut Known| {
            tokio::time::advance(Duration::from_secs(60)).await;
            known.take(&desk, look(&desk).await);
            let snapshot = known.snapshot(&desk);
            (snapshot.ledger_at.is_some(), snapshot.providers.providers[0].silent_since.is_some())
        };
        ledger.leave("gone");
        assert_eq!(silent(&mut known).await, (true, false));
        ledger.come_back();
        assert_eq!(silent(&mut known).await, (false, true));
    }
}
