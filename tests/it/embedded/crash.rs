//! A worker on a file that dies, at named points of a job's way and at any moment.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use futures_util::future::join_all;
use roomsweep::ports::crash::Point;
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

use super::{Desk, Running, SOON, ledger_is_exact};
use crate::checker::Losses;
use crate::flow::evidence::{self, Results, Settled};
use crate::flow::stage::Job;
use crate::flow::story;
use crate::support::{eventually, free_address};

const QUOTA: [(&str, usize); 1] = [("volcengine", 100)];
/// As many requests may be on the wire of a worker.
const IN_FLIGHT: usize = 128;

fn job(index: usize) -> Job {
    let fault = match index % 10 {
        3 => "fail500x1-",
        7 => "badparam-",
        _ => "",
    };
    Job::new("volcengine", "bulk", format!("{fault}file-{index}"))
}

/// All jobs are of one batch.
const BATCH: &str = "night";

/// Jobs in a file, and whatever a worker on it needs.
async fn desk(jobs: &[Job]) -> Desk {
    let desk = Desk::new(&format!("[admin]\nlisten = '{}'\n", free_address())).await;
    let line = |job: &Job| {
        let mut line: Value = serde_json::from_slice(&job.body()).expect("JSON");
        line["batch_id"] = json!(BATCH);
        line.to_string()
    };
    let lines: Vec<String> = jobs.iter().map(line).collect();
    desk.write("jobs.jsonl", &lines.join("\n"));
    desk.write("roomsweep.toml", &desk.read("roomsweep.toml").replace("qps = 1000", "qps = 100"));
    let said = desk.run(&["enqueue", "jobs.jsonl"]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    desk
}

impl Desk {
    async fn open(&self) -> SqliteConnection {
        let url = format!("sqlite://{}?mode=ro", self.path("roomsweep.db").display());
        SqliteConnection::connect(&url).await.expect("the queue's file")
    }

    /// The file is whole, and holds one result for every job.
    async fn judged(&self, jobs: &[Job], unknown_ids: usize) {
        let mut file = self.open().await;
        let whole: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut file).await.expect("a file");
        assert_eq!(whole, "ok");
        let told: Vec<String> =
            sqlx::query_scalar("SELECT json FROM result").fetch_all(&mut file).await.expect("results");
        let mut results = Results::new();
        for json in &told {
            let settled: Settled = serde_json::from_str(json).expect("a result");
            results.entry(settled.job_id.clone()).or_default().push(settled);
        }
        evidence::assert_one_each(&results, jobs);
        let seen = evidence::seen(&self.sandbox).await;
        story::check(jobs, &results, &seen, &QUOTA, Losses::Senders { unknown_ids }, &[]);
        let mut dead: Vec<String> =
            sqlx::query_scalar("SELECT job_id FROM dead").fetch_all(&mut file).await.expect("dead letters");
        let mut rejected: Vec<String> =
            jobs.iter().filter(|job| job.id.starts_with("badparam-")).map(|job| job.id.clone()).collect();
        dead.sort();
        rejected.sort();
        assert_eq!(dead, rejected);
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM job").fetch_one(&mut file).await.expect("jobs");
        assert_eq!(left, 0);
        assert_eq!(self.ledger_is_exact().await, jobs.len() as u64);
    }

    /// At whatever moment it died, the ledger tells what the queue tells.
    async fn ledger_is_exact(&self) -> u64 {
        ledger_is_exact(&mut self.open().await).await
    }

    async fn left(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM job").fetch_one(&mut self.open().await).await.expect("jobs")
    }

    /// A worker ends what is left.
    async fn finished(&self) {
        let worker = self.start(&["worker"]);
        eventually("everything is settled", SOON, || async { (self.left().await == 0).then_some(()) }).await;
        worker.signal(Signal::TERM);
        let said = worker.ended().await;
        assert_eq!(said.code, Some(0), "{}", said.err);
    }
}

#[tokio::test]
async fn a_worker_on_a_file_that_dies_anywhere_on_a_jobs_way_loses_nothing() {
    let points = Point::ALL.into_iter().filter(|point| match point {
        Point::Led
        | Point::Picked
        | Point::Signed
        | Point::Written
        | Point::Answered
        | Point::Uncommitted
        | Point::Committed => true,
        Point::Received
        | Point::Forwarded
        | Point::Unconfirmed
        | Point::Told
        | Point::Buried
        | Point::Deferred
        | Point::Acked => false,
    });
    join_all(points.map(outlived)).await;
}

async fn outlived(point: Point) {
    let name = format!("{point:?}");
    let jobs: Vec<Job> = (0..30).map(job).collect();
    let desk = desk(&jobs).await;
    let mut doomed = desk.start_with(&["worker"], &[("ROOMSWEEP_CRASH_AT", &name)]);
    let ended = doomed.status().await;
    assert_eq!(ended.signal(), Some(Signal::ABORT.as_raw()), "{name}: {}", desk.read("stderr"));
    let by_the_doomed = desk.request_count().await;
    desk.ledger_is_exact().await;
    desk.finished().await;
    desk.judged(&jobs, by_the_doomed as usize).await;
    println!("{name}: after {by_the_doomed} requests");
}

#[tokio::test]
async fn killed_twenty_times_in_a_thousand_jobs_a_worker_leaves_its_file_whole() {
    let (kills, count) = (20, 1_000);
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let jobs: Vec<Job> = (0..count).map(job).collect();
    let desk = desk(&jobs).await;
    for _ in 0..kills {
        let until = desk.request_count().await + rng.u64(0..count as u64 / kills / 2);
        let mut worker: Running = desk.start(&["worker"]);
        eventually("requests", SOON, || async { (desk.request_count().await >= until).then_some(()) }).await;
        tokio::time::sleep(Duration::from_micros(rng.u64(0..20_000))).await;
        assert!(worker.is_running(), "{}", desk.read("stderr"));
        worker.kill();
        desk.ledger_is_exact().await;
    }
    let left = desk.left().await;
    assert!(left > 0, "the last kill came when all was done");
    desk.finished().await;
    desk.judged(&jobs, kills as usize * IN_FLIGHT).await;
    println!("{kills} kills, {count} jobs: {} requests, {left} jobs after the last kill", desk.request_count().await);
}
