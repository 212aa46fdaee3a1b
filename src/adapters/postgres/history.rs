//! What is found of the past.

use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::fault::Trouble;
use super::row::{nanoseconds, read};
use crate::model::ids::JobId;
use crate::model::ledger::{Cursor, HistoryFilter};
use crate::model::result::DismissResult;

pub async fn settled(connection: &mut PgConnection, jobs: &[JobId]) -> Result<Vec<DismissResult>, Trouble> {
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT ON (job_id) result FROM entry WHERE job_id = ANY($1) ORDER BY job_id, run DESC",
    )
    .bind(jobs.iter().map(JobId::as_str).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    found.iter().map(|json| read("a result", json)).collect()
}

pub async fn history(
    connection: &mut PgConnection,
    filter: &HistoryFilter,
    after: Option<&Cursor>,
    most: u32,
) -> Result<Vec<DismissResult>, Trouble> {
    let mut query = question(filter, after, most);
    let found: Vec<String> = query.build_query_scalar().fetch_all(connection).await?;
    found.iter().map(|json| read("a result", json)).collect()
}

/// Whatever is asked for, an index finds it or gives the order; nothing has to be sorted that is not on the page.
fn question<'a>(filter: &'a HistoryFilter, after: Option<&'a Cursor>, most: u32) -> QueryBuilder<'a, Postgres> {
    let HistoryFilter { provider, app, room, batch, job, request_id, outcomes, since, until } = filter;
    let mut query = QueryBuilder::new("");
    match request_id {
        // Few, and found first: from the order of time nothing leads to them.
        Some(request_id) => query
            .push("WITH hit AS MATERIALIZED (SELECT DISTINCT job_id, run FROM attempt WHERE request_id = ")
            .push_bind(request_id.as_str())
            .push(") SELECT result FROM hit JOIN entry USING (job_id, run)"),
        None => query.push("SELECT result FROM entry"),
    };
    query.push(" WHERE TRUE");
    let texts = [
        (" AND provider = ", provider.as_ref().map(|name| name.as_str())),
        (" AND app_id = ", app.as_ref().map(|id| id.as_str())),
        (" AND room_id = ", room.as_ref().map(|id| id.as_str())),
        (" AND batch_id = ", batch.as_ref().map(|id| id.as_str())),
        (" AND job_id = ", job.as_ref().map(|id| id.as_str())),
    ];
    for (condition, text) in texts {
        if let Some(text) = text {
            query.push(condition).push_bind(text);
        }
    }
    if !outcomes.is_empty() {
        // Written out, so that the index of all but the dismissed is seen to hold them.
        let outcomes: Vec<String> = outcomes.iter().map(|outcome| format!("'{outcome}'")).collect();
        query.push(" AND outcome IN (").push(outcomes.join(", ")).push(")");
    }
    if let Some(since) = since {
        query.push(" AND settled_at >= ").push_bind(nanoseconds(*since));
    }
    if let Some(until) = until {
        query.push(" AND settled_at < ").push_bind(nanoseconds(*until));
    }
    if let Some(Cursor { settled_at, job, run }) = after {
        query.push(" AND (settled_at, job_id, run) < (").push_bind(nanoseconds(*settled_at));
        query.push(", ").push_bind(job.as_str()).push(", ").push_bind(i64::from(*run)).push(")");
    }
    query.push(" ORDER BY settled_at DESC, job_id DESC, run DESC LIMIT ").push(most);
    query
}
