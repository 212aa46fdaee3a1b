//! Whoever reads the log stops reading: the work, the probes and the end go on.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::process::Signal;

use crate::flow::evidence::{self, assert_one_each};
use crate::flow::stage::{self, Worker, bulk};
use crate::support::process::Process;
use crate::support::rabbit::{Namespace, URL};
use crate::support::sandbox::Sandbox;
use crate::support::{eventually, free_address, http};

const SOON: Duration = Duration::from_secs(30);

async fn unread(namespace: &Namespace, arguments: &[&str], rust_log: &str, tables: &str) -> (Worker, UnixStream) {
    let admin = free_address();
    let configuration = Worker::configuration(URL, namespace, admin, tables);
    let (process, reader) = Process::start_unread(arguments, &configuration, &[("RUST_LOG", rust_log)]);
    let mut worker = Worker { process, admin };
    worker.process.ready(admin).await;
    (worker, reader)
}

#[tokio::test]
async fn a_log_reader_that_stops_stops_neither_the_work_nor_the_probes_nor_the_end() {
    let sandbox = Sandbox::start(&[]).await;
    for format in ["text", "json"] {
        let namespace = stage::namespace().await;
        let tables = stage::volcengine(&sandbox.endpoint(), "");
        let (worker, _reader) = unread(&namespace, &["--log-format", format, "worker"], "trace", &tables).await;
        let jobs = bulk("volcengine", format, 100);
        stage::publish(&namespace, &jobs).await;
        let results = evidence::results_of(&namespace, &jobs, SOON).await;
        assert_one_each(&results, &jobs);
        assert_eq!(http::get(worker.admin, "/healthz").await.expect("an answer").status, 200);
        assert_eq!(worker.metrics().await.count("roomsweep_log_lines_dropped_total", &[]), 0, "there is still room");
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_second_signal_ends_a_worker_at_once_though_nobody_reads_its_log() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&["--latency", "20s"]).await;
    let tables = stage::volcengine(&sandbox.endpoint(), "timeout = '30s'");
    let (mut worker, _reader) = unread(&namespace, &["worker"], "info", &tables).await;
    stage::publish(&namespace, &bulk("volcengine", "slow", 1)).await;
    eventually("a request is on the wire", SOON, || async {
        (sandbox.stats().await["clouds"]["volcengine"]["open"].as_u64() == Some(1)).then_some(())
    })
    .await;
    worker.process.signal(Signal::TERM);
    eventually("it drains", SOON, || async {
        let reply = http::get(worker.admin, "/readyz").await.expect("an answer");
        (reply.body.contains("draining")).then_some(())
    })
    .await;
    worker.process.signal(Signal::TERM);
    assert_eq!(worker.process.ended(Duration::from_secs(10)).await.code(), Some(143));
}

#[tokio::test]
async fn lines_that_found_no_room_are_counted_told_once_and_the_last_line_is_written() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&[]).await;
    let tables = stage::volcengine(&sandbox.endpoint(), "");
    let (mut worker, reader) = unread(&namespace, &["worker"], "info", &tables).await;
    // Each is refused with a line that repeats much of it.
    let invalid = format!(r#"{{"provider":"volcengine","{}":1}}"#, "x".repeat(8_000));
    let channel = namespace.channel().await;
    eventually("lines are dropped", 4 * SOON, || async {
        for _ in 0..500 {
            let sent = channel.basic_publish(
                "".into(),
                namespace.of("jobs").into(),
                Default::default(),
                invalid.as_bytes(),
                Default::default(),
            );
            sent.await.expect("a publish");
        }
        let dropped = worker.metrics().await.count("roomsweep_log_lines_dropped_total", &[]);
        (dropped > 0).then_some(())
    })
    .await;
    let (read, lines) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        BufReader::new(reader).lines().map_while(Result::ok).for_each(|line| read.send(line).expect("a listener"));
    });
    let mut seen = Vec::new();
    eventually("it is told", SOON, || {
        seen.extend(lines.try_iter());
        std::future::ready(seen.iter().any(|line: &String| line.contains("were dropped")).then_some(()))
    })
    .await;
    let admin = worker.admin;
    assert_eq!(http::get(admin, "/healthz").await.expect("an answer").status, 200);
    let dropped = worker.metrics().await.count("roomsweep_log_lines_dropped_total", &[]);
    worker.process.signal(Signal::TERM);
    assert_eq!(worker.process.ended(SOON).await.code(), Some(0));
    reading.join().expect("a reader");
    seen.extend(lines.try_iter());
    let told: Vec<&String> = seen.iter().filter(|line| line.contains("log lines were dropped")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(&format!(" {dropped} log lines were dropped: the reader of stderr stopped")), "{told:?}");
    assert!(seen.last().is_some_and(|line| line.contains("stopped")), "{:?}", seen.last());
}
