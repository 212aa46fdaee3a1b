//! What searches cost a PostgreSQL ledger, and the others who ask it meanwhile.

use std::sync::Arc;
use std::time::Duration;

use roomsweep::adapters::postgres::PostgresLedger;
use roomsweep::model::ledger::HistoryFilter;
use roomsweep::model::result::Outcome;
use roomsweep::ports::ledger::{Ledger, Migrate};
use sqlx::{Executor, PgConnection};
use tokio::task::JoinSet;

use super::sample::{app, batch, job, provider, request, result, room};
use crate::support::database::Database;

/// How often each index was followed. A session tells it when it ends.
async fn followed(database: &Database, filter: &HistoryFilter) -> Vec<String> {
    let mut connection = database.connect().await;
    connection.execute("SELECT pg_stat_reset()").await.unwrap();
    let ledger = PostgresLedger::open(database.url(), Migrate::No).await.unwrap();
    ledger.history(filter, None, 50).await.unwrap();
    ledger.close().await;
    let told = "SELECT indexrelname::text FROM pg_stat_user_indexes WHERE relname IN ('entry', 'attempt')
        AND idx_scan > 0";
    for _ in 0..100 {
        let told: Vec<String> = sqlx::query_scalar(told).fetch_all(&mut connection).await.unwrap();
        if !told.is_empty() {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    vec![]
}

/// Many of many providers, applications, rooms and batches; one in a hundred ended otherwise than well.
async fn fill(connection: &mut PgConnection, ledger: &dyn Ledger) {
    ledger.record(&[result("model", 1.0)]).await.unwrap();
    let copies = "INSERT INTO entry SELECT 'job-' || nr, 1, 'batch-' || nr % 50, 'p-' || nr % 5, 'app-' || nr % 40,
            'room-' || nr % 1000,
            CASE nr % 200 WHEN 7 THEN 'already_gone' WHEN 9 THEN 'rejected' ELSE 'dismissed' END,
            settled_at + nr, result
        FROM entry, generate_series(1, 40000) AS of (nr)";
    connection.execute(copies).await.unwrap();
    let copies = "INSERT INTO attempt SELECT 'job-' || nr, 1, 0, at + nr, 'request-' || nr, verdict, 200, 1, NULL
        FROM attempt, generate_series(1, 40000) AS of (nr)";
    connection.execute(copies).await.unwrap();
    connection.execute("ANALYZE").await.unwrap();
}

#[tokio::test]
async fn every_search_follows_an_index() {
    let database = Database::new().await;
    let ledger = PostgresLedger::open(database.url(), Migrate::Yes).await.unwrap();
    fill(&mut database.connect().await, &ledger).await;
    ledger.close().await;
    let none = HistoryFilter::default();
    let of = |outcomes: &[Outcome]| HistoryFilter { outcomes: outcomes.to_vec(), ..none.clone() };
    for (filter, index) in [
        (none.clone(), "entry_settled"),
        (HistoryFilter { room: Some(room("room-7")), ..none.clone() }, "entry_room"),
        (HistoryFilter { batch: Some(batch("batch-7")), ..none.clone() }, "entry_batch"),
        (HistoryFilter { job: Some(job("job-7")), ..none.clone() }, "entry_pkey"),
        (HistoryFilter { request_id: Some(request("request-7")), ..none.clone() }, "attempt_request"),
        (HistoryFilter { app: Some(app("app-7")), ..none.clone() }, "entry_app"),
        (HistoryFilter { app: Some(app("nobody")), ..none.clone() }, "entry_app"),
        (HistoryFilter { provider: Some(provider("nobody")), ..none.clone() }, "entry_provider"),
        (of(&[Outcome::Rejected]), "entry_failed"),
        (of(&[Outcome::AlreadyGone]), "entry_failed"),
        (of(&[Outcome::Exhausted, Outcome::Invalid]), "entry_failed"),
        (of(&[Outcome::AlreadyGone, Outcome::Rejected, Outcome::Expired, Outcome::Cancelled]), "entry_failed"),
    ] {
        let followed = followed(&database, &filter).await;
        assert!(followed.iter().any(|name| name == index), "{filter:?}: {followed:?}");
    }
}

#[tokio::test]
async fn searches_that_take_long_leave_the_others_a_connection() {
    let database = Database::new().await;
    let ledger = Arc::new(PostgresLedger::open(database.url(), Migrate::Yes).await.unwrap());
    let mut other = database.connect().await;
    other.execute("BEGIN; LOCK TABLE entry IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut searches = JoinSet::new();
    for _ in 0..6 {
        let ledger = ledger.clone();
        searches.spawn(async move { ledger.history(&HistoryFilter::default(), None, 10).await });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..3 {
        ledger.controls().await.expect("an answer beside the searches");
    }
    other.execute("ROLLBACK").await.unwrap();
    for found in searches.join_all().await {
        found.expect("each has its turn");
    }
    ledger.close().await;
}
