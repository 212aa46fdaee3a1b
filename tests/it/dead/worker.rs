//! The whole way: ended badly, redriven, sent again.

use std::collections::HashMap;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::house::House;
use crate::support::free_address;
use crate::support::process::{Process, run};
use crate::support::sandbox::Sandbox;

fn by_room(results: Vec<Value>) -> HashMap<String, Value> {
    results.into_iter().map(|result| (result["room_id"].as_str().expect("a room").to_owned(), result)).collect()
}

pub async fn a_redriven_job_is_sent_again_in_its_second_run(house: &impl House) {
    let sandbox = Sandbox::start(&["--qps-volcengine", "unlimited"]).await;
    let admin = free_address();
    let configuration = house.configuration(&sandbox.endpoint(), admin);
    let mut worker = Process::start(&["worker"], &configuration, &[]);
    worker.ready(admin).await;
    // Fails as often as a run has attempts.
    let rooms = ["--room", "fail500x3-a", "--room", "badparam-b"];
    let enqueue = [&["enqueue", "--provider", "volcengine", "--app", "app"][..], &rooms].concat();
    assert!(run(&enqueue, &configuration, &[]).status.success());
    let first = by_room(house.results(2).await);
    let facts = |result: &Value| (result["outcome"].clone(), result["run"].clone(), result["attempts"].clone());
    assert_eq!(facts(&first["fail500x3-a"]), ("exhausted".into(), 1.into(), 3.into()));
    assert_eq!(facts(&first["badparam-b"]), ("rejected".into(), 1.into(), 1.into()));

    let said = house.run("redrive --yes").await;
    assert_eq!((said.code, said.out.as_str()), (Some(0), "2 redriven\n"), "{}", said.err);
    let second = by_room(house.results(2).await);
    assert_eq!(facts(&second["fail500x3-a"]), ("dismissed".into(), 2.into(), 1.into()));
    assert_eq!(facts(&second["badparam-b"]), ("rejected".into(), 2.into(), 1.into()));
    assert_eq!(second["fail500x3-a"]["job_id"], first["fail500x3-a"]["job_id"]);
    let requests = sandbox.requests().await;
    let seen = requests.iter().filter(|request| request["room_id"] == "fail500x3-a").count();
    assert_eq!((requests.len(), seen), (6, 4));

    let said = house.run("list --json").await;
    let row: Value = serde_json::from_str(&said.out).expect("one line");
    assert_eq!((&row["room_id"], &row["run"]), (&"badparam-b".into(), &2.into()));
    assert_eq!(row["request_id"], second["badparam-b"]["request_id"]);
    worker.signal(Signal::TERM);
    assert!(worker.ended(Duration::from_secs(30)).await.success());
}
