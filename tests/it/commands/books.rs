//! A ledger of one test's own, and a directory where commands are run on it.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use roomsweep::app::config::LedgerUrl;
use roomsweep::app::wire::open_ledger;
use roomsweep::model::ids::{AppId, BatchId, JobId, ProviderName, RequestId, RoomId};
use roomsweep::model::job::Lane;
use roomsweep::model::ledger::{NewBatch, Part, SenderReport};
use roomsweep::model::progress::AttemptRecord;
use roomsweep::model::result::{DismissResult, Outcome};
use roomsweep::model::verdict::{Fault, VerdictLabel};
use roomsweep::ports::clock::Clock;
use roomsweep::ports::ledger::{Ledger, Migrate};
use tempfile::TempDir;

use crate::edges_rig::{HUAWEI, VOLCENGINE, base};
use crate::support::database::Database;
use crate::support::free_address;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

pub struct Books {
    pub kind: Kind,
    pub ledger: Arc<dyn Ledger>,
    pub directory: TempDir,
    pub url: String,
    _database: Option<Database>,
}

/// What a command said, and its exit code.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Books {
    pub async fn new(kind: Kind) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let database = match kind {
            Kind::Sqlite => None,
            Kind::Postgres => Some(Database::new().await),
        };
        let url = match &database {
            None => format!("sqlite://{}", directory.path().join("ledger.db").display()),
            Some(database) => database.url().to_owned(),
        };
        let parsed = LedgerUrl::parse(&url).expect("a URL");
        let ledger = open_ledger(&parsed, Migrate::Yes).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        let books = Self { kind, ledger, directory, url, _database: database };
        books.configure(&books.configuration("amqp://127.0.0.1:1/%2f", "unused"));
        books
    }

    /// Both providers, and this ledger.
    pub fn configuration(&self, broker: &str, namespace: &str) -> String {
        let queue = base(broker, namespace, free_address());
        let providers = [VOLCENGINE, HUAWEI].concat().replace("ENDPOINT", "http://127.0.0.1:9");
        format!("{queue}[ledger]\nurl = '{}'\n{providers}", self.url)
    }

    pub fn configure(&self, text: &str) {
        fs::write(self.directory.path().join("roomsweep.toml"), text).expect("written");
    }

    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roomsweep"));
        command.current_dir(self.directory.path()).env_clear().env("USER", "ada").args(line.split_whitespace());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn start(&self, line: &str) -> Child {
        self.command(line).spawn().expect("the built program starts")
    }

    /// Runs `roomsweep …`; the connections of the test live on meanwhile.
    pub async fn run(&self, line: &str) -> Said {
        Said::of(self.start(line)).await
    }

    pub async fn record(&self, results: &[DismissResult]) {
        for group in results.chunks(500) {
            self.ledger.record(group).await.expect("recorded");
        }
    }

    pub async fn register(&self, id: &str, size: u64) {
        let parts = vec![Part { provider: provider("volcengine"), lane: Lane::Bulk, jobs: Some(size) }];
        self.ledger
            .register(&NewBatch { id: batch(id), size: Some(size), parts, at: now() })
            .await
            .expect("registered");
    }

    /// A sender that is at work now.
    pub async fn report(&self) {
        let report = SenderReport {
            provider: provider("volcengine"),
            worker: "host-1".into(),
            at: now(),
            quota_qps: 60.0,
            effective_qps: 60.0,
            in_flight: 1,
            waiting_urgent: 0,
            waiting_bulk: 600,
            deferred: 0,
            suspended: None,
            since: None,
            next_probe: None,
            rates: vec![300],
        };
        self.ledger.report(&report).await.expect("reported");
    }
}

impl Said {
    /// Waits for its end.
    pub async fn of(child: Child) -> Self {
        let ended = tokio::task::spawn_blocking(|| child.wait_with_output()).await.expect("no panic");
        let output = ended.expect("our own child");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }
}

pub fn now() -> Timestamp {
    // As ledgers keep it.
    Timestamp::from_millisecond(Clock::system().now().as_millisecond()).expect("a time")
}

pub fn batch(id: &str) -> BatchId {
    BatchId::parse(id).expect("an ID")
}

pub fn provider(name: &str) -> ProviderName {
    ProviderName::parse(name).expect("a name")
}

/// A result of volcengine, settled so many seconds ago, after a failure and a second attempt.
pub fn result(id: &str, outcome: Outcome, seconds: i64) -> DismissResult {
    let settled_at = now() - SignedDuration::from_secs(seconds);
    let fault = || Some(Fault { code: "InternalError".into(), message: "try again".into() });
    let attempt = |number: u32, verdict: VerdictLabel| AttemptRecord {
        at: settled_at - SignedDuration::from_millis(100 * i64::from(3 - number)),
        verdict,
        http_status: Some(if number == 1 { 500 } else { 200 }),
        request_id: Some(RequestId::parse(format!("q-{id}-{number}")).expect("an ID")),
        error: if number == 1 { fault() } else { None },
        duration_ms: 7,
    };
    DismissResult {
        job_id: JobId::parse(id).expect("an ID"),
        batch_id: None,
        provider: Some(provider("volcengine")),
        app_id: Some(AppId::parse("app").expect("an ID")),
        room_id: Some(RoomId::parse(format!("room-{id}")).expect("an ID")),
        lane: Some(Lane::Bulk),
        outcome,
        request_id: Some(RequestId::parse(format!("q-{id}-2")).expect("an ID")),
        http_status: Some(200),
        error: None,
        attempts: 2,
        run: 1,
        attempt_log: vec![attempt(1, VerdictLabel::Transient), attempt(2, VerdictLabel::Dismissed)],
        attempts_omitted: 0,
        received_at: settled_at - SignedDuration::from_secs(1),
        settled_at,
        reason: Some("end of class".into()),
        requested_by: None,
        labels: BTreeMap::from([("team".to_owned(), "live".to_owned())]),
        worker: "host-1".into(),
    }
}

/// The same as one of a batch.
pub fn of_batch(id: &str, result: DismissResult) -> DismissResult {
    DismissResult { batch_id: Some(batch(id)), ..result }
}
