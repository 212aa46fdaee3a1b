//! `list` and `show`.

use std::ops::ControlFlow;
use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use super::Office;
use super::filter::Filters;
use crate::app::cli::out::{print, tell};
use crate::app::cli::table::{Table, age, or_dash};
use crate::model::dead::{DeadLetter, Summary};
use crate::model::ids::JobId;

const TITLES: [&str; 7] = ["JOB", "PROVIDER", "OUTCOME", "ROOM", "BATCH", "AGE", "ERROR"];
/// No column is wider, but for the last.
const WIDEST: usize = 40;

/// A line for each letter that matches.
pub async fn list(office: &Office, filters: &Filters, json: bool) -> anyhow::Result<ExitCode> {
    let mut rows = Vec::new();
    each(office, filters, &mut |_, summary| rows.push(summary)).await?;
    if json {
        print(rows.iter().map(|row| serde_json::to_string(row).unwrap_or_default()));
    } else if !rows.is_empty() {
        let now = office.clock.now();
        let cells: Vec<[String; 7]> = rows.iter().map(|row| cells(row, now)).collect();
        print(Table::fit(TITLES, WIDEST, &cells).lines(&cells));
    }
    if rows.is_empty() {
        tell!("no dead letter matches");
    }
    Ok(ExitCode::SUCCESS)
}

/// All that is known of each letter of one job.
pub async fn show(office: &Office, job_id: &JobId, filters: &Filters, json: bool) -> anyhow::Result<ExitCode> {
    let mut found = Vec::new();
    each(office, filters, &mut |letter, summary| {
        if letter.job_id.as_ref() == Some(job_id) {
            found.push(whole(letter, &summary));
        }
    })
    .await?;
    if found.is_empty() {
        tell!("roomsweep: no dead letter of job {job_id} matches");
        return Ok(ExitCode::FAILURE);
    }
    let text = |letter: &Value| if json { letter.to_string() } else { format!("{letter:#}") };
    print(found.iter().map(text));
    Ok(ExitCode::SUCCESS)
}

/// Hands on each letter that matches, within the limit.
async fn each(
    office: &Office,
    filters: &Filters,
    take: &mut (dyn FnMut(&DeadLetter, Summary) + Send),
) -> anyhow::Result<()> {
    let (filter, limit, now) = (filters.filter(), filters.limit(), office.clock.now());
    let mut taken = 0;
    let mut look = |letter: &DeadLetter| {
        let summary = letter.summary();
        if filter.matches(&summary, now) {
            take(letter, summary);
            taken += 1;
        }
        if taken < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    office.look(&mut look).await
}

/// The body is text, or else base64.
fn whole(letter: &DeadLetter, summary: &Summary) -> Value {
    let mut all = serde_json::to_value(summary).unwrap_or_default();
    match std::str::from_utf8(&letter.body) {
        Ok(text) => all["body"] = text.into(),
        Err(_) => all["body_base64"] = STANDARD.encode(&letter.body).into(),
    }
    all["last_run"] = serde_json::to_value(&letter.last_run).unwrap_or_default();
    all["properties"] = letter.properties.clone();
    all
}

fn cells(row: &Summary, now: Timestamp) -> [String; 7] {
    [
        or_dash(row.job_id.as_ref()),
        or_dash(row.provider.as_ref()),
        or_dash(row.outcome.as_ref()),
        or_dash(row.room_id.as_ref()),
        or_dash(row.batch_id.as_ref()),
        row.settled_at.map_or_else(|| "?".to_owned(), |at| age(now.duration_since(at).as_secs())),
        row.error.clone(),
    ]
}
