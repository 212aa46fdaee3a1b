//! The embedded queue as a user meets it: no broker anywhere.

mod crash;
mod demo;
mod file;
mod intake;
mod orders;
mod resume;
mod soak;
mod sweep;
mod waiting;
mod worker;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::process::Environment;
use crate::support::sandbox::Sandbox;

const UNLIMITED: [&str; 4] = ["--qps-volcengine", "unlimited", "--qps-huawei", "unlimited"];

/// For whatever a busy machine may take a while for.
const SOON: Duration = Duration::from_secs(60);

/// What a command said, and its exit code.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

/// A directory where commands are run one after another, and the clouds that they reach.
struct Desk {
    directory: TempDir,
    sandbox: Sandbox,
}

/// A command that runs.
struct Running {
    child: Child,
    name: String,
    directory: PathBuf,
}

impl Desk {
    /// Two providers without a quota worth the name, whatever `more` says beside.
    async fn new(more: &str) -> Self {
        let sandbox = Sandbox::start(&UNLIMITED).await;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let endpoint = sandbox.endpoint();
        let tables: String = ["volcengine", "huawei"]
            .map(|name| {
                format!(
                    "[providers.{name}]\nkind = '{name}'\nendpoint = '{endpoint}'\naccess_key_id = 'sandbox-ak'\n\
                     secret_access_key = 'sandbox-sk'\nqps = 1000\ntimeout = '5s'\n"
                )
            })
            .concat();
        let configuration = format!(
            "{tables}project_id = 'sandbox-project'\n[retry]\ninitial = '20ms'\nmax = '50ms'\nmax_attempts = 3\n{more}"
        );
        fs::write(directory.path().join("roomsweep.toml"), configuration).expect("written");
        Self { directory, sandbox }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// A file of rooms for `--provider volcengine --app app`.
    fn rooms(&self, rooms: impl IntoIterator<Item = String>) {
        let rooms: Vec<String> = rooms.into_iter().collect();
        self.write("rooms.txt", &rooms.join("\n"));
    }

    fn start(&self, arguments: &[&str]) -> Running {
        self.start_with(arguments, &[])
    }

    /// The same with these variables.
    fn start_with(&self, arguments: &[&str], environment: Environment<'_>) -> Running {
        let name = arguments.join(" ");
        let file = |kind: &str| File::create(self.path(kind)).expect("a file for its output");
        let child = Command::new(env!("CARGO_BIN_EXE_roomsweep"))
            .args(arguments)
            .env_clear()
            .env("RUST_BACKTRACE", "1")
            .envs(environment.iter().copied())
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("the built program starts");
        Running { child, name, directory: self.directory.path().to_owned() }
    }

    async fn run(&self, arguments: &[&str]) -> Said {
        self.start(arguments).ended().await
    }

    /// `sweep rooms.txt` with what it needs, and `more`.
    async fn sweep(&self, more: &[&str]) -> Said {
        self.run(&sweep_arguments(more)).await
    }

    /// The result lines of a file.
    fn results(&self, name: &str) -> Vec<Value> {
        self.read(name).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// The rooms that are settled, in the file itself; a room as often as it has results.
    async fn settled(&self) -> Vec<String> {
        let url = format!("sqlite://{}?mode=ro", self.path("roomsweep.db").display());
        let mut connection = SqliteConnection::connect(&url).await.expect("the queue's file");
        ledger_is_exact(&mut connection).await;
        sqlx::query_scalar("SELECT room_id FROM result").fetch_all(&mut connection).await.expect("its results")
    }

    /// How often each room was asked for at the clouds. A request that was cut off half-way names none.
    async fn requests(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for request in self.sandbox.requests().await {
            match request["room_id"].as_str() {
                Some(room) => *counts.entry(room.to_owned()).or_default() += 1,
                None => assert_eq!(request["answered"], false, "{request}"),
            }
        }
        counts
    }

    async fn request_count(&self) -> u64 {
        self.sandbox.stats().await["requests"].as_u64().expect("a number")
    }
}

/// Every result of the queue is in the ledger, and nothing else is; each job of a batch is counted once. How many jobs are
/// over.
async fn ledger_is_exact(file: &mut SqliteConnection) -> u64 {
    // In one transaction, for a worker may be at work.
    let mut file = file.begin().await.expect("a transaction");
    let settled: Vec<(String, i64, String, String)> =
        sqlx::query_as("SELECT job_id, run, outcome, json FROM result ORDER BY job_id, run")
            .fetch_all(&mut *file)
            .await
            .expect("results");
    let kept: Vec<(String, i64, String, String)> =
        sqlx::query_as("SELECT job_id, run, outcome, result FROM entry ORDER BY job_id, run")
            .fetch_all(&mut *file)
            .await
            .expect("a ledger");
    assert!(settled == kept, "{} results and {} entries", settled.len(), kept.len());
    let attempts: i64 =
        sqlx::query_scalar("SELECT count(*) FROM attempt").fetch_one(&mut *file).await.expect("attempts");
    let results: Vec<Value> = settled.iter().map(|(.., json)| serde_json::from_str(json).expect("a result")).collect();
    let logged: usize = results.iter().map(|result| result["attempt_log"].as_array().expect("a log").len()).sum();
    assert_eq!(attempts, logged as i64);

    let mut expected: BTreeMap<(String, String, String), i64> = BTreeMap::new();
    for result in results.iter().filter(|result| result["batch_id"].is_string()) {
        let [batch, provider, outcome] =
            ["batch_id", "provider", "outcome"].map(|name| result[name].as_str().expect("a text").to_owned());
        *expected.entry((batch, provider, outcome)).or_default() += 1;
    }
    let counted: Vec<(String, String, String, i64)> =
        sqlx::query_as("SELECT batch_id, provider, outcome, jobs FROM batch_tally WHERE jobs <> 0")
            .fetch_all(&mut *file)
            .await
            .expect("batches");
    let counted: BTreeMap<_, _> =
        counted.into_iter().map(|(batch, provider, outcome, jobs)| ((batch, provider, outcome), jobs)).collect();
    assert_eq!(counted, expected);
    settled.len() as u64
}

fn sweep_arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["sweep", "rooms.txt", "--provider", "volcengine", "--app", "app"][..], more].concat()
}

impl Running {
    async fn status(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let ended = || std::future::ready(child.try_wait().expect("our own child"));
        eventually(&format!("the end of {}", self.name), SOON * 2, ended).await
    }

    async fn ended(mut self) -> Said {
        let status = self.status().await;
        let read = |name: &str| fs::read_to_string(self.directory.join(name)).expect("its output");
        Said { code: status.code(), out: read("stdout"), err: read("stderr") }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("our own child");
    }

    /// Whether it is still at work.
    fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_none()
    }

    /// `kill -9`, and gone when it returns.
    fn kill(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = fs::read_to_string(self.directory.join("stderr")).unwrap_or_default();
            eprintln!("--- stderr of {}:\n{said}---", self.name);
        }
    }
}
