//! The workers of a run: the real supervision, started, killed and stopped as the plan says.

use std::cell::RefCell;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderMap, Method};
use roomsweep::app::run::{self, Lanes};
use roomsweep::app::wire::OpenError;
use roomsweep::model::ids::{AppId, ProviderName, RequestId};
use roomsweep::model::job::DismissJob;
use roomsweep::model::secret::Secret;
use roomsweep::model::suspension::SuspensionReason;
use roomsweep::model::verdict::{Fault, Verdict};
use roomsweep::pipeline::account::{Account, Common, Service, Terms};
use roomsweep::pipeline::books::{self, Books, Repeats};
use roomsweep::pipeline::gate::Gate;
use roomsweep::pipeline::stop::{self, Stopper};
use roomsweep::policy::decide::RetryPolicy;
use roomsweep::policy::quota::Pacing;
use roomsweep::ports::clock::Clock;
use roomsweep::ports::meter::Meter;
use roomsweep::ports::readiness::Readiness;
use roomsweep::provider::catalog::ProviderSettings;
use roomsweep::provider::endpoint::Endpoint;
use roomsweep::provider::{BuildError, Call, Provider, Reply, Stamp, huawei, volcengine};
use tokio::task::JoinHandle;

use super::cloud::Cloud;
use super::ledger::SlowLedger;
use super::plan::{CloudPlan, Dialect, SECOND, unit};
use super::queue::SimAccess;
use super::world::{WorkerId, World};

thread_local! {
    static JITTER: RefCell<Rng> = const { RefCell::new(Rng::with_seed(0)) };
}

/// The chance that the workers of this thread have.
pub fn seed_jitter(seed: u64) {
    JITTER.set(Rng::with_seed(seed));
}

fn jitter() -> f64 {
    JITTER.with_borrow_mut(unit)
}

/// How long results are kept: longer than any run.
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);

pub struct Worker {
    world: Arc<World>,
    pub id: WorkerId,
    lanes: Lanes,
    meter: Meter,
    stopper: Stopper,
    task: JoinHandle<Result<(), OpenError>>,
}

impl Worker {
    /// On one of the hosts.
    pub fn start(world: &Arc<World>, id: WorkerId, place: usize) -> Self {
        world.note(format_args!("w{id} starts"));
        let common = Common {
            clock: Clock::set_by(world.clock.now(), world.offsets[place].clone()),
            meter: Meter::new("sim"),
            worker: format!("w{id}").into(),
            providers: world.plan.clouds.iter().map(name).collect(),
            jitter,
            books: Books::of(Arc::new(SlowLedger::new(&world.ledger, world.plan.ledger)), Repeats::Sent),
            limbo: Arc::default(),
        };
        let accounts = (0..world.plan.clouds.len()).map(|index| Arc::new(account(world, &common, id, index)));
        let accounts: Vec<Arc<Account>> = accounts.collect();
        let lanes = run::lanes(accounts.clone());
        let (stopper, stop) = stop::channel();
        let access = SimAccess { world: world.clone(), worker: id };
        let (held, grace, meter) = (lanes.clone(), world.plan.grace, common.meter.clone());
        let watched = (world.clone(), common.meter.clone());
        let task = tokio::task::spawn_local(async move {
            let readiness = Readiness::starting();
            tokio::select! {
                biased;
                ended = run::supervise(&access, &held, &common, &readiness, stop, grace) => ended,
                never = books::tend(&common, &accounts, KEEP) => match never {},
                never = watch(&watched.0, &watched.1) => match never {},
            }
        });
        Self { world: world.clone(), id, lanes, meter, stopper, task }
    }

    /// Ends like a process that is killed: whatever it had in memory is gone.
    pub async fn kill(self) {
        self.world.note(format_args!("w{} is killed", self.id));
        self.world.state().ended.insert(self.id);
        self.task.abort();
        let _ = self.task.await;
        drop(self.lanes);
        cut_all(&self.world, self.id);
        tokio::task::yield_now().await;
    }

    /// Asks it to stop, and sees that it does in time.
    pub async fn stop(self) {
        let world = &self.world;
        world.note(format_args!("w{} is asked to stop", self.id));
        self.stopper.stop();
        let patience = world.plan.grace + 3 * SECOND;
        let mut task = self.task;
        match tokio::time::timeout(patience, &mut task).await {
            Ok(Ok(Ok(()))) => world.note(format_args!("w{} has stopped", self.id)),
            Ok(other) => world.fault(format!("w{} ended with {other:?}", self.id)),
            Err(_) => {
                world.fault(format!("w{} did not stop within {patience:?}", self.id));
                task.abort();
            }
        }
        world.state().ended.insert(self.id);
        drop(self.lanes);
        cut_all(world, self.id);
        tokio::task::yield_now().await;
    }

    /// What its gauges still say to be on the wire.
    pub fn in_flight(&self) -> i64 {
        self.meter.providers().iter().map(|provider| provider.in_flight).sum()
    }

    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }
}

/// Notes which clouds the worker takes to refuse everybody: it tells when it will probe them.
async fn watch(world: &World, meter: &Meter) -> Infallible {
    loop {
        for status in meter.providers() {
            let refuses = [SuspensionReason::Credentials, SuspensionReason::Configuration].map(Some);
            if refuses.contains(&status.suspended) && status.next_probe.is_some() {
                let now = world.now();
                world.state().suspended.entry(status.name.to_string()).or_insert(now);
            }
        }
        tokio::time::sleep(5 * SECOND).await;
    }
}

fn cut_all(world: &Arc<World>, worker: WorkerId) {
    let conns = world.state().conns.clone();
    for conn in conns.iter().filter(|conn| conn.worker == worker) {
        conn.cut(world, Duration::ZERO);
    }
}

fn name(cloud: &CloudPlan) -> ProviderName {
    ProviderName::parse(cloud.name).unwrap()
}

fn account(world: &Arc<World>, common: &Common, worker: WorkerId, index: usize) -> Account {
    let plan = &world.plan.clouds[index];
    let name = name(plan);
    common.meter.register(&name, plan.qps);
    let terms = Terms {
        provider: Arc::new(Unsigned(settings(plan.dialect).open())),
        transport: Arc::new(Cloud { world: world.clone(), worker, clock: common.clock.clone(), index }),
        stamps: Arc::default(),
        timeout: plan.timeout,
        max_in_flight: plan.max_in_flight,
        service: Service::Active,
        retry: RetryPolicy { max_attempts: world.plan.max_attempts, ..RetryPolicy::default() },
    };
    let gate = Gate::new(plan.qps, Pacing::Strict.transit(plan.max_transit), common.clock.clone());
    Account::new(name, terms, gate, common.clone())
}

/// A cloud's dialect without its signature, which costs a quarter of a run and shows nothing here.
pub struct Unsigned(pub Arc<dyn Provider>);

impl Provider for Unsigned {
    fn admit(&self, job: &DismissJob) -> Result<(), Fault> {
        self.0.admit(job)
    }

    fn build(&self, job: &DismissJob, _stamp: &Stamp) -> Result<Call, BuildError> {
        let (url, headers) = (String::new(), HeaderMap::new());
        Ok(Call { method: Method::POST, url, headers, body: Bytes::from(job.room_id.as_str().to_owned()) })
    }

    fn classify(&self, reply: &Reply) -> (Verdict, Option<RequestId>) {
        self.0.classify(reply)
    }

    fn secrets(&self) -> Vec<&Secret> {
        self.0.secrets()
    }
}

pub fn settings(dialect: Dialect) -> ProviderSettings {
    let endpoint = Endpoint::parse("https://cloud.example").unwrap();
    let app_ids = vec![AppId::parse("app").unwrap()];
    let (access_key_id, secret_access_key) = (Secret::new("AK"), Secret::new("SK"));
    match dialect {
        Dialect::Volcengine => ProviderSettings::Volcengine(volcengine::Settings {
            endpoint,
            region: "r".into(),
            action: volcengine::Action::DismissRoom,
            keys: volcengine::Keys { access_key_id, secret_access_key, session_token: None },
            app_ids,
            gone_codes: volcengine::Settings::default_gone_codes(),
        }),
        Dialect::Huawei => ProviderSettings::Huawei(huawei::Settings {
            endpoint,
            auth: huawei::Auth::AkSk(huawei::Keys {
                access_key_id,
                secret_access_key,
                security_token: None,
                project_id: None,
            }),
            app_ids,
        }),
    }
}
