//! A connection to the file, and what this process holds on to until SQLite has closed it.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

use sqlx::{Connection, SqliteConnection};

use super::descriptor::{Descriptor, SendingRight};

/// A connection that is closed to its end, also where nobody waits for it: SQLx closes one that is merely dropped at some
/// later moment, on a thread of its own.
pub struct FileConnection(Option<(SqliteConnection, Held)>);

/// What ends after the connection.
pub enum Held {
    Use(Descriptor),
    Right(SendingRight),
}

const OPEN: &str = "open until it is closed or dropped";

impl FileConnection {
    pub fn new(connection: SqliteConnection, held: Held) -> Self {
        Self(Some((connection, held)))
    }

    /// Another use of the same file.
    pub fn descriptor(&self) -> Descriptor {
        match &self.0.as_ref().expect(OPEN).1 {
            Held::Use(descriptor) => descriptor.clone(),
            Held::Right(right) => right.descriptor().clone(),
        }
    }

    /// Goes on to the end, although it be given up half-way.
    pub async fn close(mut self) -> Result<(), sqlx::Error> {
        let Some((connection, held)) = self.0.take() else { return Ok(()) };
        tokio::spawn(closing(connection, held)).await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }
}

/// Where the end is not seen, as when the process ends first, what is held stays held.
fn closing(connection: SqliteConnection, held: Held) -> impl Future<Output = Result<(), sqlx::Error>> {
    let held = ManuallyDrop::new(held);
    async move {
        let closed = connection.close().await;
        drop(ManuallyDrop::into_inner(held));
        closed
    }
}

impl Deref for FileConnection {
    type Target = SqliteConnection;
    fn deref(&self) -> &SqliteConnection {
        &self.0.as_ref().expect(OPEN).0
    }
}

impl DerefMut for FileConnection {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.0.as_mut().expect(OPEN).0
    }
}

impl Drop for FileConnection {
    fn drop(&mut self) {
        let Some((connection, held)) = self.0.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(closing(connection, held))),
            Err(_) => std::mem::forget(held),
        }
    }
}
