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

use super::fault::{Code, code};

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

/// Opens `path`, or makes it.
pub async fn open(path: &Path, part: Part) -> Result<Opened, OpenError> {
    let lock = match part {
        Part::Sender => Some(lock(path)?),
        Part::Beside => None,
    };
    make(path).map_err(|error| not_writable(path, &error))?;
    let mut write = connect(path).await.map_err(|error| explain(path, error))?;
    migrate(path, &mut write).await?;
    let read = connect(path).await.map_err(|error| explain(path, error))?;
    Ok(Opened { write, read, lock })
}

async fn connect(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
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

fn explain(path: &Path, error: sqlx::Error) -> OpenError {
    let (path, reason) = (path.to_owned(), error.to_string());
    match code(&error) {
        Code::NotWritable => OpenError::NotWritable { path, reason },
        Code::NotADatabase => OpenError::NotADatabase { path, reason },
        Code::Full => OpenError::Full { path },
        Code::Other => OpenError::Other { path, source: error },
    }
}

#[derive(Debug)]
struct Schema;

impl Schema {
    fn steps() -> Vec<Migration> {
        let first = include_str!("../../../migrations/sqlite/0001_queue.sql");
        vec![Migration::new(1, "queue".into(), MigrationType::Simple, first.into(), false)]
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
    migrator.run_direct(&mut *transaction).await.map_err(|error| failed(path, error))?;
    transaction.commit().await.map_err(|error| explain(path, error))
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
