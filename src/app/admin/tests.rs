use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::model::ids::ProviderName;
use crate::model::job::Lane;
use crate::model::suspension::SuspensionReason;
use crate::ports::meter::{BacklogState, QueueLink, Suspended};

/// A server on loopback that runs until it is told to stop.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) state: AdminState,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

pub(super) async fn start() -> Running {
    let meter = Meter::new("1.2.3");
    let state = AdminState {
        meter,
        readiness: Readiness::starting(),
        clock: Clock::starting_at(jiff::Timestamp::UNIX_EPOCH),
        version: "1.2.3",
        worker: "host-1".to_owned(),
        intake: Intake {
            door: Door::default(),
            providers: [ProviderName::parse("volcengine").unwrap()].into(),
            token: Arc::default(),
            exposure: Exposure::Loopback,
        },
        ledger: None,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(serve(listener, state.clone(), async {
        stopped.await.ok();
    }));
    Running { address, state, stop, task }
}

/// Other paths behind the same limits.
async fn start_with(paths: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server::run(listener, routes::limited(paths), std::future::pending()));
    address
}

pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(each, _)| each.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Sends raw bytes and reads until the server closes.
async fn send(address: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    // A server that refuses a request unread may reset the connection behind its answer.
    stream.read_to_end(&mut reply).await.ok();
    let reply = String::from_utf8(reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").expect("a whole reply");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

pub(super) async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    send(address, &format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n")).await
}

async fn fetch(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path, "").await
}

#[tokio::test]
async fn readiness_follows_the_supervisor_and_health_does_not() {
    let server = start().await;
    let check = async |status: u16, body: &str| {
        let answer = fetch(server.address, "/readyz").await;
        assert_eq!((answer.status, answer.body.as_str()), (status, body));
        let health = fetch(server.address, "/healthz").await;
        assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
    };
    check(503, "not ready: starting\n").await;
    server.state.readiness.connecting("connection lost\r\nby the broker");
    check(503, "not ready: connection lost by the broker\n").await;
    server.state.readiness.ready();
    check(200, "ready\n").await;
    server.state.readiness.draining();
    check(503, "draining\n").await;
}

#[tokio::test]
async fn metrics_come_in_the_format_that_was_asked_for() {
    let server = start().await;
    let plain = fetch(server.address, "/metrics").await;
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(plain.body.contains("roomsweep_build_info{version=\"1.2.3\"} 1\n"));

    let accept = "Accept: text/plain;q=0.1\r\nAccept: application/openmetrics-text;version=1.0.0;q=0.5\r\n";
    let open = ask(server.address, "GET", "/metrics", accept).await;
    assert_eq!(open.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(open.body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn the_status_names_each_provider_and_what_holds_it_up() {
    let server = start().await;
    let huawei = ProviderName::parse("huawei").unwrap();
    server.state.meter.register(&huawei, 20);
    let since = "2024-01-15T08:30:45Z".parse().unwrap();
    let next_probe = Some("2024-01-15T08:31:15Z".parse().unwrap());
    let suspended = Suspended { reason: SuspensionReason::Credentials, since, next_probe };
    server.state.meter.suspended(&huawei, Some(suspended));
    server.state.meter.backlog_jobs(&huawei, Lane::Bulk, BacklogState::Ready, 7);
    server.state.meter.queue_connected(QueueLink::Up);
    server.state.readiness.ready();

    let answer = fetch(server.address, "/api/status").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let status: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let expected = serde_json::json!({
        "version": "1.2.3", "worker": "host-1", "uptime_seconds": 0,
        "connected": true, "ready": true, "draining": false, "not_ready": null, "ledger": "none",
        "providers": [{
            "name": "huawei", "health": "suspended", "suspended": "credentials",
            "since": "2024-01-15T08:30:45Z", "next_probe": "2024-01-15T08:31:15Z",
            "quota_qps": 20.0, "effective_qps": 20.0, "in_flight": 0, "waiting": { "urgent": 0, "bulk": 7 },
        }],
    });
    assert_eq!(status, expected);
}

#[tokio::test]
async fn every_answer_is_guarded() {
    let server = start().await;
    let check = async |method: &str, path: &str, status: u16| {
        let answer = ask(server.address, method, path, "").await;
        assert_eq!(answer.status, status, "{method} {path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.is_some_and(|policy| policy.starts_with("default-src 'none'")), "{method} {path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        answer
    };
    let index = check("GET", "/", 200).await;
    assert_eq!(index.header("content-type"), Some("text/html; charset=utf-8"));
    check("HEAD", "/", 200).await;
    check("GET", "/metrics", 200).await;
    check("GET", "/api/status", 200).await;
    check("GET", "/readyz", 503).await;
    let lost = check("GET", "/nowhere", 404).await;
    assert!(lost.body.starts_with("there is nothing here"), "{}", lost.body);
    let wrong = check("POST", "/metrics", 405).await;
    assert_eq!(wrong.header("allow"), Some("GET,HEAD"));
    assert!(wrong.body.starts_with("this path answers other methods"), "{}", wrong.body);
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let server = start().await;
    let body = ask(server.address, "GET", "/healthz", &format!("Content-Length: {}\r\n", routes::MAX_BODY + 1)).await;
    assert_eq!(body.status, 413);
    let head = ask(server.address, "GET", "/healthz", &format!("X: {}\r\n", "x".repeat(server::MAX_HEAD))).await;
    assert_eq!(head.status, 431);
    let many = ask(server.address, "GET", "/healthz", &"X: y\r\n".repeat(70)).await;
    assert_eq!(many.status, 431);
    assert_eq!(fetch(server.address, "/healthz").await.status, 200);
}

#[tokio::test]
async fn a_body_of_unannounced_size_is_bounded_too() {
    let address = start_with(Router::new().route("/", post(async |body: Bytes| body.len().to_string()))).await;
    let check = async |size: usize, expected: u16| {
        let chunk = format!("{size:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(size));
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(send(address, &format!("{head}{chunk}")).await.status, expected, "{size}");
    };
    check(routes::MAX_BODY, 200).await;
    check(routes::MAX_BODY + 1, 413).await;
}

#[tokio::test]
async fn a_stop_ends_the_server_although_a_client_stays() {
    let server = start().await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    server.stop.send(()).unwrap();
    let stopped = tokio::time::timeout(server::HEAD_TIMEOUT / 2, server.task).await;
    stopped.expect("it waits for no idle client").unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_request_is_cut_off() {
    let server = start().await;
    let clock = Clock::system();
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost:").await.unwrap();
    let mut reply = Vec::new();
    slow.read_to_end(&mut reply).await.unwrap();
    assert!(clock.elapsed() >= server::HEAD_TIMEOUT && clock.elapsed() < 2 * server::HEAD_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_busy_connection_is_closed_when_it_is_old() {
    let server = start().await;
    let clock = Clock::system();
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    let mut reply = [0; 1024];
    loop {
        busy.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        if busy.read(&mut reply).await.unwrap() == 0 {
            break;
        }
        tokio::time::sleep(server::HEAD_TIMEOUT / 2).await;
    }
    let age = clock.elapsed();
    assert!(age >= server::LIFETIME && age < server::LIFETIME + server::HEAD_TIMEOUT, "{age:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_listens_is_told_the_end_when_the_connection_is_old() {
    let server = start().await;
    let clock = Clock::system();
    let mut listening = TcpStream::connect(server.address).await.unwrap();
    listening.write_all(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut reply = String::new();
    listening.read_to_string(&mut reply).await.unwrap();
    let age = clock.elapsed();
    assert!(age >= server::LIFETIME && age < server::LIFETIME + events::BEAT, "{age:?}");
    assert!(reply.contains("content-type: text/event-stream") && reply.ends_with("\r\n0\r\n\r\n"), "a whole answer");
    let beats = server::LIFETIME.as_secs() / events::BEAT.as_secs();
    let told = reply.matches("event: beat").count() as u64;
    assert!(told > beats - 5 && told <= beats, "{told} of {beats}");
    assert_eq!(reply.matches("event: snapshot").count(), 1, "nothing changed");
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_later_is_told_how_all_stands_now_though_nothing_changed_since() {
    let server = start().await;
    let mut listening = Vec::new();
    let mut told = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut text = String::new();
        let at = loop {
            if let Some(at) = text.split_once("event: snapshot\ndata: {\"at\":\"").and_then(|(_, rest)| rest.get(..19))
            {
                break format!("{at}Z").parse::<jiff::Timestamp>().unwrap();
            }
            let mut some = [0; 65_536];
            let read = stream.read(&mut some).await.unwrap();
            text.push_str(std::str::from_utf8(&some[..read]).unwrap());
        };
        told.push(at);
        listening.push(stream);
        tokio::time::sleep(Duration::from_secs(100)).await;
    }
    let apart = told[1].duration_since(told[0]).as_secs();
    assert!((100..105).contains(&apart), "{apart} s");
}

#[tokio::test(start_paused = true)]
async fn idle_clients_hold_up_others_for_a_while_only() {
    let server = start().await;
    let clock = Clock::system();
    let mut idle = Vec::new();
    for _ in 0..server::MAX_CONNECTIONS {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    assert_eq!(fetch(server.address, "/healthz").await.status, 200);
    assert!(clock.elapsed() >= server::HEAD_TIMEOUT, "more than {} at a time", server::MAX_CONNECTIONS);
    assert!(clock.elapsed() < 2 * server::HEAD_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_is_given_up() {
    let slow = get(async || tokio::time::sleep(Duration::from_secs(3600)).await);
    let address = start_with(Router::new().route("/", slow)).await;
    let clock = Clock::system();
    assert_eq!(fetch(address, "/").await.status, 503);
    assert!(clock.elapsed() >= routes::REQUEST_TIMEOUT && clock.elapsed() < 2 * routes::REQUEST_TIMEOUT);
}
