//! The API as a program meets it, held against its own description.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use roomsweep::app::admin::Exposure;
use roomsweep::model::result::Outcome;
use roomsweep::ports::ledger::Ledger;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::support::http::{self, Reply};
use crate::support::schema;
use crate::support::stage::{Books, OPEN, Stage, ago, batch, provider};

/// The description that a server gives of itself, and which of its answers were seen.
struct Description {
    document: Value,
    seen: BTreeSet<(String, String)>,
}

impl Description {
    async fn of(server: SocketAddr) -> Self {
        let document = http::get(server, "/api/openapi.json").await.expect("an answer").json();
        assert_eq!(document["openapi"], "3.1.0");
        Self { document, seen: BTreeSet::new() }
    }

    /// Asks, and holds status, kind and body against what is described for `path`.
    async fn ask(&mut self, server: SocketAddr, method: &str, path: &str, filled: &str, body: &str) -> Reply {
        let reply = http::send(server, method, filled, body).await.expect("an answer");
        let (status, operation) = (reply.status.to_string(), &self.document["paths"][path][method.to_lowercase()]);
        let mut answer = &operation["responses"][&status];
        if let Some(reference) = answer["$ref"].as_str() {
            answer = self.document.pointer(&reference[1..]).expect("it leads somewhere");
        }
        assert!(answer.is_object(), "{method} {path}: {status} is not described: {reply:?}");
        if let Some(schema) = answer["content"]["application/json"].get("schema") {
            let faults = schema::faults(&self.document, schema, &reply.json());
            assert_eq!(faults, [""; 0], "{method} {filled}: {}", reply.body);
        } else if reply.status >= 400 {
            assert_eq!(reply.body.lines().count(), 1, "a plain sentence: {reply:?}");
        }
        self.seen.insert((method.to_owned(), path.to_owned()));
        reply
    }

    fn all(&self) -> BTreeSet<(String, String)> {
        let paths = self.document["paths"].as_object().expect("paths").iter();
        paths
            .flat_map(|(path, operations)| {
                let methods = operations.as_object().expect("operations").keys();
                methods.map(|method| (method.to_uppercase(), path.clone()))
            })
            .collect()
    }
}

const NOTE: &str = r#"{"by":"mira","why":"wrong list"}"#;

#[tokio::test]
async fn every_answer_is_as_it_is_described() {
    let stage = Stage::set(Books::Kept, OPEN).await;
    stage.incident().await;
    let server = stage.address;
    let mut api = Description::of(server).await;
    for (path, filled, status) in [
        ("/", "/", 200),
        ("/page/{file}", "/page/main.js", 200),
        ("/page/{file}", "/page/nothing.js", 404),
        ("/metrics", "/metrics", 200),
        ("/healthz", "/healthz", 200),
        ("/readyz", "/readyz", 200),
        ("/api/openapi.json", "/api/openapi.json", 200),
        ("/api/status", "/api/status", 200),
        ("/api/providers", "/api/providers", 200),
        ("/api/batches", "/api/batches", 200),
        ("/api/batches", "/api/batches?limit=1", 200),
        ("/api/batches", "/api/batches?limit=0", 400),
        ("/api/batches", "/api/batches?most=1", 400),
        ("/api/batches/{id}", "/api/batches/incident-2026", 200),
        ("/api/batches/{id}", "/api/batches/unknown-size", 200),
        ("/api/batches/{id}", "/api/batches/nobody", 404),
        ("/api/batches/{id}", &format!("/api/batches/{}", "x".repeat(129)), 400),
        ("/api/results", "/api/results", 200),
        ("/api/results", "/api/results?outcome=rejected,exhausted&limit=3", 200),
        ("/api/results", "/api/results?rooom=1", 400),
    ] {
        let reply = api.ask(server, "GET", path, filled, "").await;
        assert_eq!(reply.status, status, "{filled}: {reply:?}");
    }
    for (path, filled, body, status) in [
        ("/api/batches/{id}/cancel", "/api/batches/incident-2026/cancel", NOTE, 200),
        ("/api/batches/{id}/cancel", "/api/batches/nobody/cancel", "", 200),
        ("/api/batches/{id}/cancel", "/api/batches/b/cancel", "[]", 400),
        ("/api/providers/{name}/pause", "/api/providers/huawei/pause", NOTE, 200),
        ("/api/providers/{name}/pause", "/api/providers/agora/pause", NOTE, 404),
        ("/api/providers/{name}/pause", "/api/providers/huawei/pause", r#"{"who":"me"}"#, 400),
        ("/api/providers/{name}/resume", "/api/providers/huawei/resume", "", 200),
        ("/api/providers/{name}/resume", "/api/providers/x%20y/resume", "", 404),
        ("/api/jobs", "/api/jobs", "[{}]", 400),
        ("/api/jobs", "/api/jobs", r#"{"provider":"huawei","app_id":"a","room_id":"r"}"#, 503),
    ] {
        let reply = api.ask(server, "POST", path, filled, body).await;
        assert_eq!(reply.status, status, "{filled}: {reply:?}");
    }
    let mut events = Events::of(server).await;
    let (document, snapshot) = (&api.document, events.snapshot().await);
    let described = &document["paths"]["/api/events"]["get"]["responses"]["200"]["content"]["text/event-stream"];
    assert_eq!(schema::faults(document, &described["schema"], &snapshot), [""; 0], "{snapshot}");
    api.seen.insert(("GET".to_owned(), "/api/events".to_owned()));
    assert_eq!(api.seen, api.all(), "every documented path was asked");
}

#[tokio::test]
async fn without_a_ledger_the_answer_says_what_to_configure() {
    let stage = Stage::set(Books::None, OPEN).await;
    let mut api = Description::of(stage.address).await;
    for (method, path, filled) in [
        ("GET", "/api/batches", "/api/batches"),
        ("GET", "/api/batches/{id}", "/api/batches/b"),
        ("POST", "/api/batches/{id}/cancel", "/api/batches/b/cancel"),
        ("POST", "/api/providers/{name}/pause", "/api/providers/huawei/pause"),
        ("POST", "/api/providers/{name}/resume", "/api/providers/huawei/resume"),
        ("GET", "/api/results", "/api/results?room=r"),
    ] {
        let reply = api.ask(stage.address, method, path, filled, "").await;
        assert_eq!(reply.status, 501, "{path}");
        assert!(reply.body.contains("[ledger]") && reply.body.contains("url"), "{reply:?}");
    }
    let status = api.ask(stage.address, "GET", "/api/status", "/api/status", "").await.json();
    let providers = api.ask(stage.address, "GET", "/api/providers", "/api/providers", "").await.json();
    assert_eq!((&status["ledger"], &providers["ledger"]), (&json!("none"), &json!("none")));
    assert_eq!(providers["providers"][1]["sender"], "host-1", "{providers}");
}

#[tokio::test]
async fn a_ledger_that_is_away_is_told_of_and_asked_for_again() {
    let stage = Stage::set(Books::Kept, OPEN).await;
    stage.incident().await;
    let mut events = Events::of(stage.address).await;
    let before = events.snapshot().await;
    stage.ledger.leave("connection refused by db.internal");
    let answer = http::raw(stage.address, "GET /api/batches HTTP/1.0\r\nHost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 503") && answer.to_lowercase().contains("\r\nretry-after: 5\r\n"), "{answer}");
    assert!(answer.contains("the ledger is away") && !answer.contains("db.internal"), "{answer}");
    let mut api = Description::of(stage.address).await;
    let status = api.ask(stage.address, "GET", "/api/status", "/api/status", "").await;
    assert_eq!((status.status, &status.json()["ledger"]), (200, &json!("away")));
    assert_eq!(api.ask(stage.address, "GET", "/api/providers", "/api/providers", "").await.json()["ledger"], "away");
    let away = events.snapshot().await;
    assert_eq!((&away["ledger"], &away["failures"]), (&json!("away"), &before["failures"]), "what was known stays");
    assert!(away["ledger_at"].is_string() && away["batches"].as_array().is_some_and(|all| !all.is_empty()), "{away}");
    stage.ledger.come_back();
    assert_eq!(events.snapshot().await["ledger"], "up");
}

#[tokio::test]
async fn all_results_come_once_page_by_page() {
    let stage = Stage::set(Books::Kept, OPEN).await;
    stage.settle("b", Outcome::Dismissed, 0..25, 10).await;
    stage.settle("other", Outcome::Dismissed, 0..5, 5).await;
    let (mut found, mut next, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = http::get(stage.address, &format!("/api/results?batch=b&limit=10{next}")).await.unwrap().json();
        found.extend(page["results"].as_array().unwrap().iter().map(|result| result["job_id"].clone()));
        pages += 1;
        match page["next"].as_str() {
            Some(token) => next = format!("&next={token}"),
            None => break,
        }
    }
    let expected: Vec<Value> = (0..25).rev().map(|number| json!(format!("job-b-{number}"))).collect();
    assert_eq!((found, pages), (expected, 3));
}

#[tokio::test]
async fn a_search_finds_by_each_filter() {
    let stage = Stage::set(Books::Kept, OPEN).await;
    stage.incident().await;
    let check = async |query: &str, expected: usize| {
        let reply = http::get(stage.address, &format!("/api/results?limit=500&{query}")).await.unwrap();
        assert_eq!(reply.json()["results"].as_array().map(Vec::len), Some(expected), "{query}: {}", reply.body);
    };
    check("room=class-525", 1).await;
    check("job=job-incident-2026-525", 1).await;
    check("request_id=req-incident-2026-525-1", 1).await;
    check("batch=incident-2026&outcome=rejected&outcome=exhausted", 11).await;
    check("batch=incident-2026&outcome=rejected,exhausted", 11).await;
    check("provider=huawei", 92).await;
    check("app=classroom&provider=huawei&room=class-1", 1).await;
    check(&format!("batch=incident-2026&since={}", ago(4)), 31).await;
    check(&format!("batch=incident-2026&until={}", ago(4)), 500).await;
}

#[tokio::test]
async fn who_cancels_and_pauses_first_stays_on_record() {
    let stage = Stage::set(Books::Kept, OPEN).await;
    stage.batch("a/b c%", Some(9), "huawei", 5).await;
    let path = "/api/batches/a%2Fb%20c%25";
    let send = async |path: &str, body: &str| {
        let reply = http::send(stage.address, "POST", path, body).await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    };
    let first = send(&format!("{path}/cancel"), NOTE).await;
    assert_eq!((&first["heard"], &first["batch"]["state"]), (&json!(true), &json!("cancelling")));
    let again = send(&format!("{path}/cancel"), r#"{"by":"jo"}"#).await;
    assert_eq!(
        (&again["batch"]["cancelled"]["by"], &again["batch"]["cancelled"]["why"]),
        (&json!("mira"), &json!("wrong list"))
    );
    assert_eq!(http::get(stage.address, path).await.unwrap().json(), again["batch"]);
    assert_eq!(send("/api/batches/new/cancel", "").await["heard"], false);
    assert!(stage.ledger.controls().await.unwrap().cancelled.contains(&batch("new")));

    let paused = send("/api/providers/huawei/pause", NOTE).await;
    assert_eq!((&paused["paused"]["by"], &paused["was"]), (&json!("mira"), &Value::Null));
    let again = send("/api/providers/huawei/pause", "").await;
    assert_eq!((&again["paused"], &again["was"]), (&paused["paused"], &paused["paused"]));
    assert!(stage.ledger.controls().await.unwrap().paused.contains_key(&provider("huawei")));
    let resumed = send("/api/providers/huawei/resume", "").await;
    assert_eq!((&resumed["paused"], &resumed["was"]), (&Value::Null, &paused["paused"]));
    assert!(stage.ledger.controls().await.unwrap().paused.is_empty());
}

#[tokio::test]
async fn a_stranger_changes_nothing_and_a_foreign_page_neither() {
    let stage = Stage::set(Books::Kept, (Some("t0ken"), Exposure::Network)).await;
    stage.batch("b", Some(9), "huawei", 5).await;
    let post = async |path: &str, headers: &str| {
        let head = format!("POST {path} HTTP/1.0\r\nHost: {}\r\n{headers}Content-Length: 0\r\n\r\n", stage.address);
        let answer = http::raw(stage.address, &head).await;
        answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    for path in ["/api/batches/b/cancel", "/api/providers/huawei/pause", "/api/providers/huawei/resume"] {
        assert_eq!(post(path, "").await, 401, "{path}");
        assert_eq!(post(path, "Authorization: Bearer wrong\r\n").await, 401, "{path}");
        let foreign = "Authorization: Bearer t0ken\r\nOrigin: http://evil.example\r\n";
        assert_eq!(post(path, foreign).await, 403, "{path}");
    }
    let controls = stage.ledger.controls().await.unwrap();
    assert!(controls.cancelled.is_empty() && controls.paused.is_empty());
    assert_eq!(post("/api/batches/b/cancel", "Authorization: Bearer t0ken\r\n").await, 200);
}

/// The stream of events, read as a program reads it.
struct Events {
    stream: TcpStream,
    text: String,
}

impl Events {
    async fn of(server: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(server).await.expect("a server");
        // Without chunks, and to the end.
        stream.write_all(b"GET /api/events HTTP/1.0\r\nHost: localhost\r\n\r\n").await.expect("sent");
        Self { stream, text: String::new() }
    }

    async fn read(&mut self) -> usize {
        let mut some = vec![0; 65_536];
        let read = timeout(Duration::from_secs(10), self.stream.read(&mut some)).await.expect("a sign of life");
        let read = read.expect("no reset");
        self.text.push_str(std::str::from_utf8(&some[..read]).expect("whole characters"));
        read
    }

    /// The next whole snapshot.
    async fn snapshot(&mut self) -> Value {
        loop {
            if let Some((before, rest)) = self.text.split_once("event: snapshot\ndata: ")
                && let Some((data, rest)) = rest.split_once("\n\n")
            {
                assert!(!before.contains(" 503 "), "{before}");
                let snapshot = serde_json::from_str(data).expect("JSON");
                self.text = rest.to_owned();
                return snapshot;
            }
            assert_ne!(self.read().await, 0, "ended: {}", self.text);
        }
    }
}

#[tokio::test]
async fn what_changes_is_told_within_seconds_and_what_does_not_is_no_news() {
    let stage = Stage::set(Books::Kept, OPEN).await;
    let mut events = Events::of(stage.address).await;
    assert_eq!(events.snapshot().await["batches"], json!([]));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        events.read().await;
    }
    // A span of the rates that is over is news.
    assert!(events.text.matches("event: snapshot").count() <= 2, "{}", events.text);
    assert!(events.text.contains("event: beat"), "{}", events.text);
    stage.batch("b", Some(9), "huawei", 5).await;
    let begun = Instant::now();
    while events.snapshot().await["batches"][0]["id"] != "b" {}
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn listeners_are_bounded_and_leave_room_for_others() {
    let stage = Stage::set(Books::Kept, OPEN).await;
    let mut listening = Vec::new();
    for _ in 0..16 {
        let mut events = Events::of(stage.address).await;
        events.snapshot().await;
        listening.push(events);
    }
    let refused = http::get(stage.address, "/api/events").await.unwrap();
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(http::get(stage.address, "/api/status").await.unwrap().status, 200);
    listening.pop();
    crate::support::eventually("a free place", Duration::from_secs(5), || async {
        let mut events = Events::of(stage.address).await;
        events.read().await;
        (!events.text.contains(" 503 ")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_listens_does_not_delay_the_end() {
    let mut stage = Stage::set(Books::Kept, OPEN).await;
    let mut events = Events::of(stage.address).await;
    events.snapshot().await;
    let begun = Instant::now();
    stage.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    while events.read().await > 0 {}
}
