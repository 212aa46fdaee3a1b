//! Putting jobs in.

use jiff::Timestamp;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::fault;
use super::row::{number, turn};
use crate::model::job::DismissJob;
use crate::ports::broker::BrokerError;

/// So many go into one statement; no more of them are in memory as JSON at a time.
const CHUNK: usize = 256;

/// Adds the jobs, in their order, to the transaction that is open.
pub async fn insert(
    connection: &mut SqliteConnection,
    jobs: &[DismissJob],
    tag: Option<&str>,
    now: Timestamp,
) -> Result<(), BrokerError> {
    for chunk in jobs.chunks(CHUNK) {
        let mut bodies = Vec::with_capacity(chunk.len());
        for job in chunk {
            bodies.push(serde_json::to_vec(job).map_err(|error| BrokerError::Refused(error.to_string()))?);
        }
        let mut insert: QueryBuilder<'_, Sqlite> =
            QueryBuilder::new("INSERT INTO job (provider, lane, rank, available_at, job_id, tag, body) ");
        insert.push_values(chunk.iter().zip(bodies), |mut row, (job, body)| {
            let (available_at, rank) = turn(job.not_before, now);
            row.push_bind(job.provider.as_str())
                .push_bind(number(job.lane))
                .push_bind(rank.number())
                .push_bind(available_at)
                .push_bind(job.job_id.as_str())
                .push_bind(tag)
                .push_bind(body);
        });
        insert.build().execute(&mut *connection).await.map_err(|error| fault::broker(&error))?;
    }
    Ok(())
}
