//! What stands in the way of a PostgreSQL ledger, and how its schema comes to be.

use std::time::Duration;

use roomsweep::adapters::postgres::PostgresLedger;
use roomsweep::ports::ledger::{Ledger, LedgerError, Migrate, OpenError};
use sqlx::Executor;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::sample::{all, result};
use crate::support::database::Database;
use crate::support::free_address;

async fn refusal(url: &str, migrate: Migrate) -> OpenError {
    match PostgresLedger::open(url, migrate).await {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_schema_is_made_only_where_that_was_asked_for() {
    let database = Database::new().await;
    let error = refusal(database.url(), Migrate::No).await;
    assert!(matches!(error, OpenError::Older { found: 0, known: 1 }), "{error}");
    PostgresLedger::open(database.url(), Migrate::Yes).await.unwrap().close().await;
    PostgresLedger::open(database.url(), Migrate::No).await.unwrap().close().await;
}

#[tokio::test]
async fn many_may_bring_it_up_to_date_at_a_time() {
    let database = Database::new().await;
    let mut openers = JoinSet::new();
    for n in 0..8 {
        let url = database.url().to_owned();
        openers.spawn(async move {
            let ledger = PostgresLedger::open(&url, Migrate::Yes).await.unwrap();
            ledger.record(&[result(&format!("job-{n}"), 1.0)]).await.unwrap();
            ledger.close().await;
        });
    }
    while let Some(ended) = openers.join_next().await {
        ended.unwrap();
    }
    let ledger = PostgresLedger::open(database.url(), Migrate::No).await.unwrap();
    assert_eq!(all(&ledger, &Default::default(), 3).await.len(), 8);
    ledger.close().await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_not_touched() {
    let database = Database::new().await;
    PostgresLedger::open(database.url(), Migrate::Yes).await.unwrap().close().await;
    let later = "INSERT INTO _sqlx_migrations VALUES (9, 'later', now(), TRUE, '', 0)";
    database.connect().await.execute(later).await.unwrap();
    for migrate in [Migrate::Yes, Migrate::No] {
        let error = refusal(database.url(), migrate).await;
        assert!(matches!(error, OpenError::Newer { found: 9, known: 1 }), "{error}");
    }
}

#[tokio::test]
async fn what_is_in_the_way_is_told_without_the_password() {
    let database = Database::new().await;
    let server = |name: &str| format!("postgres://postgres:the-password@127.0.0.1:5432/{name}");
    let missing = refusal(&server("no_such_database"), Migrate::Yes).await;
    assert!(matches!(missing, OpenError::Unusable(_)), "{missing}");
    let odd = refusal(&server(&format!("{}?sslmode=odd", database.name())), Migrate::Yes).await;
    assert!(matches!(odd, OpenError::Unusable(_)), "{odd}");
    let begun = Instant::now();
    let nobody = format!("postgres://postgres:the-password@{}/any", free_address());
    let away = refusal(&nobody, Migrate::Yes).await;
    assert!(matches!(away, OpenError::Away(_)), "{away}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    for error in [missing, odd, away] {
        assert!(!format!("{error} {error:?}").contains("the-password"), "{error}");
    }
}

#[tokio::test]
async fn whoever_waits_for_another_writer_too_long_is_told_and_may_try_again() {
    let database = Database::new().await;
    let ledger = PostgresLedger::open(database.url(), Migrate::Yes).await.unwrap();
    ledger.record(&[result("a", 1.0)]).await.unwrap();
    let mut other = database.connect().await;
    other.execute("BEGIN; LOCK TABLE entry IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let begun = Instant::now();
    let away = ledger.record(&[result("b", 1.0)]).await;
    assert!(matches!(away, Err(LedgerError::Away(_))), "{away:?}");
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    other.execute("ROLLBACK").await.unwrap();
    timeout(Duration::from_secs(20), async { while ledger.record(&[result("b", 1.0)]).await.is_err() {} })
        .await
        .expect("it goes on");
    assert_eq!(all(&ledger, &Default::default(), 10).await.len(), 2);
    ledger.close().await;
}

#[tokio::test]
async fn a_table_that_is_gone_is_no_reason_to_give_results_up() {
    let database = Database::new().await;
    let ledger = PostgresLedger::open(database.url(), Migrate::Yes).await.unwrap();
    database.connect().await.execute("DROP TABLE entry").await.unwrap();
    let away = ledger.record(&[result("a", 1.0)]).await;
    assert!(matches!(away, Err(LedgerError::Away(_))), "{away:?}");
    ledger.close().await;
}
