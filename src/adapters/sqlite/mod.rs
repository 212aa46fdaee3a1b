//! The embedded queue: one SQLite file that survives whatever ends the process.
//!
//! One sender works on a file at a time. It alone knows which jobs are in hand, so nothing of that is written down: the
//! next one finds every job free that was not settled.

mod changes;
mod connection;
mod dead;
mod descriptor;
mod enqueue;
mod fault;
mod fetch;
mod ledger;
mod names;
mod open;
mod place;
mod proof;
mod queue;
mod receipt;
mod row;
mod source;
mod store;
mod sweeps;
#[cfg(test)]
mod tests;
mod together;
mod writer;
mod writing;

use std::path::Path;
use std::sync::Arc;

use uuid::{NoContext, Uuid};

pub use self::ledger::SqliteLedger;
pub use self::open::{OpenError, Part};
use self::store::Store;
pub use self::sweeps::{Sweep, Tally};
use self::writer::Desk;
use crate::model::job::DismissJob;
use crate::model::result::DismissResult;
use crate::ports::broker::BrokerError;
use crate::ports::clock::Clock;

/// An open queue. Dropped without [`close`](crate::ports::broker::Broker::close), it is given up as by a crash.
pub struct SqliteQueue {
    store: Arc<Store>,
    /// Absent beside the sender: who takes no jobs has none to change.
    desk: Option<Desk>,
}

impl SqliteQueue {
    /// Opens the file, or makes it. Jobs' own times are told by `clock`, and waits by what it shows if nobody sets it.
    pub async fn open(path: &Path, part: Part, clock: Clock) -> Result<Self, OpenError> {
        let mut opened = open::open(path, part).await?;
        if part == Part::Sender {
            let resumed = fetch::resume_waits(&mut opened.write, &clock).await;
            resumed.map_err(|error| open::explain(path, error))?;
        }
        let store = Arc::new(Store::new(opened, clock));
        let desk = match part {
            Part::Sender => {
                source::watch(&store);
                Some(writer::start(store.clone()))
            }
            Part::Beside => None,
        };
        Ok(Self { store, desk })
    }

    /// Stores the jobs, in their order: when it returns they are durable, all of them, or else none. `tag` marks them and
    /// later their results.
    pub async fn enqueue(&self, jobs: &[DismissJob], tag: Option<&str>) -> Result<(), BrokerError> {
        let mut write = self.store.write().await;
        let connection = write.begin().await?;
        let done = enqueue::insert(connection, jobs, tag, self.store.clock.now()).await;
        write.end(done).await?;
        self.store.changed();
        Ok(())
    }

    /// Whether that path leads to the queue's own file, which nobody else may open or write while it is in use.
    pub fn is_at(&self, path: &Path) -> bool {
        self.store.is_at(path)
    }

    /// How the jobs of a tag stand.
    pub async fn tally(&self, tag: &str) -> Result<Tally, BrokerError> {
        sweeps::tally(&mut *self.store.read().await?, tag).await
    }

    /// The results of a tag in the order of settling, each with its row: those after row `after`, at most `limit`.
    pub async fn results(&self, tag: &str, after: i64, limit: u32) -> Result<Vec<(i64, DismissResult)>, BrokerError> {
        sweeps::results(&mut *self.store.read().await?, tag, after, limit).await
    }

    /// The sweep of this content that is not finished.
    pub async fn sweep(&self, digest: &str) -> Result<Option<Sweep>, BrokerError> {
        sweeps::unfinished(&mut *self.store.read().await?, digest).await
    }

    /// Stores a new sweep and its jobs, all or nothing. An unfinished one of the same content is given up, and what it
    /// has not settled is removed.
    pub async fn begin_sweep(&self, digest: &str, jobs: &[DismissJob]) -> Result<Sweep, BrokerError> {
        let started_at = self.store.clock.now();
        let sweep = Sweep { tag: new_tag(started_at), total: jobs.len() as u64, started_at };
        let mut write = self.store.write().await;
        let connection = write.begin().await?;
        let mut done = sweeps::replace(connection, digest, &sweep).await;
        if done.is_ok() {
            done = enqueue::insert(connection, jobs, Some(&sweep.tag), started_at).await;
        }
        write.end(done).await?;
        self.store.changed();
        Ok(sweep)
    }

    /// Notes that nothing of a sweep is left to do.
    pub async fn finish_sweep(&self, tag: &str) -> Result<(), BrokerError> {
        let mut write = self.store.write().await;
        let connection = write.begin().await?;
        let done = sweeps::finish(connection, tag, self.store.clock.now()).await;
        write.end(done).await
    }
}

fn new_tag(now: jiff::Timestamp) -> String {
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or_default();
    format!("sweep-{}", Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanos)))
}
