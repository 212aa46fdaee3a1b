//! The ledger's three connections: one writes, one reads what is found at once, one searches.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::SqliteConnection;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard, OwnedMutexGuard};

use crate::adapters::sqlite::connection::FileConnection;
use crate::adapters::sqlite::fault::{Broken, is_upset};
use crate::adapters::sqlite::open::{self, OpenError, Part};
use crate::adapters::sqlite::place::{Displaced, Place};
use crate::adapters::sqlite::writing::Writing;

/// How long a search may take, waiting for others included.
pub const SEARCH: Duration = Duration::from_secs(30);
/// So many steps of SQLite's machine go between two looks whether a search is still wanted: well under a millisecond.
const STEPS: i32 = 10_000;

pub struct LedgerFile {
    write: Arc<Mutex<Writing>>,
    read: Mutex<Option<FileConnection>>,
    search: Mutex<Option<FileConnection>>,
    place: Arc<Place>,
}

impl LedgerFile {
    /// Opens the file, or makes it.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        let opened = open::open(path, Part::Beside).await?;
        let search = open::another(path, &opened).await?;
        Ok(Self {
            write: Arc::new(Mutex::new(Writing::new(opened.write, opened.place.clone()))),
            read: Mutex::new(Some(opened.read)),
            search: Mutex::new(Some(search)),
            place: opened.place,
        })
    }

    /// Whether the file is where it was.
    pub fn check(&self) -> Result<(), Displaced> {
        self.place.check()
    }

    /// Gives the file up where a reader met with something that was not to be.
    pub fn heed(&self, broken: &Broken) {
        if matches!(broken, Broken::Sql(error) if is_upset(error)) {
            self.place.give_up();
        }
    }

    /// Waits for its turn to write.
    pub async fn write(&self) -> Turn {
        Turn(Some(self.write.clone().lock_owned().await))
    }

    /// Waits for its turn to read.
    pub async fn read(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, Broken> {
        opened(self.read.lock().await)
    }

    /// Waits for its turn to search.
    pub async fn search(&self) -> Result<Search<'_>, Broken> {
        let mut connection = opened(self.search.lock().await)?;
        let over = Arc::new(AtomicBool::new(false));
        let seen = over.clone();
        let mut handle = connection.lock_handle().await?;
        handle.set_progress_handler(STEPS, move || !seen.load(Ordering::Relaxed));
        drop(handle);
        Ok(Search { connection, over })
    }

    pub async fn close(&self) {
        let written = self.write.lock().await.close().await;
        let (read, search) = (close(&self.read).await, close(&self.search).await);
        for error in [search, read, written].into_iter().filter_map(Result::err) {
            tracing::debug!(%error, "closing the ledger's file");
        }
    }
}

fn opened(guard: MutexGuard<'_, Option<FileConnection>>) -> Result<MappedMutexGuard<'_, SqliteConnection>, Broken> {
    MutexGuard::try_map(guard, |connection| connection.as_mut().map(DerefMut::deref_mut)).map_err(|_| Broken::Closed)
}

async fn close(connection: &Mutex<Option<FileConnection>>) -> Result<(), sqlx::Error> {
    match connection.lock().await.take() {
        Some(connection) => connection.close().await,
        None => Ok(()),
    }
}

/// The right to search. Given up half-way, what was begun ends at once: by itself it would go on to its end, and the next
/// one would wait for it.
pub struct Search<'a> {
    connection: MappedMutexGuard<'a, SqliteConnection>,
    over: Arc<AtomicBool>,
}

impl Deref for Search<'_> {
    type Target = SqliteConnection;
    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Search<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

impl Drop for Search<'_> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The right to write. Given up half-way, what was begun is undone at once: left open, it would keep the embedded queue
/// from settling.
pub struct Turn(Option<OwnedMutexGuard<Writing>>);

const HELD: &str = "held until it is dropped";

impl Deref for Turn {
    type Target = Writing;
    fn deref(&self) -> &Writing {
        self.0.as_ref().expect(HELD)
    }
}

impl DerefMut for Turn {
    fn deref_mut(&mut self) -> &mut Writing {
        self.0.as_mut().expect(HELD)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(mut writing) = self.0.take_if(|writing| writing.is_begun())
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { writing.undo().await });
        }
    }
}
