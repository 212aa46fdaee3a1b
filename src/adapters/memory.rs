//! A queue in memory, for tests and simulations: the rules of the others, on any clock, without a process beside it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::model::ids::ProviderName;
use crate::model::job::Lane;
use crate::ports::broker::{
    Broker, BrokerError, Delivery, JobSource, LaneKey, Lead, Message, QueueEnding, Receipt, Settlement,
};
use crate::ports::clock::Clock;

/// How often a waiting source looks whether a job has come due.
const LOOK: Duration = Duration::from_millis(20);

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
}

#[derive(Clone)]
struct Stored {
    /// None in the intake.
    lane: Option<LaneKey>,
    message: Message,
}

impl MemoryQueue {
    /// An empty queue with lanes for `providers`.
    pub fn new(providers: Vec<ProviderName>, clock: Clock) -> Self {
        Self(Arc::new(Store { clock, providers, state: Mutex::default(), news: Notify::new() }))
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
        };
        self.0.add(Stored { lane, message });
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

    /// What may be taken now, in the order of its coming.
    fn free(&self, state: &State, wanted: impl Fn(&Stored) -> bool) -> Vec<u64> {
        let now = self.clock.now();
        let free =
            state.jobs.iter().filter(|(seq, job)| !state.in_hand.contains(seq) && job.is_due(now) && wanted(job));
        free.map(|(seq, _)| *seq).collect()
    }

    fn take(self: &Arc<Self>, many: usize, wanted: impl Fn(&Stored) -> bool) -> Vec<Taken> {
        let mut state = self.state();
        let seqs = self.free(&state, wanted);
        let taken = seqs.into_iter().take(many).map(|seq| {
            state.in_hand.insert(seq);
            let stored = state.jobs[&seq].clone();
            Taken { hold: Hold { store: self.clone(), seq }, stored, since: Instant::now() }
        });
        taken.collect()
    }
}

impl Stored {
    fn is_due(&self, now: Timestamp) -> bool {
        self.message.progress.as_ref().and_then(|progress| progress.due).is_none_or(|due| due <= now)
    }

    fn was_tried(&self) -> bool {
        self.message.progress.as_ref().is_some_and(|progress| progress.attempts > 0)
    }
}

/// A job in hand; dropped, it is free again.
struct Hold {
    store: Arc<Store>,
    seq: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.store.state().in_hand.remove(&self.seq);
        self.store.news.notify_waiters();
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
    async fn settle(self: Box<Self>, message: Message, settlement: &Settlement) -> Result<(), BrokerError> {
        let body = serde_json::to_vec(&settlement.result).map_err(|error| BrokerError::Refused(error.to_string()))?;
        let mut state = self.store.state();
        state.results.push((settlement.routing_key(), body));
        if settlement.result.outcome.is_dead_letter() {
            state.dead.push((settlement.routing_key(), message.body.to_vec()));
        }
        state.jobs.remove(&self.seq);
        Ok(())
    }

    async fn defer(self: Box<Self>, message: Message, lane: &LaneKey, _now: Timestamp) -> Result<(), BrokerError> {
        self.store.state().jobs.remove(&self.seq);
        self.store.add(Stored { lane: Some(lane.clone()), message });
        Ok(())
    }

    async fn forward(self: Box<Self>, message: Message, lane: &LaneKey) -> Result<(), BrokerError> {
        self.store.state().jobs.remove(&self.seq);
        self.store.add(Stored { lane: Some(lane.clone()), message });
        Ok(())
    }

    async fn release(self: Box<Self>) -> Result<(), BrokerError> {
        Ok(())
    }
}

/// One connection to a [`MemoryQueue`].
pub struct MemoryBroker {
    store: Arc<Store>,
    id: u64,
    closed: watch::Sender<bool>,
}

fn gone() -> BrokerError {
    BrokerError::Lost("the connection is closed".into())
}

async fn end(mut closed: watch::Receiver<bool>) -> BrokerError {
    let _dropped = closed.wait_for(|closed| *closed).await;
    gone()
}

/// The rows in which jobs are served: lane, and whether they were tried before.
const ROWS: [(Lane, bool); 4] = [(Lane::Urgent, true), (Lane::Urgent, false), (Lane::Bulk, true), (Lane::Bulk, false)];

struct MemorySource {
    store: Arc<Store>,
    closed: watch::Receiver<bool>,
    /// None for the intake.
    provider: Option<ProviderName>,
    prefetch: usize,
    held: [Vec<Taken>; ROWS.len()],
}

impl MemorySource {
    fn gather(&mut self) {
        for (row, (lane, tried)) in ROWS.into_iter().enumerate() {
            let room = self.prefetch.saturating_sub(self.held[row].len());
            let provider = self.provider.as_ref();
            let fits = |key: &LaneKey| Some(&key.provider) == provider && key.lane == lane;
            let wanted = |job: &Stored| match &job.lane {
                Some(key) => fits(key) && job.was_tried() == tried,
                None => provider.is_none() && row == 0,
            };
            self.held[row].extend(self.store.take(room, wanted));
        }
    }
}

#[async_trait]
impl JobSource for MemorySource {
    async fn ready(&mut self) -> Result<(), BrokerError> {
        loop {
            if *self.closed.borrow() {
                return Err(gone());
            }
            self.gather();
            if self.held.iter().any(|row| !row.is_empty()) {
                return Ok(());
            }
            let store = self.store.clone();
            tokio::select! {
                error = end(self.closed.clone()) => return Err(error),
                () = store.news.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    fn best(&mut self) -> Option<Delivery> {
        self.gather();
        let row = self.held.iter_mut().find(|row| !row.is_empty())?;
        Some(row.remove(0).deliver())
    }

    fn held(&self, lane: Lane) -> usize {
        ROWS.iter().zip(&self.held).filter(|((of, _), _)| *of == lane).map(|(_, row)| row.len()).sum()
    }

    async fn release_older_than(&mut self, age: Duration) -> Result<(), BrokerError> {
        for row in &mut self.held {
            row.retain(|taken| taken.since.elapsed() < age);
        }
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BrokerError> {
        self.prefetch = 0;
        self.release_older_than(Duration::ZERO).await
    }
}

struct MemoryLead(watch::Receiver<bool>);

#[async_trait]
impl Lead for MemoryLead {
    async fn lost(&mut self) -> BrokerError {
        end(self.0.clone()).await
    }
}

impl MemoryBroker {
    fn source(&self, provider: Option<ProviderName>, prefetch: u16) -> MemorySource {
        let (store, closed) = (self.store.clone(), self.closed.subscribe());
        MemorySource { store, closed, provider, prefetch: prefetch.into(), held: Default::default() }
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    async fn intake(&self) -> Result<Box<dyn JobSource>, BrokerError> {
        Ok(Box::new(self.source(None, u16::MAX)))
    }

    async fn lanes(&self, provider: &ProviderName, prefetch: u16) -> Result<Box<dyn JobSource>, BrokerError> {
        Ok(Box::new(self.source(Some(provider.clone()), prefetch)))
    }

    async fn pull(&self, provider: &ProviderName) -> Result<Option<Delivery>, BrokerError> {
        if *self.closed.borrow() {
            return Err(gone());
        }
        let best = ROWS.iter().find_map(|(lane, tried)| {
            let key = Some(LaneKey { provider: provider.clone(), lane: *lane });
            self.store.take(1, |job| job.lane == key && job.was_tried() == *tried).pop()
        });
        Ok(best.map(Taken::deliver))
    }

    async fn lead(&self, provider: &ProviderName) -> Result<Option<Box<dyn Lead>>, BrokerError> {
        let holder = *self.store.state().leads.entry(provider.clone()).or_insert(self.id);
        Ok((holder == self.id).then(|| Box::new(MemoryLead(self.closed.subscribe())) as Box<dyn Lead>))
    }

    async fn has_lane(&self, lane: &LaneKey) -> Result<bool, BrokerError> {
        Ok(self.store.providers.contains(&lane.provider))
    }

    async fn ready(&self, lane: &LaneKey) -> Result<u64, BrokerError> {
        let state = self.store.state();
        Ok(self.store.free(&state, |job| job.lane.as_ref() == Some(lane)).len() as u64)
    }

    async fn deferred(&self) -> Result<u64, BrokerError> {
        let now = self.store.clock.now();
        Ok(self.store.state().jobs.values().filter(|job| !job.is_due(now)).count() as u64)
    }

    async fn lost(&self) -> BrokerError {
        end(self.closed.subscribe()).await
    }

    async fn close(&self) {
        self.store.state().leads.retain(|_, holder| *holder != self.id);
        self.closed.send_replace(true);
    }
}
