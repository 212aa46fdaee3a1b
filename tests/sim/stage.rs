//! One worker with one provider, a queue and a ledger in memory, on paused time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use roomsweep::adapters::memory::MemoryQueue;
use roomsweep::adapters::memory_ledger::MemoryLedger;
use roomsweep::app::run;
use roomsweep::app::wire::{Access, OpenError};
use roomsweep::model::ids::{BatchId, ProviderName};
use roomsweep::model::job::Lane;
use roomsweep::model::ledger::{Act, HistoryFilter};
use roomsweep::model::result::{DismissResult, Outcome};
use roomsweep::model::suspension::SuspensionReason;
use roomsweep::pipeline::account::{Account, Common, Service, Terms};
use roomsweep::pipeline::books::{self, Books, Repeats};
use roomsweep::pipeline::gate::Gate;
use roomsweep::pipeline::stop;
use roomsweep::ports::broker::{Broker, LaneKey};
use roomsweep::ports::clock::{Clock, WallOffset};
use roomsweep::ports::ledger::Ledger;
use roomsweep::ports::meter::{Exposition, Meter};
use roomsweep::ports::readiness::Readiness;
use roomsweep::ports::transport::{Transport, TransportError};
use roomsweep::provider::{Call, Reply};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use super::cloud;
use super::fleet::{Unsigned, settings};
use super::ledger::SlowLedger;
use super::plan::{Answer, Dialect, MS, SECOND};
use super::world::start;

pub const QPS: u32 = 20;
pub const KEEP: Duration = Duration::from_secs(24 * 3600);

/// One worker with one provider, whose requests are noted when they are written.
pub struct Stage {
    pub clock: Clock,
    /// How the wall clock is set.
    pub wall: WallOffset,
    pub queue: MemoryQueue,
    pub ledger: MemoryLedger,
    pub slow: Arc<SlowLedger>,
    pub wire: Arc<Wire>,
    pub meter: Meter,
    stopper: Mutex<Option<stop::Stopper>>,
}

pub struct Wire {
    pub clock: Clock,
    pub sent: Mutex<Vec<(Duration, String)>>,
    pub connect: Mutex<Duration>,
    pub answer: Mutex<Answer>,
    /// So many requests find no descriptor, and are counted in `unsent`.
    pub short: Mutex<usize>,
    pub unsent: Mutex<usize>,
}

#[async_trait]
impl Transport for Wire {
    async fn send(&self, call: Call, _: Duration, written: oneshot::Sender<()>) -> Result<Reply, TransportError> {
        if let Some(left) = { *self.short.lock().unwrap() }.checked_sub(1) {
            *self.short.lock().unwrap() = left;
            *self.unsent.lock().unwrap() += 1;
            return Err(TransportError::Shortage("none left".into()));
        }
        let connect = *self.connect.lock().unwrap();
        tokio::time::sleep(connect).await;
        let _ = written.send(());
        let room = String::from_utf8_lossy(&call.body).into_owned();
        let number = {
            let mut sent = self.sent.lock().unwrap();
            sent.push((self.clock.elapsed(), room));
            sent.len()
        };
        tokio::time::sleep(10 * MS).await;
        Ok(cloud::reply(Dialect::Volcengine, *self.answer.lock().unwrap(), &format!("q{number}")))
    }
}

struct Direct(MemoryQueue);

impl Access for Direct {
    fn kind(&self) -> &'static str {
        "queue in memory"
    }

    async fn open(&self) -> Result<Arc<dyn Broker>, OpenError> {
        Ok(Arc::new(self.0.connect()))
    }

    fn left(&self) {}
}

pub fn volc() -> ProviderName {
    ProviderName::parse("volc").unwrap()
}

pub fn batch() -> BatchId {
    BatchId::parse("b").unwrap()
}

impl Stage {
    /// With this ledger, seen from here.
    pub fn with(ledger: &MemoryLedger, takes: Duration) -> Self {
        Self { slow: Arc::new(SlowLedger::new(ledger, takes)), ledger: ledger.clone(), ..Self::new() }
    }

    pub fn new() -> Self {
        let wall = WallOffset::default();
        let clock = Clock::set_by(start(), wall.clone());
        let queue = MemoryQueue::new(vec![volc()], clock.clone());
        queue.keep_outcomes();
        let ledger = MemoryLedger::default();
        let wire = Wire {
            clock: clock.clone(),
            sent: Mutex::default(),
            connect: Mutex::default(),
            answer: Mutex::new(Answer::Dismissed),
            short: Mutex::default(),
            unsent: Mutex::default(),
        };
        Self {
            slow: Arc::new(SlowLedger::new(&ledger, 20 * MS)),
            wire: Arc::new(wire),
            meter: Meter::new("sim"),
            stopper: Mutex::default(),
            clock,
            wall,
            queue,
            ledger,
        }
    }

    /// Asks the worker to stop.
    pub fn stop(&self) {
        self.stopper.lock().unwrap().take().expect("it was started").stop();
    }

    /// How many jobs wait in the bulk lane, in nobody's hand.
    pub async fn ready(&self) -> usize {
        let lane = LaneKey { provider: volc(), lane: Lane::Bulk };
        usize::try_from(self.queue.connect().ready(&lane).await.unwrap()).unwrap()
    }

    /// Works from now on, until it is asked to stop or the test is over.
    pub fn start(&self, repeats: Repeats) {
        let common = Common {
            clock: self.clock.clone(),
            meter: self.meter.clone(),
            worker: "w".into(),
            providers: [volc()].into(),
            jitter: || 1.0,
            books: Books::of(self.slow.clone(), repeats),
            limbo: Arc::default(),
        };
        common.meter.register(&volc(), QPS);
        let terms = Terms {
            provider: Arc::new(Unsigned(settings(Dialect::Volcengine).open())),
            transport: self.wire.clone(),
            stamps: Arc::default(),
            timeout: 10 * SECOND,
            max_in_flight: 64,
            service: Service::Active,
            retry: Default::default(),
        };
        let gate = Gate::new(QPS, 50 * MS, common.clock.clone());
        let accounts = vec![Arc::new(Account::new(volc(), terms, gate, common.clone()))];
        let (lanes, access) = (run::lanes(accounts.clone()), Direct(self.queue.clone()));
        let (stopper, stop) = stop::channel();
        *self.stopper.lock().unwrap() = Some(stopper);
        tokio::task::spawn_local(async move {
            let asked = stop.clone();
            let readiness = Readiness::starting();
            tokio::select! {
                biased;
                ended = run::supervise(&access, &lanes, &common, &readiness, stop, SECOND) => {
                    assert!(ended.is_ok() && asked.is_asked(), "the worker ended: {ended:?}");
                }
                never = books::tend(&common, &accounts, KEEP) => match never {},
            }
        });
    }

    pub fn body(&self, id: &str) -> Vec<u8> {
        let job = json!({ "provider": "volc", "app_id": "app", "room_id": format!("r-{id}"), "job_id": id,
            "batch_id": "b", "batch_size": 7 });
        job.to_string().into_bytes()
    }

    pub fn put(&self, ids: impl IntoIterator<Item = String>) {
        for id in ids {
            self.queue.put(Some(LaneKey { provider: volc(), lane: Lane::Bulk }), self.body(&id), Some(id));
        }
    }

    pub fn act(&self) -> Act {
        Act { by: "ops".into(), why: Some("incident".into()), at: self.clock.now() }
    }

    pub fn sent_since(&self, moment: Duration) -> usize {
        self.wire.sent.lock().unwrap().iter().filter(|(at, _)| *at > moment).count()
    }

    pub fn sent(&self) -> usize {
        self.sent_since(Duration::ZERO)
    }

    pub fn results(&self) -> Vec<DismissResult> {
        self.queue.results().iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
    }

    pub async fn recorded(&self) -> Vec<DismissResult> {
        self.ledger.history(&HistoryFilter::default(), None, u32::MAX).await.unwrap()
    }

    pub fn in_flight(&self) -> i64 {
        self.meter.providers().remove(0).in_flight
    }

    pub fn suspended(&self) -> (Option<SuspensionReason>, Option<Timestamp>) {
        let status = self.meter.providers().remove(0);
        (status.suspended, status.since)
    }

    pub fn deduped(&self, result: &str) -> u64 {
        let text = self.meter.render(Exposition::PrometheusText);
        let series = format!("roomsweep_dedupe_total{{provider=\"volc\",result=\"{result}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
    }
}

pub async fn on_stage(test: impl AsyncFnOnce(&Stage)) {
    LocalSet::new().run_until(async { test(&Stage::new()).await }).await;
}

pub fn ids(prefix: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |n| format!("{prefix}{n}"))
}

pub async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

pub fn count(results: &[DismissResult], outcome: Outcome) -> usize {
    results.iter().filter(|result| result.outcome == outcome).count()
}

/// What is in the ledger of a job that ended.
pub fn ended(id: &str, run: u32, at: Timestamp) -> DismissResult {
    let json = json!({ "job_id": id, "batch_id": null, "provider": "volc", "app_id": "app", "room_id": "r",
        "lane": "bulk", "outcome": "dismissed", "request_id": "before", "http_status": 200, "error": null,
        "attempts": 1, "run": run, "attempt_log": [], "attempts_omitted": 0, "received_at": at.to_string(),
        "settled_at": at.to_string(), "reason": null, "requested_by": null, "labels": {}, "worker": "earlier" });
    serde_json::from_value(json).unwrap()
}
