//! Writing results down, and counting them.

use sqlx::SqliteConnection;

use super::batches;
use crate::adapters::sqlite::fault::Broken;
use crate::adapters::sqlite::row::nanoseconds;
use crate::model::ledger_plan::Plan;
use crate::model::result::DismissResult;

const ENTRY: &str = "INSERT OR REPLACE INTO entry
    (job_id, run, batch_id, provider, app_id, room_id, outcome, settled_at, result) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Replaces what is there: a run that is joined has no fewer.
const ATTEMPT: &str = "INSERT OR REPLACE INTO attempt
    (job_id, run, nr, at, request_id, verdict, http_status, duration_ms, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Keeps the results in the transaction that is open, and counts them to their batches. Repeated ones change nothing.
pub async fn record(connection: &mut SqliteConnection, results: &[DismissResult]) -> Result<(), Broken> {
    let plan = Plan::of(known(connection, results).await?, results);
    for result in &plan.write {
        entry(connection, result).await?;
        attempts(connection, result).await?;
    }
    for (batch, span) in &plan.spans {
        batches::settled(connection, batch, *span).await?;
    }
    for ((batch, provider, outcome), change) in &plan.tally {
        batches::count(connection, batch, provider.as_ref(), *outcome, *change).await?;
    }
    Ok(())
}

/// Every run that is there of the jobs of these results. One that cannot be read counts as absent: it must not keep others from
/// being settled.
async fn known(connection: &mut SqliteConnection, results: &[DismissResult]) -> Result<Vec<DismissResult>, Broken> {
    let jobs: Vec<&str> = results.iter().map(|result| result.job_id.as_str()).collect();
    let runs = "SELECT job_id, result FROM entry WHERE job_id IN (SELECT value FROM json_each(?))";
    let runs = sqlx::query_as::<_, (String, String)>(runs).bind(json(&jobs)?).fetch_all(connection).await?;
    let mut known = Vec::with_capacity(runs.len());
    for (job_id, result) in &runs {
        match read(result) {
            Ok(result) => known.push(result),
            Err(error) => tracing::warn!(%error, job_id, "a row of the ledger counts as absent"),
        }
    }
    Ok(known)
}

async fn entry(connection: &mut SqliteConnection, result: &DismissResult) -> Result<(), Broken> {
    let insert = sqlx::query(ENTRY)
        .bind(result.job_id.as_str())
        .bind(result.run)
        .bind(result.batch_id.as_ref().map(|id| id.as_str()))
        .bind(result.provider.as_ref().map(|id| id.as_str()))
        .bind(result.app_id.as_ref().map(|id| id.as_str()))
        .bind(result.room_id.as_ref().map(|id| id.as_str()))
        .bind(result.outcome.as_str())
        .bind(nanoseconds(result.settled_at))
        .bind(json(result)?);
    insert.execute(connection).await?;
    Ok(())
}

async fn attempts(connection: &mut SqliteConnection, result: &DismissResult) -> Result<(), Broken> {
    for (nr, attempt) in (0_i64..).zip(&result.attempt_log) {
        let insert = sqlx::query(ATTEMPT)
            .bind(result.job_id.as_str())
            .bind(result.run)
            .bind(nr)
            .bind(nanoseconds(attempt.at))
            .bind(attempt.request_id.as_ref().map(|id| id.as_str()))
            .bind(attempt.verdict.as_str())
            .bind(attempt.http_status)
            .bind(i64::try_from(attempt.duration_ms).unwrap_or(i64::MAX))
            .bind(attempt.error.as_ref().map(json).transpose()?);
        insert.execute(&mut *connection).await?;
    }
    Ok(())
}

pub fn json(value: &impl serde::Serialize) -> Result<String, Broken> {
    serde_json::to_string(value).map_err(|error| Broken::unreadable("what is to be kept", &error))
}

/// A result as it stands in an entry.
pub fn read(json: &str) -> Result<DismissResult, Broken> {
    serde_json::from_str(json).map_err(|error| Broken::unreadable("a result", &error))
}
