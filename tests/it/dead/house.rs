//! A queue with dead letters, and a directory where commands are run on it.

mod rabbitmq;
mod sqlite;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use roomsweep::ports::broker::Broker;
use roomsweep::ports::clock::Clock;
use roomsweep::ports::dead::DeadLetters;
use serde_json::{Value, json};
use tempfile::TempDir;

pub use self::rabbitmq::RabbitMq;
pub use self::sqlite::Sqlite;
use crate::edges_rig::{HUAWEI, VOLCENGINE, base};
use crate::support::free_address;
use crate::support::rabbit::URL;

pub fn now() -> Timestamp {
    Clock::system().now()
}

/// A dead letter to be put there by hand.
#[derive(Clone)]
pub struct Grave {
    pub id: String,
    pub provider: String,
    pub body: Vec<u8>,
    pub outcome: &'static str,
    pub error: &'static str,
    pub settled_at: Timestamp,
    pub run: u32,
}

impl Grave {
    pub fn new(id: &str, provider: &str, outcome: &'static str) -> Self {
        let body = json!({"provider": provider, "app_id": "app", "room_id": format!("room-{id}"), "job_id": id});
        let (provider, body) = (provider.to_owned(), body.to_string().into_bytes());
        Self { id: id.to_owned(), provider, body, outcome, error: "Code: why", settled_at: now(), run: 1 }
    }

    pub fn aged(self, seconds: i64) -> Self {
        Self { settled_at: now() - SignedDuration::from_secs(seconds), ..self }
    }

    pub fn with_body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    fn last_run(&self) -> Value {
        json!({"received_at": self.settled_at, "run": self.run, "attempts": 1, "transient": 1, "omitted": 0, "log": [{
            "at": self.settled_at, "verdict": "transient", "http_status": 500, "request_id": format!("q-{}", self.id),
            "error": {"code": "Code", "message": "why"}, "duration_ms": 7,
        }]})
    }
}

pub fn graves(many: usize) -> Vec<Grave> {
    (0..many).map(|n| Grave::new(&format!("j{n:05}"), "volcengine", "exhausted")).collect()
}

/// What a command said, and its exit code.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

#[async_trait]
pub trait House: Sync {
    /// For a sender, with all its queues.
    async fn open(&self) -> Arc<dyn Broker>;

    /// For whoever looks after the dead letters beside it.
    async fn dead(&self) -> Arc<dyn DeadLetters>;

    /// Puts a job into the bulk lane of volcengine.
    async fn put(&self, broker: &Arc<dyn Broker>, room: &str);

    async fn bury(&self, graves: &[Grave]);

    /// The IDs of all jobs in bulk lanes, and of all dead letters; takes them out.
    async fn take_all(&self) -> (Vec<String>, Vec<String>);

    /// How many jobs are in the bulk lane of volcengine.
    async fn redriven(&self) -> usize;

    /// Waits until a redrive that was just started is in the middle of its work.
    async fn half_way(&self);

    /// The next results, which panics if they do not come.
    async fn results(&self, many: usize) -> Vec<Value>;

    /// `[queue]`
    fn queue(&self) -> String;

    fn directory(&self) -> &TempDir;

    /// `[queue]`, `[admin]` and both providers.
    fn configuration(&self, endpoint: &str, admin: std::net::SocketAddr) -> String {
        let rest = base(URL, "unused", admin);
        let (_, rest) = rest.split_once("[admin]").expect("after [queue]");
        format!("{}[admin]{rest}{VOLCENGINE}{HUAWEI}", self.queue()).replace("ENDPOINT", endpoint)
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let directory = self.directory().path();
        let file = directory.join("roomsweep.toml");
        fs::write(file, self.configuration("http://127.0.0.1:9", free_address())).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_roomsweep"));
        command.current_dir(directory).env_clear().arg("dead").args(arguments).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the built program starts")
    }

    /// Runs `roomsweep dead …`; the connections of the test live on meanwhile.
    async fn run(&self, line: &str) -> Said {
        let child = self.start(&line.split_whitespace().collect::<Vec<_>>());
        Said::of(child).await
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
}
