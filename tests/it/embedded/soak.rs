//! Workers and commands on one file beside other programs that lock, shrink, copy and check it, and beside kills.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor, SqliteConnection};
use tokio::time::{Instant, sleep};

use super::{Desk, SOON, ledger_is_exact};
use crate::support::process::Process;
use crate::support::{eventually, free_address};

/// How long the file is troubled. `ROOMSWEEP_TEST_SOAK=300` takes five minutes, with locks beyond any patience.
const SECONDS: u64 = 20;
/// A lock that nobody waits for any more is held only in a long run.
const LONG: u64 = 120;

fn asked(name: &str) -> Option<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever runs the tests says how long they may take, and from which seed"
    )]
    let asked = std::env::var(name);
    asked.ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// What another program does to the file.
const ACTS: [&str; 7] = ["hold", "hold-long", "vacuum", "vacuum-into", "checkpoint", "copy", "read"];
const FILE: &str = "ROOMSWEEP_TEST_SOAK_FILE";
const ACT: &str = "ROOMSWEEP_TEST_SOAK_ACT";

async fn connect(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(2));
    options.connect().await.expect("the queue's file")
}

/// The other program: this one, started with what it is to do.
#[tokio::test]
async fn another_program() {
    #[expect(clippy::disallowed_methods, reason = "it is told so by the test that starts it")]
    let (Ok(path), Ok(act)) = (std::env::var(FILE), std::env::var(ACT)) else { return };
    let path = PathBuf::from(path);
    let own = path.with_extension(format!("{}.tmp", std::process::id()));
    if act == "copy" {
        fs::copy(&path, &own).expect("copied");
        fs::remove_file(own).expect("removed");
        return;
    }
    let mut file = connect(&path).await;
    // What is busy for too long is given up: the act of the others matters.
    let _ = match act.as_str() {
        "hold" | "hold-long" => {
            let begun = file.execute("BEGIN IMMEDIATE").await;
            sleep(Duration::from_millis(if act == "hold" { 700 } else { 35_000 })).await;
            begun
        }
        "vacuum" => file.execute("VACUUM").await,
        "vacuum-into" => file.execute(format!("VACUUM INTO '{}'", own.display()).as_str()).await,
        "checkpoint" => file.execute("PRAGMA wal_checkpoint(TRUNCATE)").await,
        "read" => {
            let begun = file.execute("BEGIN; SELECT count(*) FROM result").await;
            sleep(Duration::from_millis(300)).await;
            begun
        }
        other => panic!("{other} is none of {ACTS:?}"),
    };
}

/// Another program at work; gone when dropped.
struct Other(Child);

impl Other {
    fn start(path: &Path, act: &str) -> Self {
        let this = std::env::current_exe().expect("this program");
        let mut command = Command::new(this);
        command.args(["embedded::soak::another_program", "--exact"]).env(FILE, path).env(ACT, act);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("started"))
    }

    fn is_over(&mut self) -> bool {
        self.0.try_wait().expect("our own child").is_some()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Scene {
    path: PathBuf,
    configuration: String,
    admin: SocketAddr,
    rng: fastrand::Rng,
}

impl Scene {
    fn worker(&self) -> Process {
        Process::start(&["worker"], &self.configuration, &[])
    }

    /// Puts some jobs in, and is killed half-way now and then.
    fn enqueue(&mut self, round: usize) -> (Process, Option<Duration>) {
        let rooms: Vec<String> = (0..self.rng.usize(1..40)).map(|n| format!("soak-{round}-{n}")).collect();
        let mut arguments = vec!["enqueue", "--provider", "volcengine", "--app", "app", "--json"];
        arguments.extend(rooms.iter().flat_map(|room| ["--room", room.as_str()]));
        let kill = self.rng.bool().then(|| Duration::from_millis(self.rng.u64(0..60)));
        (Process::start(&arguments, &self.configuration, &[]), kill.filter(|_| self.rng.u8(0..4) == 0))
    }
}

/// The job IDs that were said to be confirmed.
fn confirmed(enqueue: &Process) -> Vec<String> {
    let said = enqueue.output();
    let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let confirmed = lines.filter(|line| line["state"] == "confirmed");
    confirmed.map(|line| line["job_id"].as_str().expect("an ID").to_owned()).collect()
}

#[tokio::test]
async fn whatever_others_do_to_the_file_what_was_confirmed_has_a_result_and_the_file_is_whole() {
    let seconds = asked("ROOMSWEEP_TEST_SOAK").unwrap_or(SECONDS);
    let seed = asked("ROOMSWEEP_TEST_SOAK_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let desk = Desk::new("").await;
    let (path, admin) = (desk.path("roomsweep.db"), free_address());
    let configuration =
        format!("[queue]\npath = '{}'\n[admin]\nlisten = '{admin}'\n{}", path.display(), desk.read("roomsweep.toml"));
    let mut scene = Scene { path, configuration, admin, rng: fastrand::Rng::with_seed(seed) };
    let mut worker = scene.worker();
    worker.ready(scene.admin).await;
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut others, mut said, mut kills, mut round): (Vec<Other>, Vec<String>, usize, usize) = (vec![], vec![], 0, 0);
    while Instant::now() < end {
        others.retain_mut(|other| !other.is_over());
        let act = ACTS[scene.rng.usize(..ACTS.len())];
        if others.len() < 3 && (act != "hold-long" || seconds >= LONG) {
            others.push(Other::start(&scene.path, act));
        }
        let (mut enqueue, kill) = scene.enqueue(round);
        match kill {
            Some(after) => {
                sleep(after).await;
                enqueue.kill();
            }
            None => drop(enqueue.ended(SOON * 3).await),
        }
        said.extend(confirmed(&enqueue));
        if scene.rng.u8(0..8) == 0 {
            worker.kill();
            kills += 1;
            worker = scene.worker();
        }
        round += 1;
    }
    drop(others);
    worker.ready(scene.admin).await;
    let mut file = connect(&scene.path).await;
    eventually("nothing is left", SOON, async || {
        let mut file = connect(&scene.path).await;
        let left = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM job").fetch_one(&mut file);
        (left.await.ok()? == 0).then_some(())
    })
    .await;
    let whole: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut file).await.expect("a file");
    assert_eq!(whole, "ok");
    let settled: Vec<String> =
        sqlx::query_scalar("SELECT job_id FROM result").fetch_all(&mut file).await.expect("them");
    let lost: Vec<&String> = said.iter().filter(|id| !settled.contains(id)).collect();
    assert!(lost.is_empty(), "{} of {} confirmed jobs have no result: {lost:?}", lost.len(), said.len());
    ledger_is_exact(&mut file).await;
    assert!(said.len() > round, "something was confirmed in {round} rounds");
    println!("{round} rounds, {kills} kills, {} jobs confirmed, {} settled", said.len(), settled.len());
}
