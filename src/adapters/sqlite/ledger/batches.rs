//! Batches: what was told of them, and how they stand.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::adapters::sqlite::fault::Broken;
use crate::adapters::sqlite::row::{nanoseconds, number_of, timestamp};
use crate::model::ids::{BatchId, ProviderName};
use crate::model::ledger::{Act, Batch, NewBatch, Part, RECENT};
use crate::model::result::Outcome;
use crate::ports::ledger::Heard;

/// What was known stays; what was missing is added.
pub async fn register(connection: &mut SqliteConnection, batch: &NewBatch) -> Result<(), Broken> {
    let told = "INSERT INTO batch (id, size, created_at) VALUES (?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET size = coalesce(size, excluded.size)";
    let told = sqlx::query(told).bind(batch.id.as_str()).bind(batch.size.map(number_of));
    told.bind(nanoseconds(batch.at)).execute(&mut *connection).await?;
    for part in &batch.parts {
        let told = "INSERT INTO batch_part (batch_id, provider, lane, jobs) VALUES (?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET jobs = coalesce(jobs, excluded.jobs)";
        let told = sqlx::query(told).bind(batch.id.as_str()).bind(part.provider.as_str()).bind(part.lane.as_str());
        told.bind(part.jobs.map(number_of)).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Results of a batch came, the first and the last of them at these times; nobody need have told of it.
pub async fn settled(
    connection: &mut SqliteConnection,
    batch: &BatchId,
    (first, last): (Timestamp, Timestamp),
) -> Result<(), Broken> {
    let span = "INSERT INTO batch (id, created_at, first_settled_at, last_settled_at) VALUES (?1, ?2, ?2, ?3)
        ON CONFLICT (id) DO UPDATE SET
            first_settled_at = min(coalesce(first_settled_at, excluded.first_settled_at), excluded.first_settled_at),
            last_settled_at = max(coalesce(last_settled_at, excluded.last_settled_at), excluded.last_settled_at)";
    let span = sqlx::query(span).bind(batch.as_str()).bind(nanoseconds(first)).bind(nanoseconds(last));
    span.execute(connection).await?;
    Ok(())
}

/// Counts jobs to a batch, or off it.
pub async fn count(
    connection: &mut SqliteConnection,
    batch: &BatchId,
    provider: Option<&ProviderName>,
    outcome: Outcome,
    change: i64,
) -> Result<(), Broken> {
    let count = "INSERT INTO batch_tally (batch_id, provider, outcome, jobs) VALUES (?, ?, ?, ?)
        ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs";
    let count = sqlx::query(count).bind(batch.as_str()).bind(provider.map_or("", |name| name.as_str()));
    count.bind(outcome.as_str()).bind(change).execute(connection).await?;
    Ok(())
}

/// A batch that nobody heard of is kept too, so that its jobs end as they surface.
pub async fn cancel(connection: &mut SqliteConnection, id: &BatchId, act: &Act) -> Result<Heard, Broken> {
    let heard = "UPDATE batch SET cancelled_by = iif(cancelled_at IS NULL, ?2, cancelled_by),
            cancelled_why = iif(cancelled_at IS NULL, ?3, cancelled_why), cancelled_at = coalesce(cancelled_at, ?4)
        WHERE id = ?1";
    let unheard =
        "INSERT INTO batch (id, cancelled_by, cancelled_why, cancelled_at, created_at) VALUES (?1, ?2, ?3, ?4, ?4)";
    for (statement, told) in [(heard, Heard::Before), (unheard, Heard::Never)] {
        let cancel = sqlx::query(statement).bind(id.as_str()).bind(&act.by).bind(&act.why).bind(nanoseconds(act.at));
        if cancel.execute(&mut *connection).await?.rows_affected() > 0 {
            return Ok(told);
        }
    }
    Err(Broken::unreadable("a batch", &"it is neither there nor to be added"))
}

/// One statement, for the counts of a batch and its rows must be of one moment. `?1` is how long "recent" is.
const BATCH: &str = "SELECT *,
    (SELECT json_group_array(json_object('provider', provider, 'lane', lane, 'jobs', jobs))
        FROM (SELECT * FROM batch_part WHERE batch_id = batch.id ORDER BY provider, lane DESC)) AS parts,
    (SELECT json_group_array(json_array(provider, outcome, jobs))
        FROM batch_tally WHERE batch_id = batch.id AND jobs > 0) AS tally,
    (SELECT count(DISTINCT job_id) FROM entry
        WHERE batch_id = batch.id AND settled_at > batch.last_settled_at - ?1) AS recent
    FROM batch";

pub async fn newest(connection: &mut SqliteConnection, most: u32) -> Result<Vec<Batch>, Broken> {
    let newest = format!("{BATCH} ORDER BY created_at DESC, id DESC LIMIT ?2");
    let rows = sqlx::query(&newest).bind(recent()).bind(most).fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

pub async fn one(connection: &mut SqliteConnection, id: &BatchId) -> Result<Option<Batch>, Broken> {
    let one = format!("{BATCH} WHERE id = ?2");
    let row = sqlx::query(&one).bind(recent()).bind(id.as_str()).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}

fn recent() -> i64 {
    i64::try_from(RECENT.as_nanos()).unwrap_or(i64::MAX)
}

fn read(row: &SqliteRow) -> Result<Batch, Broken> {
    let failed = |error: &dyn std::fmt::Display| Broken::unreadable("a batch", error);
    let parts: Vec<Part> = serde_json::from_str(row.try_get("parts")?).map_err(|error| failed(&error))?;
    let moment = |column: &str| row.try_get::<Option<i64>, _>(column).map(|moment| moment.map(timestamp));
    let cancelled = match (moment("cancelled_at")?, row.try_get("cancelled_by")?) {
        (Some(at), Some(by)) => Some(Act { by, why: row.try_get("cancelled_why")?, at }),
        _ => None,
    };
    let mut batch = Batch {
        id: BatchId::parse(row.try_get::<String, _>("id")?).map_err(|error| failed(&error))?,
        size: row.try_get::<Option<i64>, _>("size")?.map(i64::unsigned_abs),
        parts,
        created_at: timestamp(row.try_get("created_at")?),
        cancelled,
        settled: BTreeMap::new(),
        settled_by_provider: BTreeMap::new(),
        first_settled_at: moment("first_settled_at")?,
        last_settled_at: moment("last_settled_at")?,
        recent: row.try_get::<i64, _>("recent")?.unsigned_abs(),
    };
    let tally: Vec<(String, Outcome, u64)> =
        serde_json::from_str(row.try_get("tally")?).map_err(|error| failed(&error))?;
    for (provider, outcome, jobs) in tally {
        *batch.settled.entry(outcome).or_default() += jobs;
        if !provider.is_empty() {
            let provider = ProviderName::parse(provider).map_err(|error| failed(&error))?;
            *batch.settled_by_provider.entry(provider).or_default() += jobs;
        }
    }
    Ok(batch)
}
