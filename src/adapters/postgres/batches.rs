//! Batches: what is told of them, and how they stand.

use std::collections::BTreeMap;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, QueryBuilder, Row};

use super::fault::Trouble;
use super::row::{count, json, moment, nanoseconds, read};
use crate::model::ids::{BatchId, ProviderName};
use crate::model::job::Lane;
use crate::model::ledger::{Act, Batch, NewBatch, Part, RECENT};
use crate::model::result::Outcome;
use crate::ports::ledger::Heard;

pub async fn register(connection: &mut PgConnection, batch: &NewBatch) -> Result<(), Trouble> {
    let mut parts: BTreeMap<(&str, &str), Option<i64>> = BTreeMap::new();
    for part in &batch.parts {
        let jobs = parts.entry((part.provider.as_str(), part.lane.as_str())).or_default();
        *jobs = jobs.or(part.jobs.map(count));
    }
    sqlx::query(
        "WITH told AS (
             INSERT INTO batch (batch_id, size, created_at) VALUES ($1, $2, $3)
             ON CONFLICT (batch_id) DO UPDATE SET size = COALESCE(batch.size, EXCLUDED.size)
         )
         INSERT INTO batch_part (batch_id, provider, lane, jobs)
         SELECT $1, * FROM UNNEST($4::text[], $5::text[], $6::bigint[])
         ON CONFLICT (batch_id, provider, lane) DO UPDATE SET jobs = COALESCE(batch_part.jobs, EXCLUDED.jobs)",
    )
    .bind(batch.id.as_str())
    .bind(batch.size.map(count))
    .bind(nanoseconds(batch.at))
    .bind(parts.keys().map(|(provider, _)| *provider).collect::<Vec<_>>())
    .bind(parts.keys().map(|(_, lane)| *lane).collect::<Vec<_>>())
    .bind(parts.values().copied().collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Tells by `xmax` whether the row is new: that of one that was there is set.
pub async fn cancel(connection: &mut PgConnection, id: &BatchId, act: &Act) -> Result<Heard, Trouble> {
    let new: bool = sqlx::query_scalar(
        "INSERT INTO batch (batch_id, created_at, cancelled_at, cancelled) VALUES ($1, $2, $2, $3)
         ON CONFLICT (batch_id) DO UPDATE SET
             cancelled_at = COALESCE(batch.cancelled_at, EXCLUDED.cancelled_at),
             cancelled = COALESCE(batch.cancelled, EXCLUDED.cancelled)
         RETURNING xmax = 0",
    )
    .bind(id.as_str())
    .bind(nanoseconds(act.at))
    .bind(json(act))
    .fetch_one(connection)
    .await?;
    Ok(if new { Heard::Never } else { Heard::Before })
}

pub async fn newest(connection: &mut PgConnection, most: u32) -> Result<Vec<Batch>, Trouble> {
    let mut query = standing();
    query.push(" ORDER BY created_at DESC, batch_id DESC LIMIT ").push(most);
    query.build().fetch_all(connection).await?.iter().map(batch).collect()
}

pub async fn one(connection: &mut PgConnection, id: &BatchId) -> Result<Option<Batch>, Trouble> {
    let mut query = standing();
    query.push(" WHERE batch_id = ").push_bind(id.as_str());
    query.build().fetch_optional(connection).await?.as_ref().map(batch).transpose()
}

/// One statement, so that all of it is of one moment.
fn standing<'a>() -> QueryBuilder<'a, Postgres> {
    let recent = RECENT.as_nanos();
    QueryBuilder::new(format!(
        "SELECT batch_id, size, created_at, cancelled, first_settled_at, last_settled_at,
             (SELECT count(*) FROM entry
                 WHERE entry.batch_id = batch.batch_id AND settled_at > last_settled_at - {recent}) AS recent,
             (SELECT json_agg(json_build_array(provider, lane, jobs))::text FROM batch_part
                 WHERE batch_part.batch_id = batch.batch_id) AS parts,
             (SELECT json_agg(json_build_array(provider, outcome, jobs))::text FROM batch_tally
                 WHERE batch_tally.batch_id = batch.batch_id AND jobs > 0) AS tally
         FROM batch"
    ))
}

fn batch(row: &PgRow) -> Result<Batch, Trouble> {
    let at = |column: &str| row.try_get::<Option<i64>, _>(column).map(|at| at.map(moment));
    let text = |column: &str| row.try_get::<Option<String>, _>(column);
    let cancelled = text("cancelled")?.map(|act| read::<Act>("who cancelled a batch", &act)).transpose()?;
    let mut parts: Vec<(ProviderName, Lane, Option<u64>)> = list("the parts of a batch", text("parts")?)?;
    parts.sort();
    let mut batch = Batch {
        id: BatchId::parse(row.try_get::<String, _>("batch_id")?)
            .map_err(|error| Trouble::Unreadable("the ID of a batch", error.to_string()))?,
        size: row.try_get::<Option<i64>, _>("size")?.map(jobs),
        parts: parts.into_iter().map(|(provider, lane, jobs)| Part { provider, lane, jobs }).collect(),
        created_at: moment(row.try_get("created_at")?),
        cancelled,
        settled: BTreeMap::new(),
        settled_by_provider: BTreeMap::new(),
        first_settled_at: at("first_settled_at")?,
        last_settled_at: at("last_settled_at")?,
        recent: jobs(row.try_get("recent")?),
    };
    let tally: Vec<(String, Outcome, u64)> = list("the counts of a batch", text("tally")?)?;
    for (provider, outcome, jobs) in tally {
        *batch.settled.entry(outcome).or_default() += jobs;
        if let Ok(provider) = ProviderName::parse(provider) {
            *batch.settled_by_provider.entry(provider).or_default() += jobs;
        }
    }
    Ok(batch)
}

/// NULL where there is none.
fn list<T: serde::de::DeserializeOwned>(what: &'static str, json: Option<String>) -> Result<Vec<T>, Trouble> {
    json.map_or(Ok(Vec::new()), |json| read(what, &json))
}

fn jobs(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}
