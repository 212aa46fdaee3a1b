//! Looking results up.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::record::{json, read};
use crate::adapters::sqlite::fault::Broken;
use crate::adapters::sqlite::row::nanoseconds;
use crate::model::ids::JobId;
use crate::model::ledger::{Cursor, HistoryFilter};
use crate::model::result::{DismissResult, Outcome};

/// The result of the last run of each of these jobs that has one. Beside `max`, SQLite tells the row that has it.
pub async fn settled(connection: &mut SqliteConnection, jobs: &[JobId]) -> Result<Vec<DismissResult>, Broken> {
    let last = "SELECT result, max(run) FROM entry WHERE job_id IN (SELECT value FROM json_each(?)) GROUP BY job_id";
    let rows = sqlx::query_as::<_, (String, i64)>(last).bind(json(&jobs)?).fetch_all(connection).await?;
    rows.iter().map(|(result, _)| read(result)).collect()
}

/// The last settled first, at most `most`, those behind `after`.
pub async fn page(
    connection: &mut SqliteConnection,
    filter: &HistoryFilter,
    after: Option<&Cursor>,
    most: u32,
) -> Result<Vec<DismissResult>, Broken> {
    let mut query = question(filter, after, most);
    let rows = query.build_query_scalar::<String>().fetch_all(connection).await?;
    rows.iter().map(|result| read(result)).collect()
}

/// Which index is followed: whatever leaves the fewest rows. What else is asked for is written so that none fits it, for
/// SQLite would have to guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lead {
    RequestId,
    Job,
    Room,
    Batch,
    /// Outcomes that are rare.
    Outcome,
    App,
    Provider,
    Recent,
}

fn lead(filter: &HistoryFilter) -> Lead {
    if filter.request_id.is_some() {
        Lead::RequestId
    } else if filter.job.is_some() {
        Lead::Job
    } else if filter.room.is_some() {
        Lead::Room
    } else if filter.batch.is_some() {
        Lead::Batch
    } else if !filter.outcomes.is_empty() && !filter.outcomes.contains(&Outcome::Dismissed) {
        Lead::Outcome
    } else if filter.app.is_some() {
        Lead::App
    } else if filter.provider.is_some() {
        Lead::Provider
    } else {
        Lead::Recent
    }
}

/// All that the page costs: one statement.
pub fn question(filter: &HistoryFilter, after: Option<&Cursor>, most: u32) -> QueryBuilder<'static, Sqlite> {
    let mut query = QueryBuilder::new("");
    let outcomes: Vec<Option<Outcome>> = match lead(filter) {
        Lead::Outcome => filter.outcomes.iter().collect::<BTreeSet<_>>().into_iter().copied().map(Some).collect(),
        Lead::RequestId | Lead::Job | Lead::Room | Lead::Batch | Lead::App | Lead::Provider | Lead::Recent => {
            vec![None]
        }
    };
    // Of several outcomes each has its own order: the first of all are among the first of each.
    query.push("SELECT result FROM (");
    for (nr, outcome) in outcomes.into_iter().enumerate() {
        query.push(if nr == 0 { "" } else { " UNION ALL " });
        query.push("SELECT * FROM (SELECT settled_at, job_id, run, result FROM entry WHERE ");
        conditions(&mut query, filter, outcome, after);
        query.push(" ORDER BY settled_at DESC, job_id DESC, run DESC LIMIT ").push_bind(most).push(")");
    }
    query.push(") ORDER BY settled_at DESC, job_id DESC, run DESC LIMIT ").push_bind(most);
    query
}

fn conditions(
    query: &mut QueryBuilder<'static, Sqlite>,
    filter: &HistoryFilter,
    outcome: Option<Outcome>,
    after: Option<&Cursor>,
) {
    let lead = lead(filter);
    let column = |name: &'static str, of: Lead| if lead == of { String::from(name) } else { format!("+{name}") };
    let is = |query: &mut QueryBuilder<'static, Sqlite>, name: &str, value: &str| {
        query.push(" AND ").push(name).push(" = ").push_bind(value.to_owned());
    };
    query.push("1");
    if let Some(id) = &filter.request_id {
        query.push(" AND (job_id, run) IN (SELECT job_id, run FROM attempt WHERE request_id = ");
        query.push_bind(id.as_str().to_owned()).push(")");
    }
    if let Some(job) = &filter.job {
        is(query, &column("job_id", Lead::Job), job.as_str());
    }
    if let Some(room) = &filter.room {
        is(query, &column("room_id", Lead::Room), room.as_str());
    }
    if let Some(batch) = &filter.batch {
        is(query, &column("batch_id", Lead::Batch), batch.as_str());
    }
    if let Some(provider) = &filter.provider {
        is(query, &column("provider", Lead::Provider), provider.as_str());
    }
    if let Some(app) = &filter.app {
        is(query, &column("app_id", Lead::App), app.as_str());
    }
    match outcome {
        // The words of the index, so that SQLite knows that it holds them all.
        Some(outcome) => is(query, "outcome <> 'dismissed' AND outcome", outcome.as_str()),
        None if filter.outcomes.is_empty() => {}
        None => among(query, &filter.outcomes),
    }
    times(query, lead, filter, after);
}

fn among(query: &mut QueryBuilder<'static, Sqlite>, outcomes: &[Outcome]) {
    query.push(" AND +outcome IN (");
    let mut list = query.separated(", ");
    for outcome in outcomes {
        list.push_bind(outcome.as_str());
    }
    query.push(")");
}

/// Where few rows are looked at, an index on times would only mislead.
fn times(query: &mut QueryBuilder<'static, Sqlite>, lead: Lead, filter: &HistoryFilter, after: Option<&Cursor>) {
    let settled_at = match lead {
        Lead::RequestId | Lead::Job => "+settled_at",
        Lead::Room | Lead::Batch | Lead::Outcome | Lead::App | Lead::Provider | Lead::Recent => "settled_at",
    };
    let at = |query: &mut QueryBuilder<'static, Sqlite>, comparison: &str, moment: Timestamp| {
        query.push(" AND ").push(settled_at).push(comparison).push_bind(nanoseconds(moment));
    };
    if let Some(since) = filter.since {
        at(query, " >= ", since);
    }
    if let Some(until) = filter.until {
        at(query, " < ", until);
    }
    if let Some(cursor) = after {
        at(query, " <= ", cursor.settled_at);
        query.push(" AND (+settled_at, +job_id, +run) < (").push_bind(nanoseconds(cursor.settled_at));
        query.push(", ").push_bind(cursor.job.as_str().to_owned());
        query.push(", ").push_bind(cursor.run).push(")");
    }
}
