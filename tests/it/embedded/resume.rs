//! What a sweep remembers of itself.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::{Desk, SOON, sweep_arguments};
use crate::support::eventually;

const ROOMS: usize = 1_000;
const KILLS: usize = 5;
/// As many may have been sent when a run was killed and not been noted.
const IN_FLIGHT: usize = 128;

fn room(number: usize) -> String {
    if number.is_multiple_of(50) { format!("fail500x1-{number}") } else { format!("room-{number}") }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn killed_again_and_again_a_sweep_has_one_result_for_every_room_and_sends_no_settled_one_again() {
    let desk = Desk::new("").await;
    desk.rooms((0..ROOMS).map(room));
    let arguments = sweep_arguments(&["--yes", "--results", "results.jsonl"]);
    let mut settled_then: HashMap<String, usize> = HashMap::new();
    for kill in 0..KILLS {
        let before = desk.request_count().await;
        let more = fastrand::u64(1..ROOMS as u64 / 10);
        let mut running = desk.start(&arguments);
        eventually(&format!("{more} requests more"), SOON, || async {
            (desk.request_count().await >= before + more).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..30))).await;
        assert!(running.is_running(), "killed in the middle of it, not after");
        running.kill();
        eventually("the clouds have seen the end of it", SOON, || async {
            let stats = desk.sandbox.stats().await;
            (stats["clouds"]["volcengine"]["open"] == 0).then_some(())
        })
        .await;
        let (settled, requests) = (desk.settled().await, desk.requests().await);
        assert!(kill == 0 || settled.len() >= settled_then.len());
        for (room, count) in &settled_then {
            assert_eq!(requests[room], *count, "{room} was settled before, and sent again");
        }
        settled_then = settled.into_iter().map(|room| (room.clone(), requests[&room])).collect();
    }
    assert!(!settled_then.is_empty() && settled_then.len() < ROOMS, "{}", settled_then.len());

    let said = desk.run(&arguments).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(said.err.contains("going on with the sweep"), "{}", said.err);
    assert!(said.out.contains(&format!("{ROOMS} rooms: {ROOMS} dismissed\n")), "{}", said.out);
    let requests = desk.requests().await;
    for (room, count) in &settled_then {
        assert_eq!(requests[room], *count, "{room} was settled before, and sent again");
    }
    let settled = desk.settled().await;
    assert_eq!((settled.len(), settled.iter().collect::<HashSet<_>>().len()), (ROOMS, ROOMS));
    let results = desk.results("results.jsonl");
    let rooms: HashSet<String> = results.iter().map(|result| text(&result["room_id"])).collect();
    assert_eq!((results.len(), rooms.len()), (ROOMS, ROOMS), "the file is whole after all that");
    assert!(results.iter().all(|result| result["outcome"] == "dismissed"));
    let retries = ROOMS / 50;
    let sent: usize = requests.values().sum();
    assert!(sent <= ROOMS + retries + KILLS * IN_FLIGHT, "{sent}");
}

#[tokio::test]
async fn interrupted_it_says_how_to_go_on_and_a_finished_one_starts_afresh() {
    let desk = Desk::new("[shutdown]\ngrace = '5s'\n").await;
    desk.rooms((0..60).map(|number| format!("slow400-{number}")));
    // One at a time: so it is in the middle of it when it is asked to stop.
    let configuration = desk.read("roomsweep.toml").replace("qps = 1000", "qps = 1000\nmax_in_flight = 2");
    desk.write("roomsweep.toml", &configuration);
    let running = desk.start(&sweep_arguments(&["--results", "results.jsonl"]));
    eventually("some requests", SOON, || async { (desk.request_count().await >= 10).then_some(()) }).await;
    running.signal(Signal::INT);
    let said = running.ended().await;
    assert_eq!(said.code, Some(130), "{}", said.err);
    assert!(said.err.contains("the same command again goes on"), "{}", said.err);
    let settled = desk.settled().await;
    assert_eq!(settled.len(), desk.request_count().await as usize, "what was on the wire was waited for");
    assert!(settled.len() < 60);

    desk.write("roomsweep.toml", &configuration.replace("max_in_flight = 2", "max_in_flight = 60"));
    let said = desk.sweep(&["--results", "results.jsonl"]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains(&format!("{} of 60 rooms are settled", settled.len())), "{}", said.err);
    assert_eq!((desk.request_count().await, desk.results("results.jsonl").len()), (60, 60));

    let again = desk.sweep(&["--results", "results.jsonl"]).await;
    assert_eq!((again.code, desk.request_count().await), (Some(0), 120), "afresh: {}", again.err);
    assert_eq!(desk.results("results.jsonl").len(), 60);
}

#[tokio::test]
async fn fresh_begins_anew_and_jobs_of_others_are_not_sent_unasked() {
    let desk = Desk::new("").await;
    desk.rooms((0..50).map(|number| format!("room-{number}")));
    // Not due for long: it stays in the middle of it.
    let later = "room_id,not_before\nnow,\nlater,2099-01-01T00:00:00Z\n";
    desk.write("later.csv", later);
    let fill = ["--provider", "volcengine", "--app", "app"];
    let arguments = [&["sweep", "later.csv"][..], &fill].concat();
    let mut running = desk.start(&arguments);
    eventually("one is settled", SOON, || async { (desk.request_count().await == 1).then_some(()) }).await;
    eventually("and noted", SOON, || async { (desk.settled().await.len() == 1).then_some(()) }).await;
    assert!(running.is_running());
    running.signal(Signal::TERM);
    assert_eq!(running.ended().await.code, Some(130));

    let other = desk.sweep(&["--yes"]).await;
    assert_eq!((other.code, desk.request_count().await), (Some(1), 1), "{}", other.err);
    assert!(other.err.contains("holds 1 other jobs") && other.err.contains("ROOMSWEEP__QUEUE__PATH"), "{}", other.err);

    let mut running = desk.start(&[&arguments[..], &["--fresh"]].concat());
    eventually("it is sent again", SOON, || async { (desk.request_count().await == 2).then_some(()) }).await;
    running.kill();
}
