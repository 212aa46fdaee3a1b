//! `worker`, `enqueue` and `check` on a file.

use std::time::Duration;

use rustix::process::Signal;

use super::{Desk, SOON};
use crate::support::process::Process;
use crate::support::sandbox::Sandbox;
use crate::support::{eventually, free_address};

#[tokio::test]
async fn one_sender_works_on_a_file_and_enqueue_opens_it_beside() {
    let admin = free_address();
    let desk = Desk::new(&format!("[admin]\nlisten = '{admin}'\n")).await;
    let configuration = desk.read("roomsweep.toml");
    let path = desk.path("roomsweep.db");
    let shared = format!("[queue]\npath = '{}'\n{configuration}", path.display());
    let mut worker = Process::start(&["worker"], &shared, &[]);
    worker.ready(admin).await;

    desk.rooms(["room-a", "room-b"].map(str::to_owned));
    let sweep = desk.sweep(&[]).await;
    assert_eq!(sweep.code, Some(1), "{}", sweep.err);
    assert!(sweep.err.contains("a worker or a sweep is at work on this file"), "{}", sweep.err);
    let elsewhere = configuration.replace(&admin.to_string(), &free_address().to_string());
    desk.write("roomsweep.toml", &elsewhere);
    let second = desk.run(&["worker"]).await;
    assert_eq!(second.code, Some(1), "{}", second.err);
    assert!(second.err.contains("a worker or a sweep is at work on this file"), "{}", second.err);
    assert_eq!(desk.request_count().await, 0);

    let enqueued = desk.run(&["enqueue", "rooms.txt", "--provider", "volcengine", "--app", "app"]).await;
    assert_eq!((enqueued.code, enqueued.out.as_str()), (Some(0), "2 confirmed\n"), "{}", enqueued.err);
    eventually("both are settled", SOON, || async { (desk.settled().await.len() == 2).then_some(()) }).await;
    let check = desk.run(&["check"]).await;
    assert!(check.out.contains("ok      queue file") && check.out.contains("at work on it"), "{}", check.out);
    assert_eq!(check.code, Some(0), "{}", check.out);

    worker.signal(Signal::TERM);
    assert!(worker.ended(Duration::from_secs(20)).await.success(), "{}", worker.log());
    let check = desk.run(&["check"]).await;
    assert!(check.out.contains("ok      queue file") && check.out.contains("can be worked on"), "{}", check.out);
    let sweep = desk.sweep(&[]).await;
    assert_eq!(sweep.code, Some(0), "the file is free again: {}", sweep.err);
}

#[tokio::test]
async fn jobs_that_were_enqueued_before_are_sent_by_a_worker_without_any_configuration_file() {
    let sandbox = Sandbox::start(&[]).await;
    let (endpoint, admin) = (sandbox.endpoint(), free_address().to_string());
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("other.db").display().to_string();
    let environment = [
        ("VOLC_ACCESSKEY", "sandbox-ak"),
        ("VOLC_SECRETKEY", "sandbox-sk"),
        ("ROOMSWEEP__PROVIDERS__VOLCENGINE__ENDPOINT", endpoint.as_str()),
        ("ROOMSWEEP__QUEUE__PATH", file.as_str()),
        ("ROOMSWEEP__ADMIN__LISTEN", admin.as_str()),
    ];
    let enqueue = ["enqueue", "--provider", "volcengine", "--app", "app", "--room", "a", "--room", "fail500x1-b"];
    let mut enqueued = Process::start(&enqueue, "", &environment);
    assert!(enqueued.ended(SOON).await.success(), "{}", enqueued.log());
    let mut worker = Process::start(&["worker"], "", &environment);
    worker.ready(admin.parse().expect("an address")).await;
    eventually("three requests", SOON, || async { (sandbox.stats().await["requests"] == 3).then_some(()) }).await;
    worker.signal(Signal::TERM);
    assert!(worker.ended(Duration::from_secs(40)).await.success(), "{}", worker.log());
    assert!(worker.log().contains("connected to the queue file"), "{}", worker.log());
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_the_operators_business() {
    let admin = free_address();
    let desk = Desk::new(&format!("[admin]\nlisten = '{admin}'\n")).await;
    desk.write("roomsweep.db", "this is a text, and no queue: it is long enough to be looked at as if it were one");
    desk.rooms(["room-a".to_owned()]);
    for arguments in [
        &["worker"][..],
        &["enqueue", "rooms.txt", "--provider", "volcengine", "--app", "app"],
        &["sweep", "rooms.txt", "--provider", "volcengine", "--app", "app"],
    ] {
        let said = desk.run(arguments).await;
        assert_eq!(said.code, Some(2), "{arguments:?}: {}", said.err);
        assert!(said.err.contains("is not a queue of roomsweep"), "{arguments:?}: {}", said.err);
    }
    let check = desk.run(&["check"]).await;
    assert_eq!(check.code, Some(1));
    assert!(check.out.contains("FAILED  queue file: ") && check.out.contains("is not a queue"), "{}", check.out);
}
