//! Dead letters: rows of their own. Nobody has one in hand: who comes second finds it gone.

use std::ops::ControlFlow;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::SqliteConnection;

use super::SqliteQueue;
use super::fault::{broker, unreadable};
use super::row::{number, turn};
use crate::model::dead::{DeadLetter, Mark, Redrive};
use crate::model::ids::JobId;
use crate::model::result::Outcome;
use crate::ports::broker::BrokerError;
use crate::ports::dead::{Count, DeadLetters, Fate, Look, Others, Sorter};

/// So many bodies are in memory at a time.
const PAGE: i64 = 500;

type Row = (i64, String, String, i64, Vec<u8>, String);

/// A change of one row.
enum Change {
    Purge,
    Redrive(Box<Redrive>),
}

impl SqliteQueue {
    /// Walks over what is there now, page by page; nobody is kept from writing meanwhile.
    async fn walk(
        &self,
        step: &mut (dyn FnMut(i64, &DeadLetter) -> ControlFlow<()> + Send),
    ) -> Result<(), BrokerError> {
        let newest = "SELECT coalesce(max(seq), 0) FROM dead";
        let newest: i64 = sqlx::query_scalar(newest).fetch_one(&mut *self.store.read().await?).await.map_err(failed)?;
        let page = "SELECT seq, job_id, outcome, died_at, body, properties FROM dead WHERE seq > ? AND seq <= ?
            ORDER BY seq LIMIT ?";
        let mut after = 0;
        loop {
            let query = sqlx::query_as::<_, Row>(page).bind(after).bind(newest).bind(PAGE);
            let rows = query.fetch_all(&mut *self.store.read().await?).await.map_err(failed)?;
            let Some((last, ..)) = rows.last() else { return Ok(()) };
            after = *last;
            for row in rows {
                let seq = row.0;
                if step(seq, &read(row)?).is_break() {
                    return Ok(());
                }
            }
        }
    }
}

fn failed(error: sqlx::Error) -> BrokerError {
    broker(&error)
}

fn read((seq, job_id, outcome, died_at, body, properties): Row) -> Result<DeadLetter, BrokerError> {
    let mut properties: Value =
        serde_json::from_str(&properties).map_err(|error| unreadable("a dead letter", &error))?;
    let last_run = properties.get_mut("last_run").map(Value::take).unwrap_or_default();
    let error = properties["headers"]["x-error"].as_str().unwrap_or_default().to_owned();
    Ok(DeadLetter {
        mark: Mark(seq.unsigned_abs().into()),
        body,
        job_id: JobId::parse(job_id).ok(),
        outcome: Outcome::ALL.into_iter().find(|known| known.as_str() == outcome),
        error,
        settled_at: Timestamp::from_millisecond(died_at).ok(),
        last_run: serde_json::from_value(last_run).ok(),
        properties,
        unreadable: None,
    })
}

/// Carries out all changes in the transaction that is open; how many letters were still there.
async fn apply(
    connection: &mut SqliteConnection,
    changes: &[(i64, Change)],
    now: Timestamp,
) -> Result<u64, BrokerError> {
    let mut done = 0;
    for (seq, change) in changes {
        if let Change::Redrive(redrive) = change {
            revive(connection, *seq, redrive, now).await?;
        }
        let delete = sqlx::query("DELETE FROM dead WHERE seq = ?").bind(seq);
        done += delete.execute(&mut *connection).await.map_err(failed)?.rows_affected();
    }
    Ok(done)
}

/// No job of its sweep any more: whoever goes on with that would count it twice.
async fn revive(
    connection: &mut SqliteConnection,
    seq: i64,
    redrive: &Redrive,
    now: Timestamp,
) -> Result<(), BrokerError> {
    let progress = serde_json::to_string(&redrive.progress).map_err(|error| BrokerError::Refused(error.to_string()))?;
    let insert = "INSERT INTO job (provider, lane, rank, available_at, job_id, tag, body, progress)
        SELECT ?, ?, ?, ?, job_id, NULL, body, ? FROM dead WHERE seq = ?";
    let job = &redrive.job;
    let (available_at, rank) = turn(job.not_before, now);
    let insert = sqlx::query(insert).bind(job.provider.as_str()).bind(number(job.lane)).bind(rank.number());
    let insert = insert.bind(available_at).bind(progress).bind(seq);
    insert.execute(connection).await.map(drop).map_err(failed)
}

#[async_trait]
impl DeadLetters for SqliteQueue {
    async fn count(&self) -> Result<Count, BrokerError> {
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM dead");
        let letters = count.fetch_one(&mut *self.store.read().await?).await.map_err(failed)?;
        Ok(Count { letters: letters.unsigned_abs(), others: Others::Nobody })
    }

    async fn look(&self, look: &mut Look<'_>) -> Result<(), BrokerError> {
        self.walk(&mut |_, letter| look(letter)).await
    }

    async fn sort(&self, sorter: &mut dyn Sorter) -> Result<(), BrokerError> {
        let mut changes = Vec::new();
        let decide = &mut |seq, letter: &DeadLetter| {
            match sorter.decide(letter) {
                Fate::Keep => {}
                Fate::Purge => changes.push((seq, Change::Purge)),
                Fate::Redrive(redrive) => changes.push((seq, Change::Redrive(redrive))),
                Fate::Stop => return ControlFlow::Break(()),
            }
            ControlFlow::Continue(())
        };
        self.walk(decide).await?;
        let mut write = self.store.write().await;
        let connection = write.begin().await?;
        let done = apply(connection, &changes, self.store.clock.now()).await;
        let done = write.end(done).await?;
        self.store.changed();
        sorter.done(done);
        Ok(())
    }
}
