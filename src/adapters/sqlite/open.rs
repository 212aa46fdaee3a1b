//! Opening the file: whose turn it is, what may be wrong with it, and bringing it up to date.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::migrate::{MigrateError, Migration, MigrationSource, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, SqliteConnection};

use super::connection::{FileConnection, Held};
use super::descriptor::{self, Denied, Descriptor, FileId};
use super::fault::{Broken, Code, code};
use super::ledger::carry;
use super::names::{self, Choice};
use super::place::{Displaced, Place};
use super::together::{Beside, Togetherness};

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
    #[error("{}: this process has not closed it yet", path.display())]
    NotClosed { path: PathBuf },
    #[error("the file was replaced while it was opened: {0}")]
    Displaced(#[from] Displaced),
    #[error(
        "{}: is a name of {}, by which it was opened before; use that one, or delete it when nobody works on it",
        path.display(), other.display()
    )]
    OtherName { path: PathBuf, other: PathBuf },
    #[error(
        "{}: has more names (hard links) in other folders, and what was written last may stand beside one of them; \
         delete those names",
        path.display()
    )]
    ManyNames { path: PathBuf },
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

/// An open file: a connection that writes and one that reads. Whoever sends has the right to as long as the first is open.
pub struct Opened {
    pub write: FileConnection,
    pub read: FileConnection,
    pub place: Arc<Place>,
}

/// Somebody else may be putting in many jobs in one transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Where SQLite does not wait by itself, it is tried again after so long, for so long.
const AGAIN: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens `path`, or makes it.
pub async fn open(path: &Path, part: Part) -> Result<Opened, OpenError> {
    // SQLite reads some relative names as something else than a path.
    let path = &std::path::absolute(path).map_err(|error| not_writable(path, &error))?;
    let descriptor = Descriptor::open(path).map_err(|denied| refused(path, denied))?;
    let (id, reading) = (descriptor.id(), Held::Use(descriptor.clone()));
    let writing = match part {
        Part::Sender => Held::Right(descriptor.claim().map_err(|denied| refused(path, denied))?),
        Part::Beside => Held::Use(descriptor),
    };
    match names::choose(path).map_err(|error| not_writable(path, &error))? {
        Choice::This => {}
        Choice::Other(other) => return Err(OpenError::OtherName { path: path.clone(), other }),
        Choice::Unclear => return Err(OpenError::ManyNames { path: path.clone() }),
    }
    let opened = assemble(path, id, (writing, reading)).await;
    opened.inspect_err(|_| descriptor::lose(id))
}

/// Each connection looks into the file right after it was seen to be whole: SQLite makes anew what is missing beside it.
async fn assemble(path: &Path, id: FileId, (writing, reading): (Held, Held)) -> Result<Opened, OpenError> {
    let mut write = connect(path, writing).await?;
    let opened = async {
        let before = together(path, id).await?;
        prepare(path, &mut write).await?;
        before.map_or(Ok(()), |before| before.check())?;
        migrate(path, &mut write).await?;
        let place = Arc::new(Place::of(path, id)?);
        Ok((beside(path, reading, &place).await?, place))
    };
    match opened.await {
        Ok((read, place)) => Ok(Opened { write, read, place }),
        Err(error) => Err(closed(write, error).await),
    }
}

/// Closes to its end what is not opened after all: it may be the last that has what others wrote into a log that is gone.
async fn closed(connection: FileConnection, error: OpenError) -> OpenError {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "closing a file that cannot be opened");
    }
    error
}

/// Waits until nothing lies beside the file that is not its own: whoever has it open notices that too, and closes it.
async fn together(path: &Path, id: FileId) -> Result<Option<Beside>, OpenError> {
    let real = std::fs::canonicalize(path).map_err(|error| not_writable(path, &error))?;
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        match descriptor::prove(id, &real) {
            Togetherness::Whole(before) => return Ok(before),
            Togetherness::Stranger(path) if end <= tokio::time::Instant::now() => {
                return Err(Displaced::Parted { path }.into());
            }
            Togetherness::Stranger(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// One more connection to an open file.
pub async fn another(path: &Path, opened: &Opened) -> Result<FileConnection, OpenError> {
    let path = &std::path::absolute(path).map_err(|error| not_writable(path, &error))?;
    beside(path, Held::Use(opened.read.descriptor()), &opened.place).await
}

async fn beside(path: &Path, held: Held, place: &Place) -> Result<FileConnection, OpenError> {
    let mut connection = connect(path, held).await?;
    let prepared = async {
        place.check()?;
        prepare(path, &mut connection).await?;
        Ok(place.check_new()?)
    };
    match prepared.await {
        Ok(()) => Ok(connection),
        Err(error) => Err(closed(connection, error).await),
    }
}

/// A connection that has not looked into the file yet.
async fn connect(path: &Path, held: Held) -> Result<FileConnection, OpenError> {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT).foreign_keys(false);
    let connection = options.disable_statement_logging().connect().await.map_err(|error| explain(path, error))?;
    Ok(FileConnection::new(connection, held))
}

/// As everybody works on the file. Of several who open a new one at a time one gives it its journal, and SQLite lets nobody
/// wait for that: the others try again.
async fn prepare(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let prepared = async {
        loop {
            match connection.execute(PRAGMAS).await {
                Err(error) if code(&error) == Code::Busy => tokio::time::sleep(AGAIN).await,
                prepared => return prepared,
            }
        }
    };
    let prepared = match tokio::time::timeout(PATIENCE, prepared).await {
        Ok(prepared) => prepared,
        Err(_) => connection.execute(PRAGMAS).await,
    };
    prepared.map(drop).map_err(|error| explain(path, error))
}

const PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -2048; \
     PRAGMA journal_size_limit = 16777216;";

fn refused(path: &Path, denied: Denied) -> OpenError {
    match denied {
        Denied::Busy => OpenError::Busy { path: path.to_owned() },
        Denied::NotClosed => OpenError::NotClosed { path: path.to_owned() },
        Denied::Io(error) => not_writable(path, &error),
    }
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
        Broken::Displaced(displaced) => displaced.into(),
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
