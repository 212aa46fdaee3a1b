//! Receiving: jobs of one provider, taken into hand as they become available.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::fetch::{self, Taken};
use super::row::ORDER;
use super::store::Store;
use super::writer::Desk;
use crate::model::ids::ProviderName;
use crate::model::job::Lane;
use crate::ports::broker::{BrokerError, Delivery, JobSource, LaneKey, See};

/// How often it is looked whether another process has put something in.
const POLL: Duration = Duration::from_millis(100);
/// The longest sleep until a job comes due: wall clocks are set.
const NAP: Duration = Duration::from_secs(1);

/// Notices what other processes write, and lets them, for as long as the file is open; and that it is not at its path any
/// more, or cannot be read: then it is given up.
pub fn watch(store: &Arc<Store>) {
    let store = Arc::downgrade(store);
    tokio::spawn(async move {
        let mut known = None;
        while let Some(store) = store.upgrade() {
            match look(&store).await {
                Ok(version) if known.replace(version) != Some(version) => store.changed(),
                Ok(_) => {}
                Err(error) => return store.end(error),
            }
            store.tidy().await;
            drop(store);
            tokio::time::sleep(POLL).await;
        }
    });
}

async fn look(store: &Store) -> Result<i64, BrokerError> {
    store.check()?;
    fetch::version(&mut *store.read().await?).await
}

/// The jobs of one provider.
pub struct SqliteSource {
    shelf: Arc<Shelf>,
    provider: ProviderName,
    desk: Desk,
    feeder: AbortHandle,
}

impl SqliteSource {
    /// Holds up to `prefetch` jobs of each lane, and as many again that were tried before.
    pub fn open(store: Arc<Store>, desk: Desk, provider: ProviderName, prefetch: u16) -> Self {
        let shelf = Arc::new(Shelf {
            size: usize::from(prefetch.max(1)),
            rows: Mutex::default(),
            filled: Notify::new(),
            low: Notify::new(),
        });
        let feeding = (shelf.clone(), provider.clone());
        let feeder = tokio::spawn(async move {
            let (shelf, provider) = feeding;
            let Err(error) = feed(&store, &shelf, &provider).await;
            store.end(error.clone());
            shelf.end(error);
        });
        Self { shelf, provider, desk, feeder: feeder.abort_handle() }
    }
}

/// What is at hand; filled by a task, for a better job may come while the present one waits.
struct Shelf {
    /// The most that each row holds.
    size: usize,
    rows: Mutex<Rows>,
    filled: Notify,
    low: Notify,
}

type Row = BTreeMap<i64, (Instant, Taken)>;
type Entry = (i64, (Instant, Taken));

#[derive(Default)]
struct Rows {
    /// In the order of [`ORDER`].
    jobs: [Row; ORDER.len()],
    ended: Option<BrokerError>,
}

impl Shelf {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn free(&self, row: usize) -> usize {
        self.size.saturating_sub(self.rows().jobs[row].len())
    }

    /// A shelf that was cleared for good takes nothing more.
    fn put(&self, row: usize, taken: Vec<Taken>) {
        let mut rows = self.rows();
        if rows.ended.is_none() && !taken.is_empty() {
            rows.jobs[row].extend(taken.into_iter().map(|taken| (taken.seq(), (Instant::now(), taken))));
            self.filled.notify_one();
        }
    }

    fn end(&self, error: BrokerError) {
        self.rows().ended.get_or_insert(error);
        self.filled.notify_one();
    }
}

async fn feed(store: &Arc<Store>, shelf: &Shelf, provider: &ProviderName) -> Result<Infallible, BrokerError> {
    let mut changes = store.changes();
    loop {
        changes.borrow_and_update();
        for (row, of) in ORDER.into_iter().enumerate() {
            let free = shelf.free(row);
            if free > 0 {
                shelf.put(row, fetch::take(store, provider, of, free).await?);
            }
        }
        let due = fetch::next_due(store, provider).await?;
        tokio::select! {
            error = store.ended() => return Err(error),
            _ = changes.changed() => {}
            () = shelf.low.notified() => {}
            () = tokio::time::sleep(due.unwrap_or(NAP).min(NAP)) => {}
        }
    }
}

#[async_trait]
impl JobSource for SqliteSource {
    async fn ready(&mut self) -> Result<(), BrokerError> {
        loop {
            {
                let rows = self.shelf.rows();
                if let Some(error) = &rows.ended {
                    return Err(error.clone());
                }
                if rows.jobs.iter().any(|row| !row.is_empty()) {
                    return Ok(());
                }
            }
            self.shelf.filled.notified().await;
        }
    }

    fn best(&mut self) -> Option<Delivery> {
        let row = self.rows_with_jobs().next()?;
        self.deliver(row, BTreeMap::pop_first)
    }

    fn spare(&mut self) -> Option<Delivery> {
        let row = self.rows_with_jobs().next_back()?;
        self.deliver(row, BTreeMap::pop_last)
    }

    fn look(&mut self, see: &mut See<'_>) {
        for (_, taken) in self.shelf.rows().jobs.iter().flat_map(BTreeMap::values) {
            if see(&taken.message.body, taken.message.message_id.as_deref()).is_break() {
                return;
            }
        }
    }

    fn held(&self, lane: Lane) -> usize {
        let rows = self.shelf.rows();
        let of_lane = ORDER.iter().zip(&rows.jobs).filter(|((row, _), _)| *row == lane);
        of_lane.map(|(_, jobs)| jobs.len()).sum()
    }

    async fn release_older_than(&mut self, age: Duration) -> Result<(), BrokerError> {
        for row in &mut self.shelf.rows().jobs {
            row.retain(|_, (since, _)| since.elapsed() < age);
        }
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BrokerError> {
        self.put_down();
        Ok(())
    }
}

impl SqliteSource {
    fn rows_with_jobs(&self) -> impl DoubleEndedIterator<Item = usize> {
        let jobs = self.shelf.rows().jobs.each_ref().map(BTreeMap::len);
        (0..ORDER.len()).filter(move |row| jobs[*row] > 0)
    }

    /// The job of a row that `pop` takes out.
    fn deliver(&self, row: usize, pop: fn(&mut Row) -> Option<Entry>) -> Option<Delivery> {
        let mut rows = self.shelf.rows();
        let (_, (since, mut taken)) = pop(&mut rows.jobs[row])?;
        // What was at hand for a while has waited for so long.
        taken.message.progress = taken.message.progress.map(|progress| progress.after(since.elapsed()));
        if rows.jobs[row].len() == self.shelf.size / 2 {
            self.shelf.low.notify_one();
        }
        let (lane, _) = ORDER[row];
        Some(taken.deliver(LaneKey { provider: self.provider.clone(), lane }, &self.desk))
    }

    fn put_down(&self) {
        self.feeder.abort();
        self.shelf.end(BrokerError::Lost("no more jobs are received here".into()));
        self.shelf.rows().jobs = Default::default();
    }
}

impl Drop for SqliteSource {
    fn drop(&mut self) {
        self.put_down();
    }
}

/// Where nothing ever arrives.
pub struct Nothing(pub Arc<Store>);

#[async_trait]
impl JobSource for Nothing {
    async fn ready(&mut self) -> Result<(), BrokerError> {
        Err(self.0.ended().await)
    }

    fn best(&mut self) -> Option<Delivery> {
        None
    }

    fn spare(&mut self) -> Option<Delivery> {
        None
    }

    fn look(&mut self, _see: &mut See<'_>) {}

    fn held(&self, _lane: Lane) -> usize {
        0
    }

    async fn release_older_than(&mut self, _age: Duration) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BrokerError> {
        Ok(())
    }
}
