//! What the active sender of a provider tells of itself, for the other replicas and the commands.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::account::Common;
use crate::model::ledger::SenderReport;
use crate::ports::ledger::Ledger;
use crate::ports::meter::{ProviderStatus, Waiting};

const INTERVAL: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells of every provider that this replica is the active sender of, for as long as the process lives.
pub async fn tell(ledger: &dyn Ledger, common: &Common) -> Infallible {
    let mut look = tokio::time::interval(INTERVAL);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        for report in reports(common) {
            match tokio::time::timeout(PATIENCE, ledger.report(&report)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(provider = %report.provider, %error, "no report"),
                Err(_) => tracing::debug!(provider = %report.provider, "no report in time"),
            }
        }
    }
}

fn reports(common: &Common) -> Vec<SenderReport> {
    let leads = |status: ProviderStatus| status.waiting.map(|waiting| report(common, status, waiting));
    common.meter.providers().into_iter().filter_map(leads).collect()
}

fn report(common: &Common, status: ProviderStatus, waiting: Waiting) -> SenderReport {
    let at = common.clock.now();
    SenderReport {
        worker: common.worker.to_string(),
        at,
        quota_qps: status.quota_qps,
        effective_qps: status.effective_qps,
        in_flight: status.in_flight.unsigned_abs(),
        waiting_urgent: waiting.urgent,
        waiting_bulk: waiting.bulk,
        deferred: common.meter.deferred(),
        suspended: status.suspended,
        since: status.since,
        next_probe: status.next_probe,
        rates: common.meter.rates(&status.name, at),
        provider: status.name,
    }
}
