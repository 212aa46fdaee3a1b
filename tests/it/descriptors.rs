//! A machine that gives few file descriptors.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::flow::evidence::{self, assert_one_each};
use crate::flow::stage::{self, Worker, bulk};
use crate::support::process::Process;
use crate::support::rabbit::URL;
use crate::support::sandbox::Sandbox;
use crate::support::{eventually, free_address, http};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_shortage_of_descriptors_costs_no_attempt_suspends_nobody_and_leaves_health_answered() {
    let namespace = stage::namespace().await;
    // So slow that there would be far more requests at a time than descriptors.
    let sandbox = Sandbox::start(&["--latency", "6s", "--qps-volcengine", "unlimited"]).await;
    let admin = free_address();
    let tables = stage::volcengine(&sandbox.endpoint(), "");
    let configuration = Worker::configuration(URL, &namespace, admin, &tables);
    let mut worker = Worker { process: Process::start_limited("", 80, &["worker"], &configuration), admin };
    worker.process.ready(admin).await;
    let jobs = bulk("volcengine", "few", 200);
    stage::publish(&namespace, &jobs).await;

    eventually("all are dismissed", 2 * SOON, || async {
        for path in ["/healthz", "/readyz"] {
            assert_eq!(http::get(admin, path).await.expect("an answer").status, 200, "{path}");
        }
        let metrics = worker.metrics().await;
        assert_eq!(metrics.count("roomsweep_provider_suspended", &[]), 0);
        (metrics.count("roomsweep_jobs_settled_total", &["outcome=\"dismissed\""]) == 200).then_some(())
    })
    .await;
    let results = evidence::results_of(&namespace, &jobs, SOON).await;
    assert_one_each(&results, &jobs);
    assert!(results.values().flatten().all(|result| result.attempts == 1 && result.outcome == "dismissed"));
    let said = worker.process.log().matches("nothing left to open a connection").count();
    assert!((1..10).contains(&said), "said, and not again and again: {said}");
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_uses_all_the_descriptors_that_it_may_have() {
    let sandbox = free_address();
    let listen = sandbox.to_string();
    let mut process = Process::start_limited("S", 64, &["sandbox", "--listen", &listen], "");
    process.answers(sandbox, "/healthz").await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).expect("Linux");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    let numbers: Vec<&str> = line.split_whitespace().filter(|word| word.parse::<u64>().is_ok()).collect();
    assert!(numbers.len() == 2 && numbers[0] == numbers[1], "{line}");
}

#[tokio::test]
async fn too_few_descriptors_to_begin_with_are_told_in_words() {
    let sandbox = Sandbox::start(&[]).await;
    let tables = stage::volcengine(&sandbox.endpoint(), "");
    let configuration = format!("[queue]\nbackend = 'sqlite'\npath = 'queue.db'\n{tables}");
    for files in [4, 8, 16, 24] {
        let mut worker = Process::start_limited("", files, &["worker"], &configuration);
        assert_eq!(worker.ended(SOON).await.code(), Some(1), "{files}");
        let log = worker.log();
        assert!(log.contains("cannot start: too few files") && !log.contains("panicked"), "{files}: {log}");
    }
    let admin = free_address();
    let enough = format!("{configuration}\n[admin]\nlisten = '{admin}'\n");
    let mut worker = Process::start_limited("", 40, &["worker"], &enough);
    worker.ready(admin).await;
    let job = r#"{"provider":"volcengine","app_id":"a","room_id":"r","job_id":"r"}"#;
    let accepted = http::send(admin, "POST", "/api/jobs", job).await.expect("an answer");
    assert!((200..300).contains(&accepted.status), "{accepted:?}");
    eventually("it is sent", SOON, || async {
        let stats: Value = sandbox.stats().await;
        (stats["requests"].as_u64() == Some(1)).then_some(())
    })
    .await;
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended(SOON).await.code(), Some(0));
}
