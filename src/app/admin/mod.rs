//! The admin server: health, metrics, the API and the status page over HTTP/1.1, and a way in for jobs.

mod answers;
mod batches;
mod desk;
mod events;
mod gate;
mod jobs;
mod note;
#[cfg(test)]
mod openapi_tests;
mod page;
mod providers;
mod query;
mod rates;
mod results;
mod routes;
mod server;
mod snapshot;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::net::TcpListener;

pub use gate::Exposure;

use super::wire::Door;
use crate::model::ids::ProviderName;
use crate::model::secret::Secret;
use crate::ports::clock::Clock;
use crate::ports::ledger::Ledger;
use crate::ports::meter::Meter;
use crate::ports::readiness::{Readiness, ReadyState};

/// What the admin server tells of.
#[derive(Clone)]
pub struct AdminState {
    pub meter: Meter,
    pub readiness: Readiness,
    /// Made when the process started: uptime is counted by it.
    pub clock: Clock,
    pub version: &'static str,
    /// The replica's name, as results carry it.
    pub worker: String,
    pub intake: Intake,
    /// None where none is configured; one that is away says so when it is asked.
    pub ledger: Option<Arc<dyn Ledger>>,
}

impl AdminState {
    /// What the supervisor says of itself, unless this machine keeps it from sending anything.
    fn ready_state(&self) -> ReadyState {
        match self.readiness.state() {
            ReadyState::Ready => match self.meter.lasting_shortage(self.clock.elapsed()) {
                Some(what) => ReadyState::Connecting { reason: format!("no request can be sent: {what}") },
                None => ReadyState::Ready,
            },
            other @ (ReadyState::Connecting { .. } | ReadyState::Draining) => other,
        }
    }
}

/// Where jobs come in, and whose.
#[derive(Clone)]
pub struct Intake {
    pub door: Door,
    /// Jobs for others are refused.
    pub providers: Arc<[ProviderName]>,
    /// Opens the door to whoever shows it; may change.
    pub token: Arc<ArcSwapOption<Secret>>,
    pub exposure: Exposure,
}

/// Answers until `stop` resolves, then lets what is being answered finish. Stop it last: `/readyz` has to say 503 all
/// through the drain.
pub async fn serve(
    listener: TcpListener,
    state: AdminState,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    tracing::info!(address = %listener.local_addr()?, "admin server listens");
    let desk = Arc::new(desk::Desk::new(state));
    tokio::select! {
        () = server::run(listener, routes::router(&desk), stop) => Ok(()),
        never = desk.rates.follow(&desk.state.meter) => match never {},
    }
}
