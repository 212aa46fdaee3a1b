//! `/api/batches`: how batches stand, and stopping one.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::answers::{Trouble, json};
use super::desk::{Desk, answered};
use super::{note, query};
use crate::app::board::BatchView;
use crate::model::ids::BatchId;
use crate::ports::ledger::Heard;

/// How many are listed unless told otherwise, and at most.
const LISTED: (u32, u32) = (50, 500);

#[derive(Serialize)]
struct Batches {
    /// The newest first.
    batches: Vec<BatchView>,
}

pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    Query(asked): Query<HashMap<String, String>>,
) -> Result<Response, Trouble> {
    let ledger = desk.ledger()?;
    if let Some(unknown) = asked.keys().find(|name| *name != "limit") {
        return Err(Trouble::Faulty(format!("{unknown}: is no parameter here; there is limit")));
    }
    let most = asked.get("limit").map_or(Ok(LISTED.0), |text| query::limit(text, LISTED.1)).map_err(Trouble::Faulty)?;
    let (batches, reports) = answered(async { tokio::try_join!(ledger.batches(most), ledger.reports()) }).await?;
    let now = desk.state.clock.now();
    let batches = batches.into_iter().map(|batch| BatchView::of(batch, &reports, now)).collect();
    Ok(json(StatusCode::OK, &Batches { batches }))
}

pub(super) async fn show(State(desk): State<Arc<Desk>>, Path(id): Path<String>) -> Result<Response, Trouble> {
    let id = parsed(id)?;
    match view(&desk, &id).await? {
        Some(batch) => Ok(json(StatusCode::OK, &batch)),
        None => Err(Trouble::Unknown(format!("nothing was heard of a batch {:?}", id.as_str()))),
    }
}

#[derive(Serialize)]
struct Cancelled {
    /// Whether anything was known of the batch before.
    heard: bool,
    batch: Option<BatchView>,
}

pub(super) async fn cancel(
    State(desk): State<Arc<Desk>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Trouble> {
    let ledger = desk.ledger()?;
    let id = parsed(id)?;
    let act = note::act(&headers, &body, desk.state.clock.now())?;
    let heard = answered(ledger.cancel(&id, &act)).await?;
    tracing::info!(batch_id = %id, by = act.by, why = act.why, "a batch is cancelled");
    // It is done, whether or not there is time to look how the batch stands now.
    let batch = view(&desk, &id).await.unwrap_or_default();
    Ok(json(StatusCode::OK, &Cancelled { heard: heard == Heard::Before, batch }))
}

async fn view(desk: &Desk, id: &BatchId) -> Result<Option<BatchView>, Trouble> {
    let ledger = desk.ledger()?;
    let (batch, reports) = answered(async { tokio::try_join!(ledger.batch(id), ledger.reports()) }).await?;
    Ok(batch.map(|batch| BatchView::of(batch, &reports, desk.state.clock.now())))
}

fn parsed(id: String) -> Result<BatchId, Trouble> {
    BatchId::parse(id).map_err(|error| Trouble::Faulty(format!("the batch's ID {error}")))
}
