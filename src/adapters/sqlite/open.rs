//! Opening the file: whose turn it is, what may be wrong with it, and bringing it up to date.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::migrate::{MigrateError, Migration, MigrationSource, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::fault::{Broken, Code, code};
use super::ledger::carry;

/// Who opens the file. There is one sender at a time: it alone knows what is in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Takes jobs out: a worker or a sweep.
    Sender,
    /// Puts jobs in, or looks.
    Beside,
}

/// Why the file cannot be used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{}: a worker or a sweep is at work on this file; stop it first, or use another file", path.display())]
    Busy { path: PathBuf },
    #[error(
        "{}: written by a later version of roomsweep (schema {found}; this one knows {known}); use that version, or \
         another file",
        path.display()
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{}: cannot be written: {reason}; it needs a folder that is there and may be written to", path.display())]
    NotWritable { path: PathBuf, reason: String },
    #[error("{}: is not a queue of roomsweep, or is damaged: {reason}; use another file", path.display())]
    NotADatabase { path: PathBuf, reason: String },
    #[error("{}: the disk is full; make room and try again", path.display())]
    Full { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Other { path: PathBuf, source: sqlx::Error },
}

/// An open file: a connection that writes, one that reads, and the right to send.
pub struct Opened {
    pub write: SqliteConnection,
    pub read: SqliteConnection,
    /// Held for as long as we send; the kernel frees it however the process ends.
    pub lock: Option<File>,
}

/// The file holds room IDs: they are nobody else's business.
const MODE: u32 = 0o600;
/// Somebody else may be putting in many jobs in one transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Where SQLite does not wait by itself, it is tried again after so long, for so long.
const AGAIN: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens `path`, or makes it.
pub async fn open(path: &Path, part: Part) -> Result<Opened, OpenError> {
    let lock = match part {
        Part::Sender => Some(lock(path)?),
        Part::Beside => None,
    };
    make(path).map_err(|error| not_writable(path, &error))?;
    let mut write = another(path).await?;
    migrate(path, &mut write).await?;
    let read = another(path).await?;
    Ok(Opened { write, read, lock })
}

/// One more connection. Of several who open a new file at a time one gives it its journal, and SQLite lets nobody wait for that:
/// the others try again.
pub async fn another(path: &Path) -> Result<SqliteConnection, OpenError> {
    let connected = async {
        loop {
            match connect(path).await {
                Err(error) if code(&error) == Code::Busy => tokio::time::sleep(AGAIN).await,
                connected => return connected,
            }
        }
    };
    match tokio::time::timeout(PATIENCE, connected).await {
        Ok(connected) => connected.map_err(|error| explain(path, error)),
        Err(_) => connect(path).await.map_err(|error| explain(path, error)),
    }
}

/// As everybody opens it.
pub async fn connect(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(false)
        .pragma("cache_size", "-2048")
        .pragma("journal_size_limit", "16777216");
    options.disable_statement_logging().connect().await
}

/// Beside the file, for SQLite's own locks are those of single transactions.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock = file(Path::new(&name)).map_err(|error| not_writable(path, &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::Busy { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(not_writable(path, &error)),
    }
}

/// SQLite would make it for everybody to read; what it makes beside it gets the same mode.
fn make(path: &Path) -> io::Result<()> {
    file(path).map(drop)
}

fn file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(MODE).open(path)
}

fn not_writable(path: &Path, error: &io::Error) -> OpenError {
    OpenError::NotWritable { path: path.to_owned(), reason: error.to_string() }
}

/// What an error of the file's means for whoever opens it.
pub fn explain(path: &Path, error: sqlx::Error) -> OpenError {
    let (path, reason) = (path.to_owned(), error.to_string());
    match code(&error) {
        Code::NotWritable => OpenError::NotWritable { path, reason },
        Code::NotADatabase => OpenError::NotADatabase { path, reason },
        Code::Full => OpenError::Full { path },
        Code::Busy | Code::Unfit | Code::Other => OpenError::Other { path, source: error },
    }
}

/// What the file goes through until it is as this version wants it.
#[derive(Debug)]
pub struct Schema;

impl Schema {
    pub fn steps() -> Vec<Migration> {
        let step = |version, name: &'static str, sql: &'static str| {
            Migration::new(version, name.into(), MigrationType::Simple, sql.into(), false)
        };
        vec![
            step(1, "queue", include_str!("../../../migrations/sqlite/0001_queue.sql")),
            step(2, "ledger", include_str!("../../../migrations/sqlite/0002_ledger.sql")),
            step(3, "waits", include_str!("../../../migrations/sqlite/0003_waits.sql")),
        ]
    }
}

impl MigrationSource<'static> for Schema {
    fn resolve(self) -> BoxFuture<'static, Result<Vec<Migration>, sqlx::error::BoxDynError>> {
        Box::pin(async { Ok(Self::steps()) })
    }
}

/// In one transaction, for another process may be doing the same.
async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let migrator = Migrator::new(Schema).await.map_err(|error| failed(path, error))?;
    let begun = connection.begin_with("BEGIN IMMEDIATE").await;
    let mut transaction = begun.map_err(|error| explain(path, error))?;
    let had_ledger = carry::has_ledger(&mut transaction).await.map_err(|error| explain(path, error))?;
    migrator.run_direct(&mut *transaction).await.map_err(|error| failed(path, error))?;
    if !had_ledger {
        carry::carry(&mut transaction).await.map_err(|broken| uncarried(path, broken))?;
    }
    transaction.commit().await.map_err(|error| explain(path, error))
}

fn uncarried(path: &Path, broken: Broken) -> OpenError {
    match broken {
        Broken::Sql(error) => explain(path, error),
        broken @ (Broken::Closed | Broken::Silent(_) | Broken::Unreadable { .. }) => {
            OpenError::NotADatabase { path: path.to_owned(), reason: broken.to_string() }
        }
    }
}

fn failed(path: &Path, error: MigrateError) -> OpenError {
    let known = Schema::steps().iter().map(|step| step.version).max().unwrap_or_default();
    match error {
        MigrateError::VersionMissing(found) | MigrateError::VersionMismatch(found) => {
            OpenError::Newer { path: path.to_owned(), found, known }
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => explain(path, error),
        other => explain(path, sqlx::Error::Migrate(Box::new(other))),
    }
}
