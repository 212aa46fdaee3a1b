//! What all parts of a run share: the queue, who leads, what was seen, and what was found wrong on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;
use roomsweep::adapters::memory::MemoryQueue;
use roomsweep::adapters::memory_ledger::MemoryLedger;
use roomsweep::model::ids::ProviderName;
use roomsweep::ports::broker::LaneKey;
use roomsweep::ports::clock::{Clock, WallOffset};

use tokio::sync::Notify;

use super::conn::Conn;
use super::plan::{Answer, JobPlan, Plan, unit};

/// Beyond this a run goes round in circles.
const MOST_NOTES: usize = 50_000;

/// Whether anybody will read what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notes {
    Kept,
    Dropped,
}

/// A worker from its start to its end.
pub type WorkerId = u64;

pub struct World {
    pub plan: Plan,
    pub clock: Clock,
    pub queue: MemoryQueue,
    pub ledger: MemoryLedger,
    /// How the wall clock of each worker's host is set.
    pub offsets: Vec<WallOffset>,
    /// A lead was lost.
    pub leads_changed: Arc<Notify>,
    notes: Notes,
    state: Mutex<State>,
}

pub struct State {
    pub rng: Rng,
    pub trace: Vec<String>,
    noted: usize,
    pub faults: Vec<String>,
    pub arrivals: Vec<Seen>,
    /// What the cloud has already said of each room: how many times.
    pub said: BTreeMap<String, usize>,
    pub conns: Vec<Arc<Conn>>,
    pub leads: BTreeMap<String, u64>,
    pub last_cut: Duration,
    pub away_until: Duration,
    pub full_until: Duration,
    /// Jobs of which the queue may hold two copies, or two results.
    pub doubled: BTreeSet<String>,
    /// Where and when each job was handed out last.
    pub picked: BTreeMap<String, (u64, Duration)>,
    /// Tried jobs that wait in their queue: lane, job, attempts, since when.
    pub tried: Vec<(LaneKey, String, u32, Duration)>,
    /// How often each job went back to its queue as it was, over a whole connection: the queue counts.
    pub given_back: BTreeMap<String, usize>,
    pub ended: BTreeSet<WorkerId>,
    /// Which clouds were found to refuse everybody, and when it was seen first.
    pub suspended: BTreeMap<String, Duration>,
}

/// One request that was written.
#[derive(Debug, Clone)]
pub struct Seen {
    pub cloud: usize,
    pub room: String,
    pub worker: WorkerId,
    pub conn: u64,
    pub at: Duration,
    pub answer: Option<Answer>,
    /// When its reply was handed over.
    pub told: Option<Duration>,
    pub id: Option<String>,
}

/// What the wall clock shows when a run begins.
pub fn start() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

impl World {
    pub fn new(seed: u64, notes: Notes) -> Arc<Self> {
        let plan = Plan::of(seed);
        let clock = Clock::starting_at(start());
        let names = plan.clouds.iter().map(|cloud| ProviderName::parse(cloud.name).unwrap()).collect();
        let state = State {
            rng: Rng::with_seed(seed ^ 0x5eed),
            trace: Vec::new(),
            noted: 0,
            faults: Vec::new(),
            arrivals: Vec::new(),
            said: BTreeMap::new(),
            conns: Vec::new(),
            leads: BTreeMap::new(),
            last_cut: Duration::ZERO,
            away_until: Duration::ZERO,
            full_until: Duration::ZERO,
            doubled: BTreeSet::new(),
            picked: BTreeMap::new(),
            tried: Vec::new(),
            given_back: BTreeMap::new(),
            ended: BTreeSet::new(),
            suspended: BTreeMap::new(),
        };
        let queue = MemoryQueue::new(names, clock.clone());
        queue.keep_outcomes();
        Arc::new(Self {
            queue,
            ledger: MemoryLedger::default(),
            offsets: (0..plan.workers).map(|_| WallOffset::default()).collect(),
            plan,
            clock,
            leads_changed: Arc::default(),
            notes,
            state: Mutex::new(state),
        })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// A moment of the plan by the wall clock.
    pub fn wall(moment: Duration) -> Timestamp {
        start() + moment
    }

    pub fn job(&self, room: &str) -> &JobPlan {
        self.plan.jobs.iter().find(|job| job.room == room || job.id == room).expect("a job of the plan")
    }

    /// When the batch of a job was cancelled, if it was.
    pub fn cancelled(&self, job: &JobPlan) -> Option<Duration> {
        let batch = job.batch();
        self.plan.cancels.iter().filter(|(_, cancelled)| *cancelled == batch).map(|(at, _)| *at).min()
    }

    /// Writes down what happens, where somebody will read it.
    pub fn note(&self, what: fmt::Arguments<'_>) {
        let mut state = self.state();
        state.noted += 1;
        assert!(state.noted < MOST_NOTES, "it goes round in circles, with {what}");
        if self.notes == Notes::Kept {
            state.trace.push(format!("{:>9.3} {what}", self.now().as_secs_f64()));
        }
    }

    /// A rule was broken.
    pub fn fault(&self, what: impl AsRef<str>) {
        self.note(format_args!("!!! {}", what.as_ref()));
        let line = format!("at {:.3} s: {}", self.now().as_secs_f64(), what.as_ref());
        self.state().faults.push(line);
    }

    pub fn faults_go_on(&self) -> bool {
        self.now() < self.plan.faults_end
    }

    /// Whether something happens that is so likely as long as things go wrong.
    pub fn mishap(&self, likely: f64) -> bool {
        self.faults_go_on() && unit(&mut self.state().rng) < likely
    }

    pub fn up_to(&self, most: Duration) -> Duration {
        super::plan::up_to(&mut self.state().rng, most)
    }

    /// One of so many.
    pub fn one_of(&self, many: usize) -> usize {
        self.state().rng.usize(..many)
    }
}
