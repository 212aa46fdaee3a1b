//! A broker that takes nothing: commands say so and end, and what is known of each job is told.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::edges_rig::{VOLCENGINE, base, job};
use crate::support::node::Node;
use crate::support::process::Process;
use crate::support::rabbit::Namespace;
use crate::support::sandbox::Sandbox;
use crate::support::{eventually, free_address, http};

const SOON: Duration = Duration::from_secs(30);
const TAKES_NOTHING: &str = "the broker takes nothing for now";

/// The exit code of a command, and all that it said.
async fn ended(mut command: Process) -> (Option<i32>, String) {
    let status = command.ended(SOON).await;
    (status.code(), command.output() + &command.log())
}

#[tokio::test]
async fn an_alarm_is_said_and_holds_up_no_command() {
    let node = Node::start("").await;
    let namespace = Namespace::on(&node.url(), &["volcengine"]).await;
    let sandbox = Sandbox::start(&[]).await;
    let admin = free_address();
    let tables = VOLCENGINE.replace("ENDPOINT", &sandbox.endpoint()) + "app_ids = ['app']\n";
    let configuration = base(&node.url(), namespace.name(), admin) + &tables;
    let mut worker = Process::start(&["worker"], &configuration, &[]);
    worker.ready(admin).await;
    let foreign = json!({"provider": "volcengine", "app_id": "another", "room_id": "r"}).to_string();
    namespace.publish("", &namespace.of("jobs"), foreign.as_bytes(), Default::default()).await;
    let dead = namespace.of("dead");
    eventually("a dead letter", SOON, || async { (namespace.depth(&dead).await == Some(1)).then_some(()) }).await;

    node.alarm().await;
    let reason = eventually("not ready", SOON, || async {
        http::get(admin, "/readyz").await.ok().filter(|reply| reply.status == 503)
    });
    assert!(reason.await.body.contains(TAKES_NOTHING));
    let rooms = (0..2_000).map(|n| format!("room-{n}\n")).collect::<String>();
    let start = |arguments: &[&str]| Process::start(arguments, &configuration, &[]);
    let one = ["enqueue", "--provider", "volcengine", "--app", "app", "--room", "r"];
    let (code, said) = ended(start(&one)).await;
    assert!(code == Some(1) && said.contains(TAKES_NOTHING) && said.contains("1 not confirmed"), "{code:?} {said}");

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rooms).unwrap();
    let path = file.path().to_str().unwrap();
    let many = ["enqueue", path, "--provider", "volcengine", "--app", "app", "--json"];
    let began = Instant::now();
    let command = start(&many);
    let (code, said) = ended(command).await;
    assert!(began.elapsed() < Duration::from_secs(20), "one time-out, not one for each: {:?}", began.elapsed());
    let states = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let failed = states.filter(|job| job["state"] == "failed").count();
    assert_eq!((code, failed), (Some(1), 2_000), "{said}");

    let (code, said) = ended(start(&["dead", "redrive", "--yes"])).await;
    assert!(code == Some(1) && said.contains(TAKES_NOTHING), "{code:?} {said}");
    let (code, said) = ended(start(&["dead", "list"])).await;
    assert!(code == Some(0) && said.contains("rejected"), "what reads goes on: {code:?} {said}");
    let (code, said) = ended(start(&["check"])).await;
    let line = said.lines().find(|line| line.starts_with("FAILED  broker: ")).unwrap_or_default();
    assert!(code == Some(1) && line.contains("confirms nothing (the broker takes nothing"), "{code:?} {said}");

    let body = String::from_utf8(job("volcengine", "http")).unwrap();
    let reply = http::send(admin, "POST", "/api/jobs", &body).await.unwrap();
    assert!(reply.status == 503 && reply.body.contains(TAKES_NOTHING), "{}: {}", reply.status, reply.body);

    let mut interrupted = start(&one);
    tokio::time::sleep(Duration::from_secs(2)).await;
    interrupted.signal(Signal::INT);
    assert_eq!(interrupted.ended(Duration::from_secs(2)).await.code(), Some(130), "{}", interrupted.log());

    node.end_alarm().await;
    worker.ready(admin).await;
    let (code, said) = ended(start(&one)).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = ended(start(&["check", "--config-only"])).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = ended(start(&["dead", "redrive", "--yes"])).await;
    assert_eq!(code, Some(0), "{said}");
}
