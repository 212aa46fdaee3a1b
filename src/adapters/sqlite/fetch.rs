//! Taking jobs into hand, and counting those that wait.

use std::sync::Arc;
use std::time::Duration;

use sqlx::SqliteConnection;

use super::fault::broker;
use super::receipt::SqliteReceipt;
use super::row::{Rank, number};
use super::store::{Hold, Store};
use super::writer::Desk;
use crate::model::ids::ProviderName;
use crate::model::job::Lane;
use crate::ports::broker::{BrokerError, Delivery, LaneKey, Message};
use crate::ports::clock::Clock;

/// A job in hand.
pub struct Taken {
    hold: Hold,
    pub message: Message,
    tag: Option<String>,
}

impl Taken {
    pub fn seq(&self) -> i64 {
        self.hold.seq
    }

    pub fn deliver(self, key: LaneKey, desk: &Desk) -> Delivery {
        let receipt = SqliteReceipt { hold: Some(self.hold), tag: self.tag, desk: desk.clone() };
        Delivery::new(self.message, Some(key), Box::new(receipt))
    }
}

type Row = (i64, String, Option<String>, Vec<u8>, Option<String>);

/// Both halves follow the index: jobs without a time are in the order of their coming, the others in that of their time. What
/// was deferred is told by another clock than a job's own time.
const NEXT: &str = "SELECT seq, job_id, tag, body, progress FROM (
      SELECT * FROM (SELECT * FROM job WHERE provider = ?1 AND lane = ?2 AND rank = ?3 AND available_at = 0
        AND seq NOT IN (SELECT value FROM json_each(?5)) ORDER BY seq LIMIT ?6)
      UNION ALL
      SELECT * FROM (SELECT * FROM job WHERE provider = ?1 AND lane = ?2 AND rank = ?3
        AND available_at > 0 AND available_at <= iif(wait_ms = 0, ?4, ?7)
        AND seq NOT IN (SELECT value FROM json_each(?5)) ORDER BY available_at, seq LIMIT ?6)
    ) ORDER BY seq LIMIT ?6";

/// Takes up to `many` of a provider's jobs that are available now, the best of their lane and rank.
pub async fn take(
    store: &Arc<Store>,
    provider: &ProviderName,
    (lane, rank): (Lane, Rank),
    many: usize,
) -> Result<Vec<Taken>, BrokerError> {
    let mut connection = store.read().await?;
    let query = sqlx::query_as::<_, Row>(NEXT).bind(provider.as_str()).bind(number(lane)).bind(rank.number());
    let query = query.bind(store.clock.now().as_millisecond()).bind(store.in_hand());
    let query = query.bind(i64::try_from(many).unwrap_or(i64::MAX)).bind(store.clock.steady().as_millisecond());
    let rows = query.fetch_all(&mut *connection).await.map_err(|error| broker(&error))?;
    Ok(rows.into_iter().filter_map(|row| read(store, row)).collect())
}

fn read(store: &Arc<Store>, (seq, job_id, tag, body, progress): Row) -> Option<Taken> {
    let hold = store.hold(seq)?;
    let message = Message {
        body: body.into(),
        message_id: Some(job_id),
        correlation_id: None,
        reply_to: None,
        traceparent: None,
        progress: progress.and_then(|json| serde_json::from_str(&json).ok()),
        ended: None,
        unreadable: None,
    };
    Some(Taken { hold, message, tag })
}

/// How long it is until the next of a provider's jobs comes due: by its own time, or because it was deferred until then.
pub async fn next_due(store: &Store, provider: &ProviderName) -> Result<Option<Duration>, BrokerError> {
    let by_wall =
        "SELECT available_at FROM job WHERE provider = ? AND available_at > ? AND available_at > 0 AND wait_ms = 0
        ORDER BY available_at LIMIT 1";
    let by_steady = "SELECT available_at FROM job WHERE provider = ? AND available_at > ? AND wait_ms > 0
        ORDER BY available_at LIMIT 1";
    let mut connection = store.read().await?;
    let mut next = None;
    for (query, now) in [(by_wall, store.clock.now()), (by_steady, store.clock.steady())] {
        let query = sqlx::query_scalar::<_, i64>(query).bind(provider.as_str()).bind(now.as_millisecond());
        let due = query.fetch_optional(&mut *connection).await.map_err(|error| broker(&error))?;
        let left = due.map(|due| i128::from(due) * 1_000_000 - now.as_nanosecond());
        let left = left.map(|left| Duration::from_nanos(u64::try_from(left).unwrap_or_default()));
        next = next.into_iter().chain(left).min();
    }
    Ok(next)
}

/// What a former sender deferred waits no longer from now on than was decided then: its clock may have been set since.
pub async fn resume_waits(connection: &mut SqliteConnection, clock: &Clock) -> Result<(), sqlx::Error> {
    let shorten = "UPDATE job SET available_at = ?1 + wait_ms WHERE wait_ms > 0 AND available_at > ?1 + wait_ms";
    sqlx::query(shorten).bind(clock.steady().as_millisecond()).execute(connection).await.map(drop)
}

/// How many of a lane could be taken now.
pub async fn waiting(store: &Store, lane: &LaneKey) -> Result<u64, BrokerError> {
    let count =
        "SELECT count(*) FROM job WHERE provider = ?1 AND lane = ?2 AND available_at <= iif(wait_ms = 0, ?3, ?4)
        AND seq NOT IN (SELECT value FROM json_each(?5))";
    let query = sqlx::query_scalar::<_, i64>(count).bind(lane.provider.as_str()).bind(number(lane.lane));
    let query = query.bind(store.clock.now().as_millisecond()).bind(store.clock.steady().as_millisecond());
    let query = query.bind(store.in_hand());
    query.fetch_one(&mut *store.read().await?).await.map(i64::unsigned_abs).map_err(|error| broker(&error))
}

/// How many of all jobs wait for their time.
pub async fn deferred(store: &Store) -> Result<u64, BrokerError> {
    let count = "SELECT (SELECT count(*) FROM job WHERE available_at > ?1 AND available_at > 0 AND wait_ms = 0)
        + (SELECT count(*) FROM job WHERE available_at > ?2 AND wait_ms > 0)";
    let query = sqlx::query_scalar::<_, i64>(count).bind(store.clock.now().as_millisecond());
    let query = query.bind(store.clock.steady().as_millisecond());
    query.fetch_one(&mut *store.read().await?).await.map(i64::unsigned_abs).map_err(|error| broker(&error))
}

/// Changes with every commit of whatever connection but this one.
pub async fn version(connection: &mut SqliteConnection) -> Result<i64, BrokerError> {
    let version = sqlx::query_scalar("PRAGMA data_version");
    version.fetch_one(connection).await.map_err(|error| broker(&error))
}
