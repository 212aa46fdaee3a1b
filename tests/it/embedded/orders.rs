//! What operators ask for while a sweep is at work.

use std::time::Duration;

use sqlx::{Connection, SqliteConnection};

use super::{Desk, SOON};
use crate::support::eventually;
use crate::support::process::Process;

/// A desk whose provider takes 20 a second, for commands beside what runs.
async fn desk(more: &str) -> Desk {
    let desk = Desk::new(more).await;
    let slow = desk.read("roomsweep.toml").replacen("qps = 1000", "qps = 20", 1);
    let path = desk.path("roomsweep.db");
    desk.write("roomsweep.toml", &format!("[queue]\npath = '{}'\n{slow}", path.display()));
    desk
}

/// A sweep of a file of the desk, at work: some requests were seen.
async fn sweep(desk: &Desk, file: &str) -> Process {
    let path = desk.path(file).display().to_string();
    let arguments = ["sweep", &path, "--provider", "volcengine", "--app", "app", "--yes"];
    let running = Process::start(&arguments, &desk.read("roomsweep.toml"), &[]);
    eventually("some requests", SOON, async || (desk.request_count().await >= 10).then_some(())).await;
    running
}

#[tokio::test]
async fn a_pause_stops_a_sweep_that_is_at_work_and_it_says_so_and_goes_on_when_it_is_resumed() {
    let desk = desk("").await;
    desk.rooms((0..100).map(|number| format!("room-{number}")));
    let mut running = sweep(&desk, "rooms.txt").await;
    assert_eq!(desk.run(&["pause", "volcengine"]).await.code, Some(0));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let sent = desk.request_count().await;
    assert!(sent < 100, "{sent}");
    eventually("it says so", SOON, async || running.log().contains("; volcengine is suspended (paused)").then_some(()))
        .await;
    assert_eq!(desk.request_count().await, sent);
    assert_eq!(desk.run(&["resume", "volcengine"]).await.code, Some(0));
    assert!(running.ended(SOON).await.success(), "{}", running.log());
    assert_eq!(desk.request_count().await, 100);
}

#[tokio::test]
async fn a_batch_that_is_cancelled_ends_the_rest_of_it_in_a_sweep_that_is_at_work() {
    let desk = desk("").await;
    let row = |number: usize| format!("room-{number},{}\n", if number.is_multiple_of(10) { "" } else { "evening" });
    desk.write("rooms.csv", &format!("room_id,batch_id\n{}", (0..150).map(row).collect::<String>()));
    let mut running = sweep(&desk, "rooms.csv").await;
    assert_eq!(desk.run(&["batch", "cancel", "evening", "--yes"]).await.code, Some(0));
    let status = running.ended(SOON).await;
    assert_eq!(status.code(), Some(1), "not all of them are closed: {}", running.log());
    let (said, sent) = (running.output(), desk.request_count().await);
    assert!((15..100).contains(&sent), "{sent}");
    assert!(said.contains(&format!("150 rooms: {} cancelled, {sent} dismissed\n", 150 - sent)), "{said}");
}

#[tokio::test]
async fn a_file_that_is_only_ever_swept_forgets_what_is_older_than_it_is_to_be_kept() {
    let desk = desk("[ledger]\nkeep = '2h'\n").await;
    desk.rooms(["first-a", "first-b"].map(str::to_owned));
    assert_eq!(desk.sweep(&[]).await.code, Some(0));
    let url = format!("sqlite://{}", desk.path("roomsweep.db").display());
    let mut file = SqliteConnection::connect(&url).await.expect("the queue's file");
    for older in [
        "UPDATE entry SET settled_at = settled_at - 3 * 3600 * 1000000000",
        "UPDATE result SET settled_at = settled_at - 3 * 3600 * 1000",
    ] {
        sqlx::query(older).execute(&mut file).await.expect("the queue's file");
    }
    desk.rooms(["second".to_owned()]);
    let said = desk.sweep(&[]).await;
    assert_eq!((said.code, desk.settled().await), (Some(0), vec!["second".to_owned()]), "{}", said.err);
}
