//! `POST /api/jobs`.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Desk, SOON};
use crate::support::process::Process;
use crate::support::{eventually, free_address, http};

async fn worker(admin: &str, more: &str) -> (Desk, Process) {
    let desk = Desk::new(&format!("[admin]\nlisten = '{admin}'\n{more}")).await;
    let path = desk.path("roomsweep.db");
    let configuration = format!("[queue]\npath = '{}'\n{}", path.display(), desk.read("roomsweep.toml"));
    let mut worker = Process::start(&["worker"], &configuration, &[]);
    let port = admin.rsplit(':').next().expect("a port");
    worker.ready(format!("127.0.0.1:{port}").parse().expect("an address")).await;
    (desk, worker)
}

/// Status and body; `head` is every header but the length.
async fn post(server: SocketAddr, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server).await.expect("a worker");
    let request = format!("POST /api/jobs HTTP/1.0\r\n{head}Content-Length: {}\r\n\r\n{body}", body.len());
    // One that is refused unread may close before all is sent.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply).await;
    let reply = String::from_utf8(reply).expect("UTF-8");
    let (head, body) = reply.split_once("\r\n\r\n").expect("a reply");
    (head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), body.to_owned())
}

fn job(room: &str) -> Value {
    json!({ "provider": "volcengine", "app_id": "app", "room_id": room })
}

#[tokio::test]
async fn jobs_are_taken_over_http_all_or_none() {
    let admin = free_address();
    let (desk, worker) = worker(&admin.to_string(), "").await;
    let send = async |body: &Value| http::send(admin, "POST", "/api/jobs", &body.to_string()).await.expect("a reply");

    let mut named = job("a");
    named["job_id"] = "mine-1".into();
    let one = send(&named).await;
    assert_eq!((one.status, one.json()), (202, json!({ "job_ids": ["mine-1"] })));
    let two = send(&json!([job("b"), job("gone-c")])).await;
    let ids = two.json()["job_ids"].as_array().expect("IDs").clone();
    assert_eq!((two.status, ids.len()), (202, 2), "{two:?}");
    assert_ne!(ids[0], ids[1]);
    eventually("all are settled", SOON, || async { (desk.settled().await.len() == 3).then_some(()) }).await;

    let mut slip = job("d");
    slip["lane"] = "fast".into();
    let stranger = json!({ "provider": "nobody", "app_id": "app", "room_id": "d" });
    let refused = send(&json!([job("d"), slip, job("e"), stranger, 7])).await;
    assert_eq!(refused.status, 400);
    let faults = refused.json();
    let faults: Vec<(u64, &str)> = faults
        .as_array()
        .expect("an array")
        .iter()
        .map(|fault| (fault["index"].as_u64().expect("an index"), fault["message"].as_str().expect("a text")))
        .collect();
    assert_eq!(faults.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 3, 4], "{faults:?}");
    assert!(faults[0].1.starts_with("lane: must be") && faults[1].1.starts_with("provider: no provider"), "{faults:?}");
    let twice = r#"{"provider":"volcengine","app_id":"app","room_id":"d","room_id":"e"}"#;
    for body in [twice, "nonsense", "[nonsense", ""] {
        let refused = http::send(admin, "POST", "/api/jobs", body).await.expect("a reply");
        assert_eq!((refused.status, refused.json()[0]["index"].as_u64()), (400, Some(0)), "{body}: {refused:?}");
    }
    let large = format!("[{}]", " ".repeat(8 * 1024 * 1024));
    let (status, _) = post(admin, "Host: localhost\r\nContent-Type: application/json\r\n", &large).await;
    assert_eq!(status, 413);
    assert_eq!(http::get(admin, "/api/jobs").await.expect("a reply").status, 405);
    assert_eq!(desk.requests().await.len(), 3, "nothing of what was refused: {}", worker.log());

    let many: Vec<Value> = (0..2_000).map(|number| job(&format!("many-{number}"))).collect();
    let taken = send(&json!(many)).await;
    assert_eq!((taken.status, taken.json()["job_ids"].as_array().map(Vec::len)), (202, Some(2_000)));
}

#[tokio::test]
async fn a_page_in_a_browser_cannot_put_jobs_in() {
    let admin = free_address();
    let (desk, _worker) = worker(&admin.to_string(), "token = 't0ken'\n").await;
    let body = job("a").to_string();
    let json = "Content-Type: application/json\r\n";
    let check = async |head: &str, expected: u16| {
        let (status, said) = post(admin, head, &body).await;
        assert_eq!(status, expected, "{head}: {said}");
    };
    check("Host: localhost\r\nContent-Type: text/plain\r\n", 415).await;
    check("Host: localhost\r\n", 415).await;
    check(&format!("Host: rebound.example.com\r\n{json}"), 403).await;
    check(&format!("Host: localhost\r\nAuthorization: Bearer guess\r\n{json}"), 401).await;
    assert_eq!(desk.request_count().await, 0);
    check(&format!("Host: admin.example.com\r\nAuthorization: Bearer t0ken\r\n{json}"), 202).await;
    check("Host: localhost:1\r\nContent-Type: application/json; charset=utf-8\r\n", 202).await;
}

#[tokio::test]
async fn beyond_loopback_the_token_is_needed() {
    for (token, without, with) in [("", 403, 403), ("token = 't0ken'\n", 401, 202)] {
        let port = free_address().port();
        let (_desk, _worker) = worker(&format!("0.0.0.0:{port}"), token).await;
        let server = SocketAddr::from(([127, 0, 0, 1], port));
        let head = "Host: localhost\r\nContent-Type: application/json\r\n";
        let body = job("a").to_string();
        assert_eq!(post(server, head, &body).await.0, without, "{token}");
        assert_eq!(post(server, &format!("{head}Authorization: Bearer t0ken\r\n"), &body).await.0, with, "{token}");
    }
}
