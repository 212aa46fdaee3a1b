//! An admin server in this process, over a ledger in memory, set for a scene.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use roomsweep::adapters::memory_ledger::MemoryLedger;
use roomsweep::app::admin::{self, AdminState, Exposure, Intake};
use roomsweep::app::wire::Door;
use roomsweep::model::ids::{AppId, BatchId, JobId, ProviderName, RequestId, RoomId};
use roomsweep::model::job::Lane;
use roomsweep::model::ledger::{NewBatch, Part, SenderReport};
use roomsweep::model::progress::AttemptRecord;
use roomsweep::model::result::{DismissResult, Outcome};
use roomsweep::model::secret::Secret;
use roomsweep::model::suspension::SuspensionReason;
use roomsweep::model::verdict::{Fault, VerdictLabel};
use roomsweep::ports::clock::Clock;
use roomsweep::ports::ledger::Ledger;
use roomsweep::ports::meter::{BacklogState, Meter, QueueLink};
use roomsweep::ports::readiness::Readiness;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Runs until it is stopped or dropped.
pub struct Stage {
    pub address: SocketAddr,
    pub ledger: MemoryLedger,
    pub state: AdminState,
    stop: Option<oneshot::Sender<()>>,
    serving: Serving,
    telling: JoinHandle<()>,
}

/// Whether there is a ledger.
#[derive(Clone, Copy)]
pub enum Books {
    Kept,
    None,
}

/// The port's token, and from where it can be reached.
pub const OPEN: (Option<&str>, Exposure) = (None, Exposure::Loopback);

impl Stage {
    /// Two providers, of which this replica sends for volcengine; nothing waits and nothing was done.
    pub async fn set(books: Books, (token, exposure): (Option<&str>, Exposure)) -> Self {
        let (meter, readiness, ledger) = (Meter::new("1.2.3"), Readiness::starting(), MemoryLedger::default());
        meter.register(&provider("huawei"), 20);
        meter.register(&provider("volcengine"), 60);
        meter.queue_connected(QueueLink::Up);
        readiness.ready();
        for lane in Lane::ALL {
            meter.backlog_jobs(&provider("volcengine"), lane, BacklogState::Ready, 0);
        }
        let kept: Arc<dyn Ledger> = Arc::new(ledger.clone());
        let state = AdminState {
            meter,
            readiness,
            clock: Clock::system(),
            version: "1.2.3",
            worker: "host-1".to_owned(),
            intake: Intake {
                door: Door::default(),
                providers: [provider("huawei"), provider("volcengine")].into(),
                token: Arc::new(token.map(|token| Arc::new(Secret::new(token))).into()),
                exposure,
            },
            ledger: match books {
                Books::Kept => Some(kept),
                Books::None => None,
            },
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (stop, serving) = serve(listener, state.clone());
        let telling = tokio::spawn(tell(ledger.clone()));
        Self { address, ledger, state, stop: Some(stop), serving, telling }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Asks the server to stop, and waits for its end.
    pub async fn stop(&mut self) {
        self.stop.take().expect("once").send(()).expect("it runs");
        (&mut self.serving).await.expect("no panic").expect("served");
    }

    /// Serves at the same address as before.
    pub async fn start_again(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the port is free again");
        let (stop, serving) = serve(listener, self.state.clone());
        (self.stop, self.serving) = (Some(stop), serving);
    }

    /// Nothing waits; the last batch was over yesterday.
    pub async fn idle(&self) {
        self.report(report("huawei", "host-2")).await;
        self.batch("evening-cleanup", Some(300), "volcengine", 40_000).await;
        self.settle("evening-cleanup", Outcome::Dismissed, 0..280, 39_990).await;
        self.settle("evening-cleanup", Outcome::AlreadyGone, 280..300, 39_970).await;
    }

    /// Credentials refused at one provider, another slowed down, a batch half done.
    pub async fn incident(&self) {
        self.idle().await;
        self.suspend("huawei", Some(SuspensionReason::Credentials), 4108).await;
        let volcengine = provider("volcengine");
        self.state.meter.backlog_jobs(&volcengine, Lane::Bulk, BacklogState::Ready, 669);
        self.state.meter.effective_qps(&volcengine, 41.5);
        self.state.meter.in_flight(&volcengine, 6);
        let mut rates = vec![0; 12];
        rates.extend((0..30).map(|n| 284 + n % 7));
        rates.extend((0..18).map(|n| 204 + n % 5));
        let sent = SenderReport { rates, effective_qps: 41.5, in_flight: 6, ..report("volcengine", "host-1") };
        self.report(SenderReport { waiting_bulk: 669, ..sent }).await;
        self.batch("huawei-rooms", Some(4200), "huawei", 320).await;
        self.settle("huawei-rooms", Outcome::Dismissed, 0..92, 260).await;
        self.batch("incident-2026", Some(1200), "volcengine", 60).await;
        self.settle("incident-2026", Outcome::Dismissed, 0..500, 20).await;
        self.settle("incident-2026", Outcome::AlreadyGone, 500..520, 2).await;
        self.settle("incident-2026", Outcome::Rejected, 520..529, 1).await;
        self.settle("incident-2026", Outcome::Exhausted, 529..531, 1).await;
        self.settle("unknown-size", Outcome::Dismissed, 0..40, 10).await;
    }

    /// All is over.
    pub async fn finished(&self) {
        self.report(report("huawei", "host-2")).await;
        let mut rates = vec![0; 10];
        rates.extend((0..20).map(|n| 284 + n % 7));
        rates.extend([93, 0, 0, 0, 0, 0]);
        self.report(SenderReport { rates, ..report("volcengine", "host-1") }).await;
        self.batch("incident-2026", Some(1000), "volcengine", 200).await;
        self.settle("incident-2026", Outcome::Dismissed, 0..970, 60).await;
        self.settle("incident-2026", Outcome::AlreadyGone, 970..988, 40).await;
        self.settle("incident-2026", Outcome::Rejected, 988..997, 39).await;
        self.settle("incident-2026", Outcome::Exhausted, 997..1000, 38).await;
    }

    pub async fn report(&self, report: SenderReport) {
        self.ledger.report(&report).await.expect("kept");
    }

    /// What the sender of another replica tells.
    pub async fn suspend(&self, name: &str, reason: Option<SuspensionReason>, waiting: u64) {
        let mut rates = vec![96; 8];
        rates.extend([0; 52]);
        let told = report(name, "host-2");
        let (since, next_probe) = (reason.map(|_| ago(252)), reason.map(|_| ago(-40)));
        let waiting = SenderReport { waiting_urgent: waiting.min(12), waiting_bulk: waiting, rates, ..told };
        self.report(SenderReport { suspended: reason, since, next_probe, deferred: 37, ..waiting }).await;
    }

    pub async fn batch(&self, id: &str, size: Option<u64>, to: &str, begun: i64) {
        let parts = vec![Part { provider: provider(to), lane: Lane::Bulk, jobs: size }];
        let batch = NewBatch { id: batch(id), size, parts, at: ago(begun) };
        self.ledger.register(&batch).await.expect("kept");
    }

    /// Settles the jobs of these numbers in this way, the last of them so many seconds ago.
    pub async fn settle(&self, of: &str, outcome: Outcome, numbers: std::ops::Range<u32>, seconds: i64) {
        let (numbers, last) = (numbers.collect::<Vec<_>>(), ago(seconds));
        let results = numbers.iter().rev().zip(0..).map(|(number, n)| {
            let at = last - SignedDuration::from_millis(20 * n);
            result(of, *number, outcome, at)
        });
        let results: Vec<_> = results.collect();
        for group in results.chunks(500) {
            self.ledger.record(group).await.expect("kept");
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.serving.abort();
        self.telling.abort();
    }
}

type Serving = JoinHandle<std::io::Result<()>>;

fn serve(listener: TcpListener, state: AdminState) -> (oneshot::Sender<()>, Serving) {
    let (stop, stopped) = oneshot::channel();
    let asked = async {
        stopped.await.ok();
    };
    (stop, tokio::spawn(admin::serve(listener, state, asked)))
}

/// Senders tell of themselves again and again.
async fn tell(ledger: MemoryLedger) {
    loop {
        for report in ledger.reports().await.unwrap_or_default() {
            ledger.report(&SenderReport { at: ago(0), ..report }).await.ok();
        }
        sleep(Duration::from_secs(1)).await;
    }
}

pub fn ago(seconds: i64) -> Timestamp {
    Clock::system().now() - SignedDuration::from_secs(seconds)
}

pub fn provider(name: &str) -> ProviderName {
    ProviderName::parse(name).expect("a provider's name")
}

pub fn batch(id: &str) -> BatchId {
    BatchId::parse(id).expect("an ID")
}

/// A sender that has nothing to do.
pub fn report(name: &str, worker: &str) -> SenderReport {
    let quota_qps = if name == "huawei" { 20.0 } else { 60.0 };
    SenderReport {
        provider: provider(name),
        worker: worker.to_owned(),
        at: ago(0),
        quota_qps,
        effective_qps: quota_qps,
        in_flight: 0,
        waiting_urgent: 0,
        waiting_bulk: 0,
        deferred: 0,
        suspended: None,
        since: None,
        next_probe: None,
        rates: vec![0; 60],
    }
}

/// Room `NUMBER` of a batch, whose request ID is `req-BATCH-NUMBER`.
pub fn result(of: &str, number: u32, outcome: Outcome, at: Timestamp) -> DismissResult {
    let request = |attempt: u32| RequestId::parse(format!("req-{of}-{number}-{attempt}")).ok();
    let record = |attempt: u32, verdict, status, error| AttemptRecord {
        at: at - SignedDuration::from_millis(i64::from(900 / attempt)),
        verdict,
        http_status: Some(status),
        request_id: request(attempt),
        error,
        duration_ms: 31,
    };
    let busy = || Some(Fault::new("InternalError", "The service is busy, please retry later."));
    let (log, error) = match outcome {
        Outcome::Dismissed => (vec![record(1, VerdictLabel::Dismissed, 200, None)], None),
        Outcome::AlreadyGone => (vec![record(1, VerdictLabel::AlreadyGone, 404, None)], None),
        Outcome::Rejected => {
            let fault = Some(Fault::new(
                "InvalidParameter.RoomId",
                "The room <b>ID</b> holds characters that are not allowed.",
            ));
            let first = record(1, VerdictLabel::Transient, 500, busy());
            (vec![first, record(2, VerdictLabel::Rejected, 400, fault.clone())], fault)
        }
        Outcome::Exhausted => ((1..=8).map(|n| record(n, VerdictLabel::Transient, 500, busy())).collect(), busy()),
        Outcome::Expired | Outcome::Cancelled | Outcome::Invalid => (Vec::new(), None),
    };
    let last = log.last().cloned();
    DismissResult {
        job_id: JobId::parse(format!("job-{of}-{number}")).expect("an ID"),
        batch_id: Some(batch(of)),
        provider: Some(provider(if of == "huawei-rooms" { "huawei" } else { "volcengine" })),
        app_id: AppId::parse("classroom").ok(),
        room_id: RoomId::parse(format!("class-{number}")).ok(),
        lane: Some(Lane::Bulk),
        outcome,
        request_id: last.as_ref().and_then(|record| record.request_id.clone()),
        http_status: last.and_then(|record| record.http_status),
        error,
        attempts: u32::try_from(log.len()).expect("few"),
        run: 1,
        attempt_log: log,
        attempts_omitted: 0,
        received_at: at - SignedDuration::from_secs(3),
        settled_at: at,
        reason: Some("end of class".to_owned()),
        requested_by: Some("cleanup@school".to_owned()),
        labels: BTreeMap::from([("room".to_owned(), "<i>7b</i>".to_owned())]),
        worker: "host-1".to_owned(),
    }
}
