//! The open file, as all parts of the queue share it.

use std::collections::HashSet;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::{Connection, SqliteConnection};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, watch};

use super::fault::Broken;
use super::open::Opened;
use super::writing::Writing;
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
            write: AsyncMutex::new(Writing::new(write)),
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
            && write.is_begun()
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
        let written = self.write.lock().await.close().await;
        let read = match self.read.lock().await.take() {
            Some(connection) => connection.close().await,
            None => Ok(()),
        };
        for error in [read, written].into_iter().filter_map(Result::err) {
            tracing::debug!(%error, "closing the queue's file");
        }
        locked(&self.lock).take();
    }
}

pub type Reading<'a> = tokio::sync::MappedMutexGuard<'a, SqliteConnection>;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn closed() -> BrokerError {
    Broken::Closed.into()
}

/// A job in hand; dropped, it is free again.
pub struct Hold {
    store: Arc<Store>,
    pub seq: i64,
}

impl Hold {
    /// The clock of its file.
    pub fn clock(&self) -> &Clock {
        &self.store.clock
    }

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
