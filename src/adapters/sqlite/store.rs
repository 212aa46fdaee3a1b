//! The open file, as all parts of the queue share it.

use std::collections::HashSet;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::{Connection, SqliteConnection};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, watch};

use super::fault;
use super::open::Opened;
use crate::ports::broker::BrokerError;
use crate::ports::clock::Clock;

pub struct Store {
    pub clock: Clock,
    write: AsyncMutex<Writing>,
    read: AsyncMutex<Option<SqliteConnection>>,
    lock: Mutex<Option<File>>,
    hand: Mutex<HashSet<i64>>,
    /// Counts what may have made a job available.
    changes: watch::Sender<u64>,
    ended: watch::Sender<Option<BrokerError>>,
}

impl Store {
    pub fn new(opened: Opened, clock: Clock) -> Self {
        let Opened { write, read, lock } = opened;
        Self {
            clock,
            write: AsyncMutex::new(Writing { connection: Some(write), state: State::Idle }),
            read: AsyncMutex::new(Some(read)),
            lock: Mutex::new(lock),
            hand: Mutex::default(),
            changes: watch::channel(0).0,
            ended: watch::channel(None).0,
        }
    }

    /// Waits for its turn to write.
    pub async fn write(&self) -> AsyncMutexGuard<'_, Writing> {
        self.write.lock().await
    }

    /// Undoes a transaction that was given up half-way: left open, it would keep other processes from writing.
    pub async fn tidy(&self) {
        if let Ok(mut write) = self.write.try_lock()
            && write.state == State::Begun
        {
            write.undo().await;
        }
    }

    /// Waits for its turn to read. Jobs are taken into hand only under it: so none is taken twice.
    pub async fn read(&self) -> Result<Reading<'_>, BrokerError> {
        let guard = self.read.lock().await;
        AsyncMutexGuard::try_map(guard, Option::as_mut).map_err(|_| closed())
    }

    /// Takes a job into hand; None if it is there already.
    pub fn hold(self: &Arc<Self>, seq: i64) -> Option<Hold> {
        let is_new = locked(&self.hand).insert(seq);
        is_new.then(|| Hold { store: self.clone(), seq })
    }

    /// What is in hand, as a JSON array.
    pub fn in_hand(&self) -> String {
        let seqs: Vec<String> = locked(&self.hand).iter().map(ToString::to_string).collect();
        format!("[{}]", seqs.join(","))
    }

    /// A job may have become available.
    pub fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Resolves once the file is given up.
    pub async fn ended(&self) -> BrokerError {
        let mut ended = self.ended.subscribe();
        let end = ended.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
        end.unwrap_or_else(closed)
    }

    /// Ends whatever goes on, and lets others send.
    pub async fn close(&self) {
        self.ended.send_if_modified(|end| end.replace(closed()).is_none());
        let write = self.write.lock().await.connection.take();
        let read = self.read.lock().await.take();
        for connection in [read, write].into_iter().flatten() {
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "closing the queue's file");
            }
        }
        locked(&self.lock).take();
    }
}

pub type Reading<'a> = tokio::sync::MappedMutexGuard<'a, SqliteConnection>;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn closed() -> BrokerError {
    BrokerError::Lost("the queue's file is closed".into())
}

/// A job in hand; dropped, it is free again.
pub struct Hold {
    store: Arc<Store>,
    pub seq: i64,
}

impl Hold {
    /// The job is gone: nothing has become available.
    pub fn over(self) {
        locked(&self.store.hand).remove(&self.seq);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if locked(&self.store.hand).remove(&self.seq) {
            self.store.changed();
        }
    }
}

/// The connection that writes, in transactions.
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
    /// Begins a transaction, after undoing one that was left open.
    pub async fn begin(&mut self) -> Result<&mut SqliteConnection, BrokerError> {
        if self.state == State::Begun {
            self.undo().await;
        }
        let connection = self.connection.as_mut().ok_or_else(closed)?;
        self.state = State::Begun;
        run(connection, "BEGIN IMMEDIATE").await?;
        Ok(connection)
    }

    /// Commits what was done, or undoes all of it.
    pub async fn end<T>(&mut self, done: Result<T, BrokerError>) -> Result<T, BrokerError> {
        let connection = self.connection.as_mut().ok_or_else(closed)?;
        let ended = match done {
            Ok(answer) => run(connection, "COMMIT").await.map(|()| answer),
            Err(error) => Err(error),
        };
        match &ended {
            Ok(_) => self.state = State::Idle,
            Err(_) => self.undo().await,
        }
        ended
    }

    /// SQLite undoes some failed transactions by itself: then there is none to undo.
    async fn undo(&mut self) {
        if let Some(connection) = &mut self.connection
            && let Err(error) = run(connection, "ROLLBACK").await
        {
            tracing::debug!(%error, "undoing a transaction");
        }
        self.state = State::Idle;
    }
}

async fn run(connection: &mut SqliteConnection, statement: &'static str) -> Result<(), BrokerError> {
    let done = sqlx::query(statement).execute(connection).await;
    done.map(drop).map_err(|error| fault::broker(&error))
}
