//! A group of results, in one transaction.

use std::collections::BTreeSet;

use sqlx::{Connection, PgConnection};

use super::fault::Trouble;
use super::row::{count, json, nanoseconds, read};
use crate::model::ids::JobId;
use crate::model::ledger_plan::Plan;
use crate::model::progress::AttemptRecord;
use crate::model::result::DismissResult;

/// One at a time plans and writes: what is known of a job must not change before it is written. Any number; ours.
const WRITER: i64 = 0x726f_6f6d;

/// Waits until nobody else writes; until the end of the transaction nobody will.
pub async fn be_the_writer(transaction: &mut PgConnection) -> Result<(), Trouble> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(WRITER).execute(transaction).await?;
    Ok(())
}

pub async fn record(connection: &mut PgConnection, results: &[DismissResult]) -> Result<(), Trouble> {
    if results.is_empty() {
        return Ok(());
    }
    let mut transaction = connection.begin().await?;
    be_the_writer(&mut transaction).await?;
    let known = known(&mut transaction, results).await?;
    let there: BTreeSet<(JobId, u32)> = known.iter().map(|result| (result.job_id.clone(), result.run)).collect();
    let plan = Plan::of(known, results);
    write_entries(&mut transaction, &plan.write).await?;
    let is_there = |result: &&DismissResult| there.contains(&(result.job_id.clone(), result.run));
    let replaced: Vec<&DismissResult> = plan.write.iter().filter(is_there).collect();
    if !replaced.is_empty() {
        drop_attempts(&mut transaction, &replaced).await?;
    }
    write_attempts(&mut transaction, &plan.write).await?;
    if !plan.spans.is_empty() {
        write_spans(&mut transaction, &plan).await?;
    }
    if !plan.tally.is_empty() {
        write_tally(&mut transaction, &plan).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Every run that there is of these jobs.
async fn known(connection: &mut PgConnection, results: &[DismissResult]) -> Result<Vec<DismissResult>, Trouble> {
    let jobs: BTreeSet<&str> = results.iter().map(|result| result.job_id.as_str()).collect();
    let jobs: Vec<&str> = jobs.into_iter().collect();
    let found: Vec<String> =
        sqlx::query_scalar("SELECT result FROM entry WHERE job_id = ANY($1)").bind(jobs).fetch_all(connection).await?;
    found.iter().map(|json| read("a result", json)).collect()
}

async fn write_entries(connection: &mut PgConnection, results: &[DismissResult]) -> Result<(), Trouble> {
    let column = |of: fn(&DismissResult) -> Option<&str>| results.iter().map(of).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO entry (job_id, run, batch_id, provider, app_id, room_id, outcome, settled_at, result)
         SELECT * FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                              $8::bigint[], $9::text[])
         ON CONFLICT (job_id, run) DO UPDATE SET
             batch_id = EXCLUDED.batch_id, provider = EXCLUDED.provider, app_id = EXCLUDED.app_id,
             room_id = EXCLUDED.room_id, outcome = EXCLUDED.outcome, settled_at = EXCLUDED.settled_at,
             result = EXCLUDED.result",
    )
    .bind(column(|result| Some(result.job_id.as_str())))
    .bind(results.iter().map(|result| i64::from(result.run)).collect::<Vec<_>>())
    .bind(column(|result| result.batch_id.as_ref().map(|id| id.as_str())))
    .bind(column(|result| result.provider.as_ref().map(|name| name.as_str())))
    .bind(column(|result| result.app_id.as_ref().map(|id| id.as_str())))
    .bind(column(|result| result.room_id.as_ref().map(|id| id.as_str())))
    .bind(column(|result| Some(result.outcome.as_str())))
    .bind(results.iter().map(|result| nanoseconds(result.settled_at)).collect::<Vec<_>>())
    .bind(results.iter().map(json).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn drop_attempts(connection: &mut PgConnection, results: &[&DismissResult]) -> Result<(), Trouble> {
    sqlx::query(
        "DELETE FROM attempt USING UNNEST($1::text[], $2::bigint[]) AS gone (job_id, run)
         WHERE attempt.job_id = gone.job_id AND attempt.run = gone.run",
    )
    .bind(results.iter().map(|result| result.job_id.as_str()).collect::<Vec<_>>())
    .bind(results.iter().map(|result| i64::from(result.run)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_attempts(connection: &mut PgConnection, results: &[DismissResult]) -> Result<(), Trouble> {
    let attempts: Vec<(&DismissResult, i32, &AttemptRecord)> = results
        .iter()
        .flat_map(|result| (0..).zip(&result.attempt_log).map(move |(n, attempt)| (result, n, attempt)))
        .collect();
    sqlx::query(
        "INSERT INTO attempt (job_id, run, n, at, request_id, verdict, http_status, duration_ms, error)
         SELECT * FROM UNNEST($1::text[], $2::bigint[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::int[],
                              $8::bigint[], $9::text[])",
    )
    .bind(attempts.iter().map(|(result, _, _)| result.job_id.as_str()).collect::<Vec<_>>())
    .bind(attempts.iter().map(|(result, _, _)| i64::from(result.run)).collect::<Vec<_>>())
    .bind(attempts.iter().map(|(_, n, _)| *n).collect::<Vec<_>>())
    .bind(attempts.iter().map(|(_, _, attempt)| nanoseconds(attempt.at)).collect::<Vec<_>>())
    .bind(attempts.iter().map(|(_, _, attempt)| attempt.request_id.as_ref().map(|id| id.as_str())).collect::<Vec<_>>())
    .bind(attempts.iter().map(|(_, _, attempt)| attempt.verdict.as_str()).collect::<Vec<_>>())
    .bind(attempts.iter().map(|(_, _, attempt)| attempt.http_status.map(i32::from)).collect::<Vec<_>>())
    .bind(attempts.iter().map(|(_, _, attempt)| count(attempt.duration_ms)).collect::<Vec<_>>())
    .bind(attempts.iter().map(|(_, _, attempt)| attempt.error.as_ref().map(json)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes the batches that were not heard of before.
async fn write_spans(connection: &mut PgConnection, plan: &Plan) -> Result<(), Trouble> {
    sqlx::query(
        "INSERT INTO batch (batch_id, created_at, first_settled_at, last_settled_at)
         SELECT id, first, first, last FROM UNNEST($1::text[], $2::bigint[], $3::bigint[]) AS span (id, first, last)
         ON CONFLICT (batch_id) DO UPDATE SET
             first_settled_at = LEAST(batch.first_settled_at, EXCLUDED.first_settled_at),
             last_settled_at = GREATEST(batch.last_settled_at, EXCLUDED.last_settled_at)",
    )
    .bind(plan.spans.keys().map(|id| id.as_str()).collect::<Vec<_>>())
    .bind(plan.spans.values().map(|(first, _)| nanoseconds(*first)).collect::<Vec<_>>())
    .bind(plan.spans.values().map(|(_, last)| nanoseconds(*last)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_tally(connection: &mut PgConnection, plan: &Plan) -> Result<(), Trouble> {
    sqlx::query(
        "INSERT INTO batch_tally (batch_id, provider, outcome, jobs)
         SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bigint[])
         ON CONFLICT (batch_id, provider, outcome) DO UPDATE SET jobs = batch_tally.jobs + EXCLUDED.jobs",
    )
    .bind(plan.tally.keys().map(|(id, _, _)| id.as_str()).collect::<Vec<_>>())
    .bind(plan.tally.keys().map(|(_, name, _)| name.as_ref().map_or("", |name| name.as_str())).collect::<Vec<_>>())
    .bind(plan.tally.keys().map(|(_, _, outcome)| outcome.as_str()).collect::<Vec<_>>())
    .bind(plan.tally.values().copied().collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
