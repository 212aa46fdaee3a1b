//! `/api/providers`: how each provider stands, whoever sends for it; and stopping and restarting it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::Serialize;

use super::answers::{Trouble, json};
use super::desk::{Desk, LedgerState, answered};
use super::note;
use crate::app::board::STALE;
use crate::model::ids::ProviderName;
use crate::model::ledger::{Act, Controls, RATE_SPAN, SenderReport};
use crate::ports::ledger::LedgerError;
use crate::ports::meter::{ProviderHealth, ProviderStatus, Waiting};

/// A provider that is not configured here and of which nobody told for so long is no longer shown.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

/// One provider, as whoever knows most of it tells.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ProviderView {
    #[serde(flatten)]
    pub(super) status: ProviderStatus,
    /// Requests a second in the last whole span.
    pub(super) rate: Option<f64>,
    /// Requests in each of the last spans, the oldest first.
    pub(super) rates: Vec<u32>,
    /// The worker that sends for it; None while nobody is known to.
    pub(super) sender: Option<String>,
    /// When its sender was last heard of, if that is too long ago.
    pub(super) silent_since: Option<Timestamp>,
    /// Who asked to stop sending, over all replicas.
    pub(super) paused: Option<Act>,
    /// Whether this replica knows it.
    pub(super) configured: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Providers {
    pub(super) ledger: LedgerState,
    pub(super) rate_span_seconds: i64,
    /// Jobs on the ladder, of all providers together.
    pub(super) deferred: Option<u64>,
    pub(super) providers: Vec<ProviderView>,
}

/// What this replica itself knows.
pub(super) struct Own<'a> {
    pub(super) worker: &'a str,
    pub(super) providers: Vec<ProviderStatus>,
    pub(super) rates: BTreeMap<ProviderName, Vec<u32>>,
}

impl Own<'_> {
    pub(super) fn of(desk: &Desk) -> Own<'_> {
        let providers = desk.state.meter.providers();
        let rates = providers.iter().map(|status| (status.name.clone(), desk.rates.of(&status.name))).collect();
        Own { worker: &desk.state.worker, providers, rates }
    }
}

impl Providers {
    /// What is known here, and what the senders tell of themselves.
    pub(super) fn of(
        ledger: LedgerState,
        own: Own<'_>,
        reports: &[SenderReport],
        controls: &Controls,
        now: Timestamp,
    ) -> Self {
        let mut views: BTreeMap<ProviderName, ProviderView> = BTreeMap::new();
        for status in own.providers {
            let rates = own.rates.get(&status.name).cloned().unwrap_or_default();
            views.insert(status.name.clone(), here(status, rates, own.worker));
        }
        for report in reports {
            let view = views.remove(&report.provider);
            if view.is_none() && is_old(report, now) {
                continue;
            }
            views.insert(report.provider.clone(), told(view, report, own.worker, now));
        }
        for (provider, view) in &mut views {
            view.rate = view.rates.last().map(|requests| f64::from(*requests) / RATE_SPAN.as_secs_f64());
            view.paused = controls.paused.get(provider).cloned();
        }
        let fresh = reports.iter().filter(|report| is_fresh(report, now));
        Self {
            ledger,
            rate_span_seconds: RATE_SPAN.as_secs(),
            deferred: fresh.max_by_key(|report| report.at).map(|report| report.deferred),
            providers: views.into_values().collect(),
        }
    }
}

fn here(status: ProviderStatus, rates: Vec<u32>, worker: &str) -> ProviderView {
    let sender = status.waiting.map(|_| worker.to_owned());
    ProviderView { status, rate: None, rates, sender, silent_since: None, paused: None, configured: true }
}

fn told(own: Option<ProviderView>, report: &SenderReport, worker: &str, now: Timestamp) -> ProviderView {
    let configured = own.is_some();
    match own {
        // Nobody knows more than the sender itself; what its predecessor sent belongs to the last minutes all the same.
        Some(own) if own.sender.is_some() => {
            let rates = if own.rates.len() < report.rates.len() { report.rates.clone() } else { own.rates.clone() };
            ProviderView { rates, ..own }
        }
        Some(own) if !is_fresh(report, now) => ProviderView { silent_since: Some(report.at), ..own },
        // Of itself it knows better that it no longer sends.
        Some(own) if report.worker == worker => own,
        _ => {
            let is_fresh = is_fresh(report, now);
            ProviderView {
                status: status_of(report),
                rate: None,
                rates: report.rates.clone(),
                sender: is_fresh.then(|| report.worker.clone()),
                silent_since: (!is_fresh).then_some(report.at),
                paused: None,
                configured,
            }
        }
    }
}

fn is_fresh(report: &SenderReport, now: Timestamp) -> bool {
    now.duration_since(report.at).unsigned_abs() < STALE
}

/// One that is configured nowhere any more leaves its last report behind.
fn is_old(report: &SenderReport, now: Timestamp) -> bool {
    now.duration_since(report.at).unsigned_abs() > FORGOTTEN
}

fn status_of(report: &SenderReport) -> ProviderStatus {
    ProviderStatus {
        name: report.provider.clone(),
        health: match report.suspended {
            Some(_) => ProviderHealth::Suspended,
            None if report.effective_qps < report.quota_qps => ProviderHealth::Throttled,
            None => ProviderHealth::Ok,
        },
        suspended: report.suspended,
        since: report.since,
        next_probe: report.next_probe,
        quota_qps: report.quota_qps,
        effective_qps: report.effective_qps,
        in_flight: i64::try_from(report.in_flight).unwrap_or(i64::MAX),
        waiting: Some(Waiting { urgent: report.waiting_urgent, bulk: report.waiting_bulk }),
    }
}

/// Answers without a ledger too, with what this replica knows.
pub(super) async fn list(State(desk): State<Arc<Desk>>) -> Result<Response, Trouble> {
    let asked = match desk.ledger() {
        Err(_) => (LedgerState::None, Vec::new(), Controls::default()),
        Ok(ledger) => match answered(async { tokio::try_join!(ledger.reports(), ledger.controls()) }).await {
            Ok((reports, controls)) => (LedgerState::Up, reports, controls),
            Err(_) => (LedgerState::Away, Vec::new(), Controls::default()),
        },
    };
    let (ledger, reports, controls) = asked;
    let now = desk.state.clock.now();
    Ok(json(StatusCode::OK, &Providers::of(ledger, Own::of(&desk), &reports, &controls, now)))
}

/// What a pause or its end changed.
#[derive(Serialize)]
struct Changed<'a> {
    provider: &'a ProviderName,
    /// As it stands now.
    paused: Option<Act>,
    /// As it stood before.
    was: Option<Act>,
}

pub(super) async fn pause(
    State(desk): State<Arc<Desk>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Trouble> {
    let provider = configured(&desk, name)?;
    let ledger = desk.ledger()?;
    let act = note::act(&headers, &body, desk.state.clock.now())?;
    let paused = async || Ok::<_, LedgerError>(ledger.controls().await?.paused.remove(&provider));
    let (was, now) = answered(async {
        let was = paused().await?;
        ledger.pause(&provider, &act).await?;
        Ok((was, paused().await?))
    })
    .await?;
    tracing::info!(%provider, by = act.by, why = act.why, "paused over all replicas");
    Ok(json(StatusCode::OK, &Changed { provider: &provider, paused: now, was }))
}

pub(super) async fn resume(
    State(desk): State<Arc<Desk>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Trouble> {
    let provider = configured(&desk, name)?;
    let ledger = desk.ledger()?;
    let act = note::act(&headers, &body, desk.state.clock.now())?;
    let was = answered(ledger.resume(&provider)).await?;
    tracing::info!(%provider, by = act.by, why = act.why, "resumed over all replicas");
    Ok(json(StatusCode::OK, &Changed { provider: &provider, paused: None, was }))
}

fn configured(desk: &Desk, name: String) -> Result<ProviderName, Trouble> {
    let known = ProviderName::parse(name.clone()).ok().filter(|name| desk.state.intake.providers.contains(name));
    known.ok_or_else(|| Trouble::Unknown(format!("no provider {name:?} is configured here")))
}

#[cfg(test)]
#[path = "providers_tests.rs"]
mod tests;
