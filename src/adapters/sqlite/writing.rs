//! The connection that writes, in transactions that nobody can leave open.

use std::sync::Arc;

use sqlx::SqliteConnection;

use super::connection::FileConnection;
use super::fault::{Broken, is_upset};
use super::place::Place;

/// SQLx's own transactions lose count where SQLite undoes one by itself, as on a full disk.
pub struct Writing {
    connection: Option<FileConnection>,
    place: Arc<Place>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// In a transaction, perhaps one that was given up half-way.
    Begun,
}

impl Writing {
    pub fn new(connection: FileConnection, place: Arc<Place>) -> Self {
        Self { connection: Some(connection), place, state: State::Idle }
    }

    /// Whether a transaction is open; seen by whoever has the turn, it was given up.
    pub fn is_begun(&self) -> bool {
        self.state == State::Begun
    }

    /// Begins a transaction, after undoing one that was left open. Nothing is written into a file that is not at its path.
    pub async fn begin(&mut self) -> Result<&mut SqliteConnection, Broken> {
        self.place.check()?;
        if self.state == State::Begun {
            self.undo().await;
        }
        let connection = self.connection.as_mut().ok_or(Broken::Closed)?;
        self.state = State::Begun;
        let begun = sqlx::query("BEGIN IMMEDIATE").execute(&mut **connection).await;
        begun.inspect_err(|error| heed(&self.place, error))?;
        Ok(connection)
    }

    /// Commits what was done, or undoes all of it. What was committed counts only while the file is at its path: elsewhere
    /// nobody finds it.
    pub async fn end<T, E: From<Broken>>(&mut self, done: Result<T, E>) -> Result<T, E> {
        let connection = self.connection.as_mut().ok_or(Broken::Closed)?;
        let ended = match done {
            Ok(answer) => match sqlx::query("COMMIT").execute(&mut **connection).await {
                Ok(_) => {
                    self.state = State::Idle;
                    return self.place.check().map(|()| answer).map_err(|displaced| Broken::from(displaced).into());
                }
                Err(error) => {
                    heed(&self.place, &error);
                    Err(Broken::Sql(error).into())
                }
            },
            Err(error) => Err(error),
        };
        self.undo().await;
        ended
    }

    /// SQLite undoes some failed transactions by itself: then there is none to undo.
    pub async fn undo(&mut self) {
        if let Some(connection) = &mut self.connection
            && let Err(error) = sqlx::query("ROLLBACK").execute(&mut **connection).await
        {
            tracing::debug!(%error, "undoing a transaction");
        }
        self.state = State::Idle;
    }

    /// Whoever comes next finds it closed. A file that was moved away takes with it what was written last.
    pub async fn close(&mut self) -> Result<(), sqlx::Error> {
        if self.is_begun() {
            self.undo().await;
        }
        if self.place.check().is_ok() {
            // SQLite does so itself with the last connection, but not where two are closed at a time.
            self.write_back("PRAGMA wal_checkpoint(PASSIVE)").await;
        } else {
            self.write_back("PRAGMA wal_checkpoint(FULL)").await;
            self.place.clear();
        }
        match self.connection.take() {
            Some(connection) => connection.close().await,
            None => Ok(()),
        }
    }

    /// Brings what was written last from the log into the database.
    async fn write_back(&mut self, checkpoint: &'static str) {
        if let Some(connection) = &mut self.connection
            && let Err(error) = sqlx::query(checkpoint).fetch_all(&mut **connection).await
        {
            tracing::debug!(%error, "writing back the log of a file that is closed");
        }
    }
}

fn heed(place: &Place, error: &sqlx::Error) {
    if is_upset(error) {
        place.give_up();
    }
}
