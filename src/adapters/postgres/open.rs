//! Reaching the database, and bringing its schema up to date.

use std::cmp::Ordering;
use std::str::FromStr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::migrate::{Migration, MigrationSource, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use tokio::time::timeout;

use super::fault::{Trouble, not_migrated};
use super::session::{CONNECT, QUICK, within};
use crate::ports::ledger::{Migrate, OpenError};

/// How long a change of schema may take, waiting for another process that makes it included.
const MIGRATE: Duration = Duration::from_secs(600);
/// What every connection of ours asks of the server: to end what we gave up, to notice when we are gone, lest our locks
/// outlive us, and to plan each question for its own values.
const SETTINGS: [(&str, &str); 8] = [
    ("statement_timeout", "30s"),
    ("lock_timeout", "15s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "20s"),
    ("plan_cache_mode", "force_custom_plan"),
];

/// Asks the database for its schema, and brings it up to date if it is to be. Tells how to connect.
pub async fn open(url: &str, migrate: Migrate) -> Result<PgConnectOptions, OpenError> {
    let options = options(url)?;
    let mut connection = connect(&options).await?;
    let known = Schema::known();
    let found = within(QUICK, version(&mut connection)).await?;
    match (found.cmp(&known), migrate) {
        (Ordering::Equal, Migrate::Yes | Migrate::No) => {}
        (Ordering::Less, Migrate::Yes) => bring_up_to_date(&mut connection, known).await?,
        (Ordering::Less, Migrate::No) => return Err(OpenError::Older { found, known }),
        (Ordering::Greater, Migrate::Yes | Migrate::No) => return Err(OpenError::Newer { found, known }),
    }
    // Whether the farewell arrives or not.
    let _ = timeout(CONNECT, connection.close()).await;
    Ok(options)
}

fn options(url: &str) -> Result<PgConnectOptions, Trouble> {
    let options = PgConnectOptions::from_str(url)?;
    let named = options.get_application_name().is_some();
    let options = if named { options } else { options.application_name("roomsweep") };
    Ok(options.options(SETTINGS).disable_statement_logging())
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, Trouble> {
    within(CONNECT, async { Ok(options.connect().await?) }).await
}

/// The last step that was taken; 0 in an empty database.
async fn version(connection: &mut PgConnection) -> Result<i64, Trouble> {
    let there: bool =
        sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(&mut *connection).await?;
    if !there {
        return Ok(0);
    }
    let found: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success").fetch_one(connection).await?;
    Ok(found.unwrap_or(0))
}

async fn bring_up_to_date(connection: &mut PgConnection, known: i64) -> Result<(), OpenError> {
    let migrator = Migrator::new(Schema).await.map_err(|error| not_migrated(error, known))?;
    let patient = async { Ok(connection.execute("SET statement_timeout = 0; SET lock_timeout = 0").await?) };
    within(QUICK, patient).await?;
    match timeout(MIGRATE, migrator.run_direct(connection)).await {
        Ok(done) => done.map_err(|error| not_migrated(error, known)),
        Err(_) => Err(Trouble::Silent(MIGRATE).into()),
    }
}

#[derive(Debug)]
struct Schema;

impl Schema {
    fn steps() -> Vec<Migration> {
        let first = include_str!("../../../migrations/postgres/0001_ledger.sql");
        vec![Migration::new(1, "ledger".into(), MigrationType::Simple, first.into(), false)]
    }

    fn known() -> i64 {
        Self::steps().iter().map(|step| step.version).max().unwrap_or_default()
    }
}

impl MigrationSource<'static> for Schema {
    fn resolve(self) -> BoxFuture<'static, Result<Vec<Migration>, sqlx::error::BoxDynError>> {
        Box::pin(async { Ok(Self::steps()) })
    }
}
