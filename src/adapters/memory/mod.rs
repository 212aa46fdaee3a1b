//! A queue in memory, for tests and simulations: the rules of the others, on any clock, without a process beside it.

mod broker;
mod outcomes;
mod source;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

pub use self::broker::MemoryBroker;

use self::outcomes::Waiting;
use crate::model::ids::ProviderName;
use crate::model::job::Lane;
use crate::model::progress::Progress;
use crate::ports::broker::{BrokerError, Delivery, JobTime, LaneKey, Message, QueueEnding, Receipt, Settlement};
use crate::ports::clock::Clock;

/// The rows in which jobs are served: lane, and whether they go before new ones.
const ROWS: [(Lane, bool); 4] = [(Lane::Urgent, true), (Lane::Urgent, false), (Lane::Bulk, true), (Lane::Bulk, false)];

/// The queue itself, which outlives the connections to it.
#[derive(Clone)]
pub struct MemoryQueue(Arc<Store>);

struct Store {
    clock: Clock,
    providers: Vec<ProviderName>,
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    jobs: BTreeMap<u64, Stored>,
    in_hand: BTreeSet<u64>,
    leads: HashMap<ProviderName, u64>,
    connections: u64,
    results: Vec<(String, Vec<u8>)>,
    dead: Vec<(String, Vec<u8>)>,
    /// None where no ledger is to have results.
    outcomes: Option<Waiting>,
}

#[derive(Clone)]
struct Stored {
    /// None in the intake.
    lane: Option<LaneKey>,
    message: Message,
    /// By the clock's `elapsed`.
    due: Duration,
}

impl MemoryQueue {
    /// An empty queue with lanes for `providers`.
    pub fn new(providers: Vec<ProviderName>, clock: Clock) -> Self {
        Self(Arc::new(Store { clock, providers, state: Mutex::default(), news: Notify::new() }))
    }

    /// From now on results are kept for a ledger as well.
    pub fn keep_outcomes(&self) {
        self.0.state().outcomes.get_or_insert_default();
    }

    /// How many results wait for a ledger, those in hand not counted.
    pub fn unrecorded(&self) -> usize {
        self.0.state().outcomes.as_ref().map_or(0, VecDeque::len)
    }

    /// Puts something in among the results for a ledger.
    pub fn put_outcome(&self, key: &str, body: Vec<u8>) {
        self.0.outcome(&mut self.0.state(), key.to_owned(), &body);
    }

    /// A connection of its own.
    pub fn connect(&self) -> MemoryBroker {
        let mut state = self.0.state();
        state.connections += 1;
        MemoryBroker { store: self.0.clone(), id: state.connections, closed: watch::channel(false).0 }
    }

    /// Puts a job in: into a lane, or the intake.
    pub fn put(&self, lane: Option<LaneKey>, body: Vec<u8>, message_id: Option<String>) {
        let message = Message {
            body: body.into(),
            message_id,
            correlation_id: None,
            reply_to: None,
            traceparent: None,
            progress: None,
            ended: None::<QueueEnding>,
            unreadable: None,
        };
        self.put_message(lane, message);
    }

    /// Puts a job in with all that travels beside it.
    pub fn put_message(&self, lane: Option<LaneKey>, message: Message) {
        self.0.add(Stored { lane, message, due: Duration::ZERO });
    }

    /// How many jobs are not settled, those in hand included.
    pub fn open_jobs(&self) -> usize {
        self.0.state().jobs.len()
    }

    /// Takes out the results so far: how each is filed, and its body.
    pub fn results(&self) -> Vec<(String, Vec<u8>)> {
        std::mem::take(&mut self.0.state().results)
    }

    /// Likewise the dead letters.
    pub fn dead(&self) -> Vec<(String, Vec<u8>)> {
        std::mem::take(&mut self.0.state().dead)
    }
}

impl Store {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, job: Stored) {
        let mut state = self.state();
        state.next += 1;
        let seq = state.next;
        state.jobs.insert(seq, job);
        self.news.notify_waiters();
    }

    fn outcome(&self, state: &mut State, key: String, body: &[u8]) {
        if let Some(outcomes) = &mut state.outcomes {
            outcomes.push_back((key, Bytes::copy_from_slice(body)));
            self.news.notify_waiters();
        }
    }

    /// What may be taken now, in the order of its coming.
    fn free(&self, state: &State, wanted: impl Fn(&Stored) -> bool) -> Vec<u64> {
        let now = self.clock.elapsed();
        let free =
            state.jobs.iter().filter(|(seq, job)| wanted(job) && job.is_due(now) && !state.in_hand.contains(seq));
        free.map(|(seq, _)| *seq).collect()
    }

    /// Resolves when the next of the waiting jobs comes due; news may change which that is.
    async fn next_due(&self) {
        let now = self.clock.elapsed();
        let next = self.state().jobs.values().map(|job| job.due).filter(|due| *due > now).min();
        match next {
            Some(due) => self.clock.sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Takes what may be taken now, as long as `wants` it, in the order of its coming.
    fn take(self: &Arc<Self>, mut wants: impl FnMut(&Stored) -> bool) -> Vec<Taken> {
        let now = self.clock.elapsed();
        let state = &mut *self.state();
        let mut taken = Vec::new();
        for (seq, job) in &state.jobs {
            if job.is_due(now) && !state.in_hand.contains(seq) && wants(job) {
                let hold = Hold { store: self.clone(), seq: *seq };
                taken.push(Taken { hold, stored: job.clone(), since: Instant::now() });
                state.in_hand.insert(*seq);
            }
        }
        taken
    }
}

impl Stored {
    fn is_due(&self, now: Duration) -> bool {
        self.due <= now
    }

    fn goes_first(&self) -> bool {
        self.message.progress.as_ref().is_some_and(Progress::goes_first)
    }

    /// Its place in [`ROWS`]; the intake has one row.
    fn row(&self) -> usize {
        let row = |key: &LaneKey| ROWS.iter().position(|row| *row == (key.lane, self.goes_first()));
        self.lane.as_ref().and_then(row).unwrap_or(0)
    }
}

/// A job in hand; dropped, it is free again.
struct Hold {
    store: Arc<Store>,
    seq: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.store.state();
        state.in_hand.remove(&self.seq);
        if state.jobs.contains_key(&self.seq) {
            self.store.news.notify_waiters();
        }
    }
}

struct Taken {
    hold: Hold,
    stored: Stored,
    since: Instant,
}

impl Taken {
    fn deliver(self) -> Delivery {
        Delivery::new(self.stored.message, self.stored.lane, Box::new(self.hold))
    }
}

#[async_trait]
impl Receipt for Hold {
    async fn settle(&mut self, message: &Message, settlement: &Settlement) -> Result<(), BrokerError> {
        let body = serde_json::to_vec(&settlement.result).map_err(|error| BrokerError::Refused(error.to_string()))?;
        let mut state = self.store.state();
        self.store.outcome(&mut state, settlement.routing_key(), &body);
        state.results.push((settlement.routing_key(), body));
        if settlement.result.outcome.is_dead_letter() {
            state.dead.push((settlement.routing_key(), message.body.to_vec()));
        }
        state.jobs.remove(&self.seq);
        Ok(())
    }

    /// As on a wait ladder with a rung for every wait: the job's own time is taken by the clock of whoever defers it.
    async fn defer(&mut self, message: &Message, lane: &LaneKey, time: JobTime) -> Result<(), BrokerError> {
        let mut message = message.clone();
        let wait = message.progress.as_ref().map_or(Duration::ZERO, Progress::wait).max(time.left());
        message.progress = message.progress.map(|progress| progress.after(wait));
        self.store.state().jobs.remove(&self.seq);
        self.store.add(Stored { lane: Some(lane.clone()), message, due: self.store.clock.elapsed() + wait });
        Ok(())
    }

    async fn forward(&mut self, message: &Message, lane: &LaneKey) -> Result<(), BrokerError> {
        self.store.state().jobs.remove(&self.seq);
        self.store.add(Stored { lane: Some(lane.clone()), message: message.clone(), due: Duration::ZERO });
        Ok(())
    }

    async fn release(self: Box<Self>) -> Result<(), BrokerError> {
        Ok(())
    }
}
