//! Rows that are all alike and all different, made by the database itself.

use jiff::{SignedDuration, Timestamp};
use roomsweep::model::ids::{BatchId, JobId, RequestId, RoomId};
use serde_json::json;
use sqlx::{Executor, PgConnection};

use crate::database::Database;

const CHUNK: u64 = 500_000;
const OF_BATCH: u64 = 10_000;
/// Three months for ten million.
const STEP: SignedDuration = SignedDuration::from_millis(777);
const FIRST: i64 = 1_750_000_000;
/// Put in after the rows: sorting is faster than searching.
const LATER: [&str; 6] =
    ["entry_settled", "entry_room", "entry_batch", "entry_provider", "entry_failed", "attempt_request"];

/// The nth row; what is in it is written down in [`fill`].
#[derive(Clone, Copy)]
pub struct Row {
    n: u64,
    rows: u64,
}

impl Row {
    /// As many as `many`, all over the place and in no order.
    pub fn spread(rows: u64, many: u64) -> impl Iterator<Item = Self> {
        (1..=many).map(move |nth| Self { n: (nth * 7_368_787) % rows, rows })
    }

    /// The next one that was sent twice.
    pub fn retried(self) -> Self {
        Self { n: self.n - self.n % 20, ..self }
    }

    /// With as many as one likes before it.
    pub fn late(self) -> Self {
        Self { n: self.rows / 2 + self.n / 2, ..self }
    }

    pub fn job(self) -> JobId {
        JobId::parse(format!("0197c3a2-7e1b-7000-8000-{:012}", self.n)).expect("an ID")
    }

    /// Each has two rows.
    pub fn room(self) -> RoomId {
        RoomId::parse(format!("room-{}-of-the-session", self.n * 7919 % (self.rows / 2))).expect("an ID")
    }

    pub fn batch(self) -> BatchId {
        BatchId::parse(format!("batch-{}", self.n / OF_BATCH)).expect("an ID")
    }

    pub fn request(self) -> RequestId {
        RequestId::parse(format!("2025{:017}A1B2C3D4E5F6", self.n)).expect("an ID")
    }

    pub fn first_request(self) -> RequestId {
        RequestId::parse(format!("2025{:017}FFFFFFFFFFFF", self.n)).expect("an ID")
    }

    pub fn settled_at(self) -> Timestamp {
        let since = STEP * i32::try_from(self.n).expect("not that many");
        Timestamp::from_second(FIRST).expect("a time") + since
    }
}

/// A result with places to be filled.
fn template() -> String {
    let attempt = json!({
        "at": "2025-06-15T15:06:40Z", "verdict": "dismissed", "http_status": 200, "request_id": "@request@",
        "error": null, "duration_ms": 28,
    });
    json!({
        "job_id": "@job@", "batch_id": "@batch@", "provider": "@provider@", "app_id": "661e000000000000000000aa",
        "room_id": "@room@", "lane": "bulk", "outcome": "@outcome@", "request_id": "@request@", "http_status": 200,
        "error": null, "attempts": 1, "run": 1, "attempt_log": [attempt], "attempts_omitted": 0,
        "received_at": "2025-06-15T15:06:40Z", "settled_at": "@settled@", "reason": "end of session",
        "requested_by": "scheduler", "labels": {"team": "live"}, "worker": "worker-0",
    })
    .to_string()
}

/// Puts `rows` in, with their attempts and batches, and has the planner know of them.
pub async fn fill(database: &Database, rows: u64) {
    let mut connection = database.connect().await;
    run(&mut connection, "SET synchronous_commit = off; SET maintenance_work_mem = '512MB'").await;
    let mut indices: Vec<String> = Vec::new();
    for name in LATER {
        let index: String = sqlx::query_scalar("SELECT indexdef FROM pg_indexes WHERE indexname = $1")
            .bind(name)
            .fetch_one(&mut connection)
            .await
            .expect("an index of ours");
        run(&mut connection, &format!("DROP INDEX {name}")).await;
        indices.push(index);
    }
    for first in (0..rows).step_by(usize::try_from(CHUNK).expect("small")) {
        let last = (first + CHUNK).min(rows) - 1;
        run(&mut connection, &chunk(rows, first, last)).await;
        println!("  {} rows", last + 1);
    }
    for index in indices {
        run(&mut connection, &index).await;
    }
    run(
        &mut connection,
        "INSERT INTO batch (batch_id, created_at, first_settled_at, last_settled_at)
         SELECT batch_id, min(settled_at), min(settled_at), max(settled_at) FROM entry GROUP BY batch_id
         ON CONFLICT DO NOTHING;
         INSERT INTO batch_tally SELECT batch_id, provider, outcome, count(*) FROM entry GROUP BY 1, 2, 3
         ON CONFLICT DO NOTHING",
    )
    .await;
    run(&mut connection, "VACUUM ANALYZE").await;
}

fn chunk(rows: u64, first: u64, last: u64) -> String {
    let (rooms, step, template) = (rows / 2, STEP.as_nanos(), template());
    format!(
        "WITH made AS MATERIALIZED (
             SELECT n, '0197c3a2-7e1b-7000-8000-' || lpad(n::text, 12, '0') AS job,
                 'batch-' || n / {OF_BATCH} AS batch,
                 CASE n % 4 WHEN 0 THEN 'huawei' ELSE 'volcengine' END AS provider,
                 'room-' || n * 7919 % {rooms} || '-of-the-session' AS room,
                 '2025' || lpad(n::text, 17, '0') || 'A1B2C3D4E5F6' AS request,
                 CASE WHEN n % 50 = 0 THEN 'exhausted' WHEN n % 200 = 1 THEN 'rejected'
                     WHEN n % 10 = 2 THEN 'already_gone' ELSE 'dismissed' END AS outcome,
                 {FIRST} * 1000000000::bigint + n * {step} AS settled
             FROM generate_series({first}::bigint, {last}::bigint) AS n
         ), attempts AS (
             INSERT INTO attempt (job_id, run, n, at, request_id, verdict, http_status, duration_ms)
             SELECT job, 1, tried, settled, CASE tried WHEN 0 THEN request ELSE left(request, 21) || 'FFFFFFFFFFFF' END,
                 'dismissed', 200, 28
             FROM made, generate_series(0, (n % 20 = 0)::int) AS tried
         )
         INSERT INTO entry (job_id, run, batch_id, provider, app_id, room_id, outcome, settled_at, result)
         SELECT job, 1, batch, provider, '661e000000000000000000aa', room, outcome, settled,
             replace(replace(replace(replace(replace(replace(replace('{template}', '@job@', job), '@batch@', batch),
                 '@provider@', provider), '@room@', room), '@outcome@', outcome), '@request@', request), '@settled@',
                 to_char(to_timestamp(settled / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS')
                     || '.' || lpad((settled % 1000000000)::text, 9, '0') || 'Z')
         FROM made"
    )
}

async fn run(connection: &mut PgConnection, statements: &str) {
    connection.execute(statements).await.expect("done");
}
