//! The open file, as all parts of the queue share it.

use std::collections::HashSet;
use std::ops::DerefMut;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::SqliteConnection;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, watch};

use super::connection::FileConnection;
use super::fault::Broken;
use super::open::Opened;
use super::place::{Displaced, Place};
use super::writing::Writing;
use crate::ports::broker::BrokerError;
use crate::ports::clock::Clock;

pub struct Store {
    pub clock: Clock,
    write: AsyncMutex<Writing>,
    read: AsyncMutex<Option<FileConnection>>,
    place: Arc<Place>,
    hand: Mutex<HashSet<i64>>,
    /// Counts what may have made a job available.
    changes: watch::Sender<u64>,
    ended: watch::Sender<Option<BrokerError>>,
}

impl Store {
    pub fn new(opened: Opened, clock: Clock) -> Self {
        let Opened { write, read, place } = opened;
        Self {
            clock,
            write: AsyncMutex::new(Writing::new(write, place.clone())),
            read: AsyncMutex::new(Some(read)),
            place,
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
        AsyncMutexGuard::try_map(guard, |read| read.as_mut().map(DerefMut::deref_mut)).map_err(|_| closed())
    }

    /// Whether the file is where it was.
    pub fn check(&self) -> Result<(), Broken> {
        Ok(self.place.check()?)
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

    /// Whether that path leads into what is open here.
    pub fn is_at(&self, path: &Path) -> bool {
        self.place.is_at(path)
    }

    /// Gives the file up, for all of this process; the first reason stands.
    pub fn end(&self, reason: BrokerError) {
        if self.tell_end(reason) {
            self.place.give_up();
        }
    }

    /// Whether it was the first reason.
    fn tell_end(&self, reason: BrokerError) -> bool {
        self.ended.send_if_modified(|end| {
            let is_first = end.is_none();
            end.get_or_insert(reason);
            is_first
        })
    }

    /// Ends whatever goes on, and lets others send. Goes on to the end, although it be given up half-way: a statement that
    /// hangs must not outlive the session unnoticed.
    pub async fn close(self: &Arc<Self>) {
        self.tell_end(closed());
        let store = self.clone();
        let closing = tokio::spawn(async move { store.shut().await });
        if let Err(error) = closing.await {
            tracing::debug!(%error, "closing the queue's file");
        }
    }

    async fn shut(&self) {
        let mut write = self.write.lock().await;
        match self.place.check() {
            Ok(()) => {}
            // It is where it was: whoever opens it next finds them.
            Err(Displaced::GivenUp { .. } | Displaced::Parted { .. } | Displaced::Overwritten { .. }) => {}
            Err(displaced @ (Displaced::Gone { .. } | Displaced::Replaced { .. })) => self.tell_left(&displaced).await,
        }
        let written = write.close().await;
        let read = match self.read.lock().await.take() {
            Some(connection) => connection.close().await,
            None => Ok(()),
        };
        for error in [read, written].into_iter().filter_map(Result::err) {
            tracing::debug!(%error, "closing the queue's file");
        }
    }

    /// Says what is lost from sight with a file that is not at its path any more.
    async fn tell_left(&self, displaced: &Displaced) {
        let Ok(mut connection) = self.read().await else { return };
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM job").fetch_one(&mut *connection).await;
        match count {
            Ok(0) => tracing::warn!("the queue's file is given up, with no job left in it: {displaced}"),
            Ok(jobs) => {
                tracing::error!(jobs, "the queue's file is given up, with {jobs} unsettled jobs in it: {displaced}")
            }
            Err(error) => tracing::error!(%error, "the queue's file is given up, and cannot be read: {displaced}"),
        }
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
