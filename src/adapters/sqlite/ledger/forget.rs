//! Retention: what is old goes, in small steps.

use sqlx::SqliteConnection;

use crate::adapters::sqlite::fault::Broken;
use crate::adapters::sqlite::row::{milliseconds, nanoseconds};
use crate::ports::ledger::Horizon;

const ATTEMPTS: &str = "DELETE FROM attempt WHERE (job_id, run) IN
    (SELECT job_id, run FROM entry WHERE settled_at < ?1 ORDER BY settled_at, rowid LIMIT ?2)";

const ENTRIES: &str = "DELETE FROM entry WHERE rowid IN
    (SELECT rowid FROM entry WHERE settled_at < ?1 ORDER BY settled_at, rowid LIMIT ?2)";

/// One that is known to have more jobs than are over stays: they may wait for a time that is far off. `max` is NULL where one
/// of its values is. `?3` is the horizon of those that were cancelled and of whose size nothing is known.
const BATCHES: &str = "DELETE FROM batch WHERE id IN (SELECT id FROM batch WHERE created_at < ?1
    AND max(created_at, coalesce(last_settled_at, created_at), coalesce(cancelled_at, created_at))
        < iif(cancelled_at IS NOT NULL AND size IS NULL, ?3, ?1)
    AND (cancelled_at IS NULL OR size IS NOT NULL OR NOT EXISTS (SELECT 1 FROM pause))
    AND NOT EXISTS (SELECT 1 FROM entry WHERE batch_id = batch.id)
    AND coalesce(size, 0) <= (SELECT coalesce(sum(jobs), 0) FROM batch_tally WHERE batch_id = batch.id) LIMIT ?2)
    RETURNING id";

/// Where there is a queue in the file, it needs the results of the sweeps that are at work. They stand in the order of
/// settling: who looks at the first ones needs no index, which would cost every job.
const RESULTS: &str = "DELETE FROM result WHERE settled_at < ?1 AND seq IN
    (SELECT seq FROM result WHERE tag IS NULL OR tag NOT IN (SELECT tag FROM sweep WHERE finished_at IS NULL)
     ORDER BY seq LIMIT ?2)";

/// Forgets at most `most` results, here and in the queue, and batches when no more results go: all old ones have to be looked
/// at.
pub async fn forget(connection: &mut SqliteConnection, horizon: Horizon, most: u32) -> Result<u64, Broken> {
    let before = horizon.results;
    sqlx::query(ATTEMPTS).bind(nanoseconds(before)).bind(most).execute(&mut *connection).await?;
    let entries = sqlx::query(ENTRIES).bind(nanoseconds(before)).bind(most).execute(&mut *connection).await?;
    let results = sqlx::query(RESULTS).bind(milliseconds(before)).bind(most).execute(&mut *connection).await?;
    let results = entries.rows_affected().max(results.rows_affected());
    Ok(if results < u64::from(most) { results.max(batches(connection, horizon, most).await?) } else { results })
}

async fn batches(connection: &mut SqliteConnection, horizon: Horizon, most: u32) -> Result<u64, Broken> {
    let gone = sqlx::query_scalar::<_, String>(BATCHES).bind(nanoseconds(horizon.results)).bind(most);
    let gone = gone.bind(nanoseconds(horizon.cancels)).fetch_all(&mut *connection).await?;
    for batch in &gone {
        for rest in ["DELETE FROM batch_part WHERE batch_id = ?", "DELETE FROM batch_tally WHERE batch_id = ?"] {
            sqlx::query(rest).bind(batch).execute(&mut *connection).await?;
        }
    }
    Ok(gone.len() as u64)
}

/// Each statement and the index that it must follow.
#[cfg(test)]
pub const STATEMENTS: [(&str, &str); 6] = [
    (ATTEMPTS, "entry_recent"),
    (ATTEMPTS, "PRIMARY KEY"),
    (ENTRIES, "entry_recent"),
    (BATCHES, "batch_newest"),
    (BATCHES, "entry_batch"),
    (RESULTS, "INTEGER PRIMARY KEY"),
];
