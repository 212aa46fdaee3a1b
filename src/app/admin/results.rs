//! `/api/results`: what became of jobs, page by page.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use super::answers::{Trouble, json};
use super::desk::{Desk, answered};
use super::query::{Asked, token};
use crate::model::ledger::Cursor;
use crate::model::result::DismissResult;

#[derive(Serialize)]
struct Page {
    /// The last settled first.
    results: Vec<DismissResult>,
    /// Where the next page begins; None behind the last.
    next: Option<String>,
}

pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, Trouble> {
    let ledger = desk.ledger()?;
    let asked = Asked::parse(&pairs).map_err(Trouble::Faulty)?;
    // One more tells whether there is another page.
    let history = ledger.history(&asked.filter, asked.after.as_ref(), asked.most + 1);
    let mut results = answered(history).await?;
    let most = asked.most as usize;
    let next = (results.len() > most).then(|| token(&Cursor::behind(&results[most - 1])));
    results.truncate(most);
    Ok(json(StatusCode::OK, &Page { results, next }))
}
