//! What may be done to a job in hand.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::SqliteConnection;

use super::fault::broker;
use super::row::{AT_ONCE, NO_WAIT, Rank, milliseconds, number, rest, turn, whole};
use crate::model::progress::{Progress, Return};
use crate::model::result::DismissResult;
use crate::ports::broker::{BrokerError, JobTime, LaneKey, Message, ProviderKnown, Settlement};

pub enum Change {
    Settle(Box<Ended>),
    Move(Move),
}

/// Where a job goes, and when; what is absent stays as it is.
pub struct Move {
    lane: LaneKey,
    progress: Option<String>,
    available_at: i64,
    wait_ms: i64,
    rank: Option<i64>,
    returns: Return,
}

/// A job that is over, as it is written down.
pub struct Ended {
    settlement: Settlement,
    tag: Option<String>,
    json: String,
    dead: Option<DeadLetter>,
}

struct DeadLetter {
    body: Vec<u8>,
    properties: String,
}

impl Change {
    pub fn settle(message: &Message, tag: Option<String>, settlement: &Settlement) -> Result<Self, BrokerError> {
        let json = encode(&settlement.result)?;
        let is_dead = settlement.result.outcome.is_dead_letter();
        let dead =
            is_dead.then(|| DeadLetter { body: message.body.to_vec(), properties: properties(message, settlement) });
        Ok(Change::Settle(Box::new(Ended { settlement: settlement.clone(), tag, json, dead })))
    }

    /// First what was decided is waited for, from `steady` on, and then the job's own time: so both are over in the end.
    pub fn defer(mut message: Message, lane: &LaneKey, time: JobTime, steady: Timestamp) -> Result<Self, BrokerError> {
        let wait = message.progress.as_ref().map_or(Duration::ZERO, Progress::wait);
        if wait.is_zero() {
            let (available_at, rank) = turn(time.not_before, time.now);
            return Self::to(lane, &message, (available_at, NO_WAIT), Some(rank));
        }
        let (rest, rank) = rest(wait);
        message.progress = message.progress.map(|progress| progress.after(rest));
        let available_at = milliseconds(steady).saturating_add(whole(rest));
        Self::to(lane, &message, (available_at, whole(rest)), Some(rank))
    }

    pub fn forward(message: &Message, lane: &LaneKey) -> Result<Self, BrokerError> {
        Self::to(lane, message, (AT_ONCE, NO_WAIT), None)
    }

    /// One that was tried keeps its rank, whatever is asked for, unless it is to go behind the others.
    fn to(
        lane: &LaneKey,
        message: &Message,
        (available_at, wait_ms): (i64, i64),
        rank: Option<Rank>,
    ) -> Result<Self, BrokerError> {
        let goes_first = message.progress.as_ref().is_some_and(Progress::goes_first);
        let returns = message.progress.as_ref().map_or(Return::First, |progress| progress.returns);
        let progress = message.progress.as_ref().map(encode).transpose()?;
        let rank = if goes_first { Some(Rank::Retried) } else { rank }.map(Rank::number);
        Ok(Change::Move(Move { lane: lane.clone(), progress, available_at, wait_ms, rank, returns }))
    }

    /// What is to be kept of it in the ledger.
    pub fn result(&self) -> Option<&DismissResult> {
        match self {
            Change::Settle(ended) => Some(&ended.settlement.result),
            Change::Move(_) => None,
        }
    }

    /// Does it to job `seq`, in the transaction that is open.
    pub async fn apply(&self, connection: &mut SqliteConnection, seq: i64) -> Result<(), BrokerError> {
        match self {
            Change::Settle(ended) => ended.write(connection, seq).await,
            Change::Move(to) => to.write(connection, seq).await,
        }
    }
}

impl Move {
    async fn write(&self, connection: &mut SqliteConnection, seq: i64) -> Result<(), BrokerError> {
        let update = "UPDATE job SET provider = ?, lane = ?, available_at = ?, wait_ms = ?,
            progress = coalesce(?, progress), rank = coalesce(?, rank) WHERE seq = ?";
        let update = sqlx::query(update).bind(self.lane.provider.as_str()).bind(number(self.lane.lane));
        let update = update.bind(self.available_at).bind(self.wait_ms).bind(&self.progress).bind(self.rank).bind(seq);
        update.execute(&mut *connection).await.map_err(|error| broker(&error))?;
        match self.returns {
            Return::First => Ok(()),
            Return::Last => put_last(connection, seq).await,
        }
    }
}

/// Jobs are served in the order of their numbers, and no number is given twice: so the job is put in once more.
async fn put_last(connection: &mut SqliteConnection, seq: i64) -> Result<(), BrokerError> {
    let insert = "INSERT INTO job (provider, lane, rank, available_at, wait_ms, job_id, tag, body, progress)
        SELECT provider, lane, rank, available_at, wait_ms, job_id, tag, body, progress FROM job WHERE seq = ?";
    for change in [insert, "DELETE FROM job WHERE seq = ?"] {
        sqlx::query(change).bind(seq).execute(&mut *connection).await.map_err(|error| broker(&error))?;
    }
    Ok(())
}

impl Ended {
    /// The result, the dead letter where there is one, and the end of the job.
    async fn write(&self, connection: &mut SqliteConnection, seq: i64) -> Result<(), BrokerError> {
        let (result, settled_at) = (&self.settlement.result, milliseconds(self.settlement.result.settled_at));
        let provider = match self.settlement.provider_known {
            ProviderKnown::Yes => result.provider.as_ref().map(|name| name.as_str()),
            ProviderKnown::No => None,
        };
        let batch = result.batch_id.as_ref().map(|id| id.as_str());
        let insert = sqlx::query(
            "INSERT INTO result (job_id, run, tag, batch_id, provider, app_id, room_id, outcome, attempts, request_id,
             settled_at, json) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        );
        let insert = insert
            .bind(result.job_id.as_str())
            .bind(result.run)
            .bind(&self.tag)
            .bind(batch)
            .bind(provider)
            .bind(result.app_id.as_ref().map(|id| id.as_str()))
            .bind(result.room_id.as_ref().map(|id| id.as_str()))
            .bind(result.outcome.as_str())
            .bind(result.attempts)
            .bind(result.request_id.as_ref().map(|id| id.as_str()))
            .bind(settled_at)
            .bind(&self.json);
        insert.execute(&mut *connection).await.map_err(|error| broker(&error))?;
        if let Some(dead) = &self.dead {
            let insert = sqlx::query(
                "INSERT INTO dead (job_id, tag, batch_id, provider, outcome, died_at, body, properties)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            );
            let insert = insert.bind(result.job_id.as_str()).bind(&self.tag).bind(batch).bind(provider);
            let insert = insert.bind(result.outcome.as_str()).bind(settled_at);
            let insert = insert.bind(&dead.body).bind(&dead.properties);
            insert.execute(&mut *connection).await.map_err(|error| broker(&error))?;
        }
        let delete = sqlx::query("DELETE FROM job WHERE seq = ?").bind(seq);
        delete.execute(connection).await.map(drop).map_err(|error| broker(&error))
    }
}

/// As a dead letter carries them elsewhere: what the producer gave, what was known, and why it is here.
fn properties(message: &Message, settlement: &Settlement) -> String {
    let result = &settlement.result;
    let error = result.error.as_ref().map_or_else(String::new, |error| format!("{}: {}", error.code, error.message));
    let properties: Value = json!({
        "message_id": message.message_id,
        "correlation_id": message.correlation_id,
        "traceparent": message.traceparent,
        "last_run": result.progress(),
        "headers": {"x-outcome": result.outcome, "x-error": error, "x-job-id": result.job_id},
    });
    properties.to_string()
}

fn encode(value: &impl serde::Serialize) -> Result<String, BrokerError> {
    serde_json::to_string(value).map_err(|error| BrokerError::Refused(error.to_string()))
}
