//! How fast the PostgreSQL ledger takes results in, and finds them among many: `cargo bench --bench ledger`, with a
//! PostgreSQL at 127.0.0.1:5432.
//!
//! Ten million rows are some 15 GB in a database of its own, dropped at the end. `LEDGER_ROWS=100000` makes it shorter.

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/support/database.rs"]
mod database;
#[path = "ledger/fill.rs"]
mod fill;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use database::Database;
use fill::{Row, fill};
use jiff::{SignedDuration, Timestamp};
use roomsweep::adapters::postgres::PostgresLedger;
use roomsweep::model::ids::{AppId, BatchId, JobId, ProviderName, RequestId, RoomId};
use roomsweep::model::job::Lane;
use roomsweep::model::ledger::{Cursor, HistoryFilter};
use roomsweep::model::progress::AttemptRecord;
use roomsweep::model::result::{DismissResult, Outcome};
use roomsweep::model::verdict::VerdictLabel;
use roomsweep::ports::clock::Clock;
use roomsweep::ports::ledger::{Ledger, Migrate};
use tokio::task::JoinSet;

const ROWS: u64 = 10_000_000;
/// As many as the recorder writes at a time.
const GROUP: u64 = 500;
const GROUPS: u64 = 100;
const WARM_UP: u64 = 50;
const LOOKUPS: u64 = 301;
const PAGE: u32 = 50;

fn main() {
    // `cargo test --benches` starts it too, without this.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let rows = rows();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let database = Database::new().await;
        let ledger = Arc::new(PostgresLedger::open(database.url(), Migrate::Yes).await.expect("a database"));
        take_in(&ledger, "empty", 0).await;
        let clock = Clock::system();
        fill(&database, rows).await;
        println!("{rows} rows put in within {:.0?}", clock.elapsed());
        find(&ledger, rows).await;
        take_in(&ledger, "full", 1).await;
        ledger.close().await;
    });
}

#[expect(clippy::disallowed_methods, reason = "a benchmark has no configuration")]
fn rows() -> u64 {
    std::env::var("LEDGER_ROWS").map_or(ROWS, |rows| rows.parse().expect("LEDGER_ROWS is a number"))
}

/// Results a second, of one recorder and of several at once.
async fn take_in(ledger: &Arc<PostgresLedger>, what: &str, round: u64) {
    for recorders in [1, 4] {
        let first = u64::MAX / 2 + (round * 10 + recorders) * 10_000_000;
        let clock = Clock::system();
        let mut writers = JoinSet::new();
        for writer in 0..recorders {
            let (ledger, first) = (ledger.clone(), first + writer * 1_000_000);
            writers.spawn(async move {
                for group in 0..GROUPS / recorders {
                    let of_group = first + group * GROUP..first + (group + 1) * GROUP;
                    let results: Vec<DismissResult> = of_group.map(result).collect();
                    ledger.record(&results).await.expect("recorded");
                }
            });
        }
        writers.join_all().await;
        let rate = (GROUPS * GROUP) as f64 / clock.elapsed().as_secs_f64();
        println!("{what:>6}: {recorders} at once take in {rate:>7.0} results a second, {GROUP} at a time");
    }
}

/// Of a batch, with a retry now and then.
fn result(n: u64) -> DismissResult {
    let id = format!("0197c3a2-7e1b-7000-8000-{n:020}");
    let settled_at = Timestamp::from_second(1_800_000_000).expect("a time")
        + SignedDuration::from_millis(i64::try_from(n % 1_000_000).expect("small"));
    let request = |tried: u64| RequestId::parse(format!("2026{n:020}{tried:08X}")).expect("an ID");
    let attempt = |tried: u64| AttemptRecord {
        at: settled_at - SignedDuration::from_millis(30),
        verdict: if tried == 0 { VerdictLabel::Dismissed } else { VerdictLabel::Transient },
        http_status: Some(200),
        request_id: Some(request(tried)),
        error: None,
        duration_ms: 28,
    };
    let attempt_log: Vec<AttemptRecord> = (0..=u64::from(n.is_multiple_of(20))).rev().map(attempt).collect();
    DismissResult {
        job_id: JobId::parse(&id).expect("an ID"),
        batch_id: Some(BatchId::parse("incident-7").expect("an ID")),
        provider: Some(ProviderName::parse("volcengine").expect("a name")),
        app_id: Some(AppId::parse("661e000000000000000000aa").expect("an ID")),
        room_id: Some(RoomId::parse(format!("room-{n:x}")).expect("an ID")),
        lane: Some(Lane::Bulk),
        outcome: if n.is_multiple_of(50) { Outcome::Exhausted } else { Outcome::Dismissed },
        request_id: Some(request(0)),
        http_status: Some(200),
        error: None,
        attempts: attempt_log.len() as u32,
        run: 1,
        attempt_log,
        attempts_omitted: 0,
        received_at: settled_at - SignedDuration::from_secs(5),
        settled_at,
        reason: Some("end of session".into()),
        requested_by: Some("scheduler".into()),
        labels: BTreeMap::from([("team".into(), "live".into())]),
        worker: "worker-0".into(),
    }
}

/// How long it takes to find what people look for.
async fn find(ledger: &PostgresLedger, rows: u64) {
    let none = HistoryFilter::default;
    look(ledger, rows, "request ID", 1, |row| HistoryFilter { request_id: Some(row.request()), ..none() }).await;
    look(ledger, rows, "first request ID of two", 1, |row| HistoryFilter {
        request_id: Some(row.retried().first_request()),
        ..none()
    })
    .await;
    look(ledger, rows, "job", 1, |row| HistoryFilter { job: Some(row.job()), ..none() }).await;
    look(ledger, rows, "room", 2, |row| HistoryFilter { room: Some(row.room()), ..none() }).await;
    look(ledger, rows, "batch", PAGE, |row| HistoryFilter { batch: Some(row.batch()), ..none() }).await;
    look(ledger, rows, "failures of a batch", PAGE, |row| {
        let outcomes = vec![Outcome::Rejected, Outcome::Exhausted, Outcome::Invalid];
        HistoryFilter { batch: Some(row.batch()), outcomes, ..none() }
    })
    .await;
    look(ledger, rows, "failures before a time", PAGE, |row| {
        let outcomes = vec![Outcome::Rejected, Outcome::Exhausted, Outcome::Invalid];
        HistoryFilter { outcomes, until: Some(row.late().settled_at()), ..none() }
    })
    .await;
    look(ledger, rows, "provider before a time", PAGE, |row| {
        let provider = ProviderName::parse("huawei").expect("a name");
        HistoryFilter { provider: Some(provider), until: Some(row.late().settled_at()), ..none() }
    })
    .await;
    let mut times = Vec::new();
    for row in Row::spread(rows, WARM_UP + LOOKUPS) {
        let clock = Clock::system();
        let batch = ledger.batch(&row.batch()).await.expect("an answer").expect("a batch");
        times.push(clock.elapsed());
        assert!(batch.over() > 0);
    }
    tell("a batch as it stands", times);
}

/// Each first page, and the one behind it.
async fn look(ledger: &PostgresLedger, rows: u64, what: &str, expected: u32, filter: impl Fn(Row) -> HistoryFilter) {
    let mut times = Vec::new();
    for row in Row::spread(rows, WARM_UP + LOOKUPS) {
        let filter = filter(row);
        let clock = Clock::system();
        let page = ledger.history(&filter, None, PAGE).await.expect("an answer");
        times.push(clock.elapsed());
        assert_eq!(page.len(), expected as usize, "{filter:?}");
        let behind = Cursor::behind(page.last().expect("at least one"));
        ledger.history(&filter, Some(&behind), PAGE).await.expect("an answer");
    }
    tell(what, times);
}

fn tell(what: &str, mut times: Vec<Duration>) {
    let mut measured = times.split_off(WARM_UP as usize);
    measured.sort();
    let (median, late) = (measured[measured.len() / 2], measured[measured.len() * 95 / 100]);
    let most = measured[measured.len() - 1];
    println!("by {what}: median {median:.1?}, 95 % within {late:.1?}, at most {most:.1?}");
}
