//! The connection that writes, in transactions that nobody can leave open.

use sqlx::{Connection, SqliteConnection};

use super::fault::Broken;

/// SQLx's own transactions lose count where SQLite undoes one by itself, as on a full disk.
pub struct Writing {
    connection: Option<SqliteConnection>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// In a transaction, perhaps one that was given up half-way.
    Begun,
}

impl Writing {
    pub fn new(connection: SqliteConnection) -> Self {
        Self { connection: Some(connection), state: State::Idle }
    }

    /// Whether a transaction is open; seen by whoever has the turn, it was given up.
    pub fn is_begun(&self) -> bool {
        self.state == State::Begun
    }

    /// Begins a transaction, after undoing one that was left open.
    pub async fn begin(&mut self) -> Result<&mut SqliteConnection, Broken> {
        if self.state == State::Begun {
            self.undo().await;
        }
        let connection = self.connection.as_mut().ok_or(Broken::Closed)?;
        self.state = State::Begun;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        Ok(connection)
    }

    /// Commits what was done, or undoes all of it.
    pub async fn end<T, E: From<Broken>>(&mut self, done: Result<T, E>) -> Result<T, E> {
        let connection = self.connection.as_mut().ok_or(Broken::Closed)?;
        let ended = match done {
            Ok(answer) => match sqlx::query("COMMIT").execute(connection).await {
                Ok(_) => Ok(answer),
                Err(error) => Err(Broken::Sql(error).into()),
            },
            Err(error) => Err(error),
        };
        match &ended {
            Ok(_) => self.state = State::Idle,
            Err(_) => self.undo().await,
        }
        ended
    }

    /// SQLite undoes some failed transactions by itself: then there is none to undo.
    pub async fn undo(&mut self) {
        if let Some(connection) = &mut self.connection
            && let Err(error) = sqlx::query("ROLLBACK").execute(connection).await
        {
            tracing::debug!(%error, "undoing a transaction");
        }
        self.state = State::Idle;
    }

    /// Whoever comes next finds it closed.
    pub async fn close(&mut self) -> Result<(), sqlx::Error> {
        match self.connection.take() {
            Some(connection) => connection.close().await,
            None => Ok(()),
        }
    }
}
