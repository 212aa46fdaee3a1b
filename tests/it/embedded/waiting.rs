//! Jobs whose time is far off, and a batch that is cancelled meanwhile.

use std::time::Duration;

use rustix::process::Signal;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};

use super::{Desk, SOON};
use crate::support::process::Process;
use crate::support::{eventually, free_address};

async fn file(desk: &Desk) -> SqliteConnection {
    SqliteConnectOptions::new().filename(desk.path("roomsweep.db")).connect().await.expect("the queue's file")
}

/// Of every job that waits: for how many seconds more, and how often it was tried so far.
async fn waiting(desk: &Desk) -> Vec<(f64, Option<i64>)> {
    let waiting = "SELECT available_at / 1000.0 - unixepoch('subsec'), json_extract(progress, '$.attempts') FROM job";
    sqlx::query_as(waiting).fetch_all(&mut file(desk).await).await.expect("its jobs")
}

/// As if they had waited for as long as jobs are left alone.
async fn hand_out(desk: &Desk) {
    sqlx::query("UPDATE job SET available_at = 1").execute(&mut file(desk).await).await.expect("its jobs");
}

#[tokio::test]
async fn a_job_whose_time_is_far_off_ends_with_its_batch_when_it_surfaces_and_costs_no_attempt_till_then() {
    let admin = free_address();
    let desk = Desk::new(&format!("[admin]\nlisten = '{admin}'\n")).await;
    let path = desk.path("roomsweep.db");
    let shared = format!("[queue]\npath = '{}'\n{}", path.display(), desk.read("roomsweep.toml"));
    desk.rooms(["room-a", "room-b"].map(str::to_owned));
    let fill = ["--provider", "volcengine", "--app", "app", "--batch", "evening", "--not-before"];
    let enqueue = [&["enqueue", "rooms.txt"][..], &fill, &["2099-01-01T00:00:00Z"]].concat();
    let said = desk.run(&enqueue).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    let jobs = waiting(&desk).await;
    assert!(jobs.len() == 2 && jobs.iter().all(|(left, _)| *left < 1025.0), "{jobs:?}");

    let mut worker = Process::start(&["worker"], &shared, &[]);
    worker.ready(admin).await;
    for _ in 0..2 {
        hand_out(&desk).await;
        let back = eventually("they wait again", SOON, async || {
            let jobs = waiting(&desk).await;
            jobs.iter().all(|(left, _)| *left > 0.0).then_some(jobs)
        })
        .await;
        assert!(back.iter().all(|(left, attempts)| *left < 1025.0 && *attempts == Some(0)), "{back:?}");
    }
    let said = desk.run(&["batch", "cancel", "evening", "--yes"]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    tokio::time::sleep(Duration::from_secs(1)).await;
    hand_out(&desk).await;
    eventually("both are settled", SOON, async || (desk.settled().await.len() == 2).then_some(())).await;
    let outcomes: Vec<String> =
        sqlx::query_scalar("SELECT outcome FROM result").fetch_all(&mut file(&desk).await).await.expect("results");
    assert_eq!((outcomes, desk.request_count().await), (vec!["cancelled".to_owned(); 2], 0));
    worker.signal(Signal::TERM);
    assert!(worker.ended(Duration::from_secs(20)).await.success(), "{}", worker.log());
}
