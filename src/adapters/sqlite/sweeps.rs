//! Sweeps: jobs that belong together, and how they stand.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::fault::{broker, unreadable};
use super::row::milliseconds;
use crate::model::result::{DismissResult, Outcome};
use crate::ports::broker::BrokerError;

/// A sweep that is not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// Marks its jobs and their results.
    pub tag: String,
    /// How many jobs it had at the start.
    pub total: u64,
    pub started_at: Timestamp,
}

/// How the jobs of a tag stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Waiting or in hand.
    pub open: u64,
    /// Only outcomes that occurred, in the order of [`Outcome::ALL`].
    pub settled: Vec<(Outcome, u64)>,
    /// Requests sent for those that are settled.
    pub attempts: u64,
}

impl Tally {
    /// How many ended so.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.settled.iter().find(|(ended, _)| *ended == outcome).map_or(0, |(_, count)| *count)
    }

    /// How many are over, in whatever way.
    pub fn over(&self) -> u64 {
        self.settled.iter().map(|(_, count)| count).sum()
    }
}

/// In one statement, so that a job that is just being settled counts once.
const TALLY: &str = "SELECT NULL, count(*), 0 FROM job WHERE tag = ?1
    UNION ALL SELECT outcome, count(*), sum(attempts) FROM result WHERE tag = ?1 GROUP BY outcome";

pub async fn tally(connection: &mut SqliteConnection, tag: &str) -> Result<Tally, BrokerError> {
    let query = sqlx::query_as::<_, (Option<String>, i64, i64)>(TALLY).bind(tag);
    let rows = query.fetch_all(connection).await.map_err(|error| broker(&error))?;
    let mut tally = Tally::default();
    for (outcome, count, attempts) in &rows {
        match outcome {
            None => tally.open = count.unsigned_abs(),
            Some(_) => tally.attempts += attempts.unsigned_abs(),
        }
    }
    for outcome in Outcome::ALL {
        let row = rows.iter().find(|(name, ..)| name.as_deref() == Some(outcome.as_str()));
        tally.settled.extend(row.map(|(_, count, _)| (outcome, count.unsigned_abs())));
    }
    Ok(tally)
}

pub async fn results(
    connection: &mut SqliteConnection,
    tag: &str,
    after: i64,
    limit: u32,
) -> Result<Vec<(i64, DismissResult)>, BrokerError> {
    let page = "SELECT seq, json FROM result INDEXED BY result_tag WHERE tag = ? AND seq > ? ORDER BY seq LIMIT ?";
    let query = sqlx::query_as::<_, (i64, String)>(page).bind(tag).bind(after).bind(limit);
    let rows = query.fetch_all(connection).await.map_err(|error| broker(&error))?;
    let read = |(seq, json): (i64, String)| match serde_json::from_str(&json) {
        Ok(result) => Ok((seq, result)),
        Err(error) => Err(unreadable("a result", &error)),
    };
    rows.into_iter().map(read).collect()
}

pub async fn unfinished(connection: &mut SqliteConnection, digest: &str) -> Result<Option<Sweep>, BrokerError> {
    let latest = "SELECT tag, total, started_at FROM sweep WHERE digest = ? AND finished_at IS NULL
        ORDER BY started_at DESC LIMIT 1";
    let query = sqlx::query_as::<_, (String, i64, i64)>(latest).bind(digest);
    let Some((tag, total, started_at)) = query.fetch_optional(connection).await.map_err(|error| broker(&error))? else {
        return Ok(None);
    };
    let started_at = Timestamp::from_millisecond(started_at).map_err(|error| unreadable("a sweep", &error))?;
    Ok(Some(Sweep { tag, total: total.unsigned_abs(), started_at }))
}

/// Gives up the unfinished sweeps of `digest` and writes down a new one, in the transaction that is open.
pub async fn replace(connection: &mut SqliteConnection, digest: &str, sweep: &Sweep) -> Result<(), BrokerError> {
    let total = i64::try_from(sweep.total).unwrap_or(i64::MAX);
    let started_at = milliseconds(sweep.started_at);
    let given_up =
        sqlx::query("DELETE FROM job WHERE tag IN (SELECT tag FROM sweep WHERE digest = ? AND finished_at IS NULL)");
    given_up.bind(digest).execute(&mut *connection).await.map_err(|error| broker(&error))?;
    let over = sqlx::query("UPDATE sweep SET finished_at = ? WHERE digest = ? AND finished_at IS NULL");
    over.bind(started_at).bind(digest).execute(&mut *connection).await.map_err(|error| broker(&error))?;
    let new = sqlx::query("INSERT INTO sweep (tag, digest, total, started_at) VALUES (?, ?, ?, ?)");
    let new = new.bind(&sweep.tag).bind(digest).bind(total).bind(started_at);
    new.execute(&mut *connection).await.map(drop).map_err(|error| broker(&error))
}

pub async fn finish(connection: &mut SqliteConnection, tag: &str, now: Timestamp) -> Result<(), BrokerError> {
    let finish = sqlx::query("UPDATE sweep SET finished_at = ? WHERE tag = ? AND finished_at IS NULL");
    let finish = finish.bind(milliseconds(now)).bind(tag);
    finish.execute(connection).await.map(drop).map_err(|error| broker(&error))
}
