//! What is older than it is to be kept.

use sqlx::{Connection, PgConnection};

use super::fault::Trouble;
use super::record::be_the_writer;
use super::row::nanoseconds;
use crate::ports::ledger::Horizon;

/// Batches go when no more results do: all old ones have to be looked at, which others wait for.
pub async fn forget(connection: &mut PgConnection, horizon: Horizon, most: u32) -> Result<u64, Trouble> {
    let mut transaction = connection.begin().await?;
    be_the_writer(&mut transaction).await?;
    let results = results(&mut transaction, nanoseconds(horizon.results), most).await?;
    let results = u64::try_from(results).unwrap_or_default();
    let batches = if results < u64::from(most) { batches(&mut transaction, horizon, most).await? } else { 0 };
    transaction.commit().await?;
    Ok(results.max(batches))
}

/// The oldest first, with their attempts.
async fn results(connection: &mut PgConnection, before: i64, most: u32) -> Result<i64, Trouble> {
    let gone = sqlx::query_scalar(
        "WITH gone AS (
             DELETE FROM entry WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM entry WHERE settled_at < $1 ORDER BY settled_at LIMIT $2))
             RETURNING job_id, run
         ), attempts AS (
             DELETE FROM attempt USING gone WHERE attempt.job_id = gone.job_id AND attempt.run = gone.run
         )
         SELECT count(*) FROM gone",
    )
    .bind(before)
    .bind(i64::from(most))
    .fetch_one(connection)
    .await?;
    Ok(gone)
}

/// Those of which nothing is left and to which nothing happened since. One whose size is known and not reached is not over:
/// its jobs may wait for longer than results are kept. `GREATEST` passes over what is NULL.
async fn batches(connection: &mut PgConnection, horizon: Horizon, most: u32) -> Result<u64, Trouble> {
    let gone = sqlx::query(
        "DELETE FROM batch WHERE batch_id = ANY (ARRAY(
             SELECT batch_id FROM batch
             WHERE created_at < $1
                 AND CASE WHEN cancelled_at IS NOT NULL AND size IS NULL
                     THEN GREATEST(created_at, last_settled_at, cancelled_at) < $2 AND NOT EXISTS (SELECT FROM pause)
                     ELSE GREATEST(created_at, last_settled_at, cancelled_at) < $1 END
                 AND COALESCE(size <= (
                     SELECT COALESCE(sum(jobs), 0) FROM batch_tally WHERE batch_tally.batch_id = batch.batch_id), TRUE)
                 AND NOT EXISTS (SELECT FROM entry WHERE entry.batch_id = batch.batch_id)
             LIMIT $3))",
    )
    .bind(nanoseconds(horizon.results))
    .bind(nanoseconds(horizon.cancels))
    .bind(i64::from(most))
    .execute(connection)
    .await?;
    Ok(gone.rows_affected())
}
