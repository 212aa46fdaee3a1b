//! Connections, lent for one call each. One that did not do what it was asked is given up, not repaired: it may hang.
//!
//! The driver's own pool asks what comes back whether it still answers, and waits for that without end.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::fault::Trouble;
use crate::ports::ledger::LedgerError;

/// How long a call may take that finds what it needs by an index.
pub const QUICK: Duration = Duration::from_secs(8);
/// How long a call may take that may have to look at everything.
pub const SEARCH: Duration = Duration::from_secs(30);
/// How long it may take to get a connection, be it one that is there or a new one.
pub const CONNECT: Duration = Duration::from_secs(3);
/// How long one that is there may take to show that it still answers.
const PING: Duration = Duration::from_secs(1);
const FAREWELL: Duration = Duration::from_secs(2);
/// As many calls as a worker makes at a time: it records, asks for controls, tells of itself, and somebody looks.
const CONNECTIONS: usize = 4;
/// Of these, so many may take long: the others are there for what is quick.
const SEARCHES: usize = 2;
/// A connection is replaced now and then, so that all of them follow a failover or a new password.
const LIFETIME: Duration = Duration::from_secs(1800);

/// The connections that there are, made as they are needed.
pub struct Sessions {
    options: PgConnectOptions,
    seats: Semaphore,
    searches: Semaphore,
    idle: Mutex<Vec<Live>>,
}

struct Live {
    connection: PgConnection,
    since: Instant,
}

/// One connection, on loan.
pub struct Session<'a> {
    sessions: &'a Sessions,
    live: Option<Live>,
    _seat: SemaphorePermit<'a>,
    _search: Option<SemaphorePermit<'a>>,
}

impl Sessions {
    pub fn new(options: PgConnectOptions) -> Self {
        Self { options, seats: Semaphore::new(CONNECTIONS), searches: Semaphore::new(SEARCHES), idle: Mutex::default() }
    }

    /// One that answers.
    pub async fn take(&self) -> Result<Session<'_>, LedgerError> {
        let taken = within(CONNECT, async {
            let seat = self.seats.acquire().await.map_err(|_| Trouble::Closed)?;
            let live = match self.answering().await {
                Some(live) => live,
                None => Live { connection: self.options.connect().await?, since: Instant::now() },
            };
            Ok(Session { sessions: self, live: Some(live), _seat: seat, _search: None })
        });
        Ok(taken.await?)
    }

    /// The same for a call that may have to look at everything. It waits for others of its kind as long as it may take itself.
    pub async fn take_to_search(&self) -> Result<Session<'_>, LedgerError> {
        let turn = within(SEARCH, async { self.searches.acquire().await.map_err(|_| Trouble::Closed) }).await?;
        Ok(Session { _search: Some(turn), ..self.take().await? })
    }

    /// One of those that are there. If one does not answer, none is asked any more: they share their fate.
    async fn answering(&self) -> Option<Live> {
        let mut live = self.idle().pop()?;
        match timeout(PING, live.connection.ping()).await {
            Ok(Ok(())) => Some(live),
            Ok(Err(_)) | Err(_) => {
                self.idle().clear();
                None
            }
        }
    }

    pub async fn close(&self) {
        self.seats.close();
        self.searches.close();
        let idle = std::mem::take(&mut *self.idle());
        // Whoever does not hear it finds out by the end of the connection.
        let farewell = async {
            for live in idle {
                let _ = live.connection.close().await;
            }
        };
        let _ = timeout(FAREWELL, farewell).await;
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Live>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session<'_> {
    /// Back to the others if all went well.
    pub fn end<T>(mut self, done: Result<T, Trouble>) -> Result<T, LedgerError> {
        let value = done?;
        let young = self.live.take().filter(|live| live.since.elapsed() < LIFETIME);
        self.sessions.idle().extend(young.filter(|_| !self.sessions.seats.is_closed()));
        Ok(value)
    }
}

impl Deref for Session<'_> {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.live.as_ref().expect("it is on loan until it ends").connection
    }
}

impl DerefMut for Session<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.live.as_mut().expect("it is on loan until it ends").connection
    }
}

/// A server that stands still does not end a call, so we do.
pub async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    timeout(limit, call).await.unwrap_or(Err(Trouble::Silent(limit)))
}
