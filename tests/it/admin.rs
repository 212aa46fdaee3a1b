//! The admin port as somebody meets it who means no good: from the network, from a browser, byte by byte.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::support::process::Process;
use crate::support::{eventually, free_address, http};

const TOKEN: &str = "t0ken-of-the-admin";
const JOB: &str = r#"{"provider":"volcengine","app_id":"app","room_id":"room"}"#;

/// A worker on a file of its own, which nobody's cloud answers.
async fn worker(listen: &str) -> (Process, SocketAddr) {
    let port = free_address().port();
    let configuration = format!(
        "[admin]\nlisten = '{listen}:{port}'\ntoken = '{TOKEN}'\n[providers.volcengine]\nkind = 'volcengine'\n\
         endpoint = 'http://127.0.0.1:1'\naccess_key_id = 'ak'\nsecret_access_key = 'sk'\n"
    );
    let mut worker = Process::start(&["worker"], &configuration, &[]);
    let admin = SocketAddr::from(([127, 0, 0, 1], port));
    worker.ready(admin).await;
    (worker, admin)
}

/// One request, with these header lines beside the least there must be.
async fn ask(admin: SocketAddr, line: &str, headers: &[&str], body: &str) -> String {
    let host = if headers.iter().any(|line| line.starts_with("Host:")) { "" } else { "Host: localhost\r\n" };
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    let head = format!("{line} HTTP/1.1\r\n{host}Connection: close\r\n{headers}Content-Length: {length}\r\n\r\n");
    http::raw(admin, &(head + body)).await
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status: {answer:?}"))
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = answer.split_once("\r\n\r\n")?;
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.into_iter().find(|(each, _)| each.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

const JSON: &str = "Content-Type: application/json";

#[tokio::test]
async fn no_answer_may_be_framed_sniffed_kept_or_read_by_another_origin() {
    let (_worker, admin) = worker("127.0.0.1").await;
    let preflight = ["Origin: http://evil.example", "Access-Control-Request-Method: POST"];
    for (line, headers, expected) in [
        ("GET /", &[][..], 200),
        ("HEAD /", &[], 200),
        ("GET /metrics", &["Origin: http://evil.example"], 200),
        ("GET /api/status", &[], 200),
        ("GET /nowhere", &[], 404),
        ("GET /api/status", &["Host: evil.example"], 403),
        ("POST /api/jobs", &["Origin: http://evil.example", JSON], 403),
        ("POST /api/jobs", &["Authorization: Bearer x", JSON], 401),
        ("POST /api/jobs", &["Content-Type: text/plain"], 415),
        ("OPTIONS /api/jobs", &preflight, 405),
        ("OPTIONS /api/status", &preflight, 405),
        ("GET /api/jobs", &[], 405),
        ("POST /metrics", &[], 405),
        ("PUT /api/status", &[], 405),
        ("DELETE /readyz", &[], 405),
        ("PATCH /api/jobs", &[], 405),
        ("TRACE /", &[], 405),
        ("BREW /", &[], 405),
    ] {
        let answer = ask(admin, line, headers, "").await;
        assert_eq!(status(&answer), expected, "{line} {headers:?}: {answer}");
        let policy = header(&answer, "content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{answer}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(header(&answer, name), Some(value), "{line}: {answer}");
        }
        assert!(!answer.to_ascii_lowercase().contains("access-control-"), "{answer}");
        assert_eq!(header(&answer, "allow").is_some(), expected == 405, "{answer}");
    }
}

#[tokio::test]
async fn a_page_whose_name_was_bent_to_this_machine_sees_and_changes_nothing() {
    let (_worker, admin) = worker("127.0.0.1").await;
    let own = format!("Host: {admin}");
    for path in ["/", "/metrics", "/healthz", "/readyz", "/api/status", "/nowhere"] {
        let line = format!("GET {path}");
        let answer = ask(admin, &line, &["Host: rebound.example:9464"], "").await;
        assert_eq!(status(&answer), 403, "{answer}");
        assert!(!answer.contains("volcengine") && !answer.contains("roomsweep_"), "{answer}");
        assert_ne!(status(&ask(admin, &line, &[&own], "").await), 403);
        assert_ne!(status(&ask(admin, &line, &["Host: rebound.example", &bearer(TOKEN)], "").await), 403);
    }
    for stranger in
        ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: null", "Origin: http://127.0.0.1:1"]
    {
        let answer = ask(admin, "POST /api/jobs", &[stranger, JSON, &bearer(TOKEN)], JOB).await;
        assert_eq!(status(&answer), 403, "{stranger}: {answer}");
    }
    let page = format!("Origin: http://{admin}");
    let taken = ask(admin, "POST /api/jobs", &[&own, &page, "Sec-Fetch-Site: same-origin", JSON], JOB).await;
    assert_eq!(status(&taken), 202, "{taken}");
}

#[tokio::test]
async fn guessing_a_token_teaches_nothing_and_floods_no_log() {
    let (worker, admin) = worker("0.0.0.0").await;
    let without = ask(admin, "POST /api/jobs", &[JSON], JOB).await;
    assert_eq!(header(&without, "www-authenticate"), Some("Bearer"), "{without}");
    let (first, almost) = (bearer("x"), bearer(&TOKEN[..TOKEN.len() - 1]));
    let body = |answer: &str| answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    for guess in [&first, &almost, &"Authorization: Basic dDA6".to_owned()].into_iter().cycle().take(60) {
        let wrong = ask(admin, "POST /api/jobs", &[JSON, guess], JOB).await;
        assert_eq!((status(&wrong), header(&wrong, "www-authenticate")), (401, Some("Bearer")), "{wrong}");
        assert_eq!(body(&wrong), body(&without), "missing and wrong are told alike");
    }
    let log = worker.log();
    assert_eq!(log.matches("wrong admin.token").count(), 1, "{log}");
    assert_eq!(status(&ask(admin, "POST /api/jobs", &[JSON, &bearer(TOKEN)], JOB).await), 202);
}

#[tokio::test]
async fn a_request_of_two_lengths_is_the_last_of_its_connection() {
    let (_worker, admin) = worker("127.0.0.1").await;
    let smuggled = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let both = |first: &str, second: &str| {
        let head = format!("POST /api/jobs HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\n{first}\r\n{second}\r\n\r\n");
        format!("{head}{:x}\r\n{JOB}\r\n0\r\n\r\n{smuggled}", JOB.len())
    };
    for (first, second) in
        [("Content-Length: 5", "Transfer-Encoding: chunked"), ("Transfer-Encoding: chunked", "Content-Length: 5")]
    {
        let answer = http::raw(admin, &both(first, second)).await;
        assert_eq!((status(&answer), answer.matches("HTTP/1.1 ").count()), (202, 1), "{answer}");
        assert_eq!(header(&answer, "connection"), Some("close"));
    }
    for (first, second) in [
        ("Content-Length: 5", "Content-Length: 6"),
        ("Transfer-Encoding: gzip", "X: y"),
        ("Content-Length: -1", "X: y"),
        ("Content-Length: 5, 5", "X: y"),
    ] {
        let answer = http::raw(admin, &both(first, second)).await;
        assert_eq!((status(&answer), answer.matches("HTTP/1.1 ").count()), (400, 1), "{first}: {answer}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_unread() {
    let (_worker, admin) = worker("127.0.0.1").await;
    let announced = |line: &str, length: usize| {
        format!("{line} HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n")
    };
    assert_eq!(status(&http::raw(admin, &announced("POST /api/jobs", 8 * 1024 * 1024 + 1)).await), 413);
    assert_eq!(status(&http::raw(admin, &announced("GET /metrics", 64 * 1024 + 1)).await), 413);
    assert_eq!(status(&ask(admin, "GET /", &[&format!("X: {}", "x".repeat(17_000))], "").await), 431);
    assert_eq!(status(&ask(admin, "GET /", &["X: y"; 70], "").await), 431);
    assert_eq!(status(&ask(admin, &format!("GET /{}", "x".repeat(70_000)), &[], "").await), 431);
}

/// Writes a byte now and then until the server closes; all it answered, and when it closed.
async fn trickle(admin: SocketAddr, begin: &str, byte: &str) -> (String, Duration) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(admin).await.expect("a worker");
    stream.write_all(begin.as_bytes()).await.expect("sent");
    let (mut reading, mut writing) = stream.into_split();
    let write = async {
        while writing.write_all(byte.as_bytes()).await.is_ok() {
            sleep(Duration::from_millis(200)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    tokio::select! {
        _ = reading.read_to_end(&mut answer) => {}
        () = write => {}
    }
    (String::from_utf8_lossy(&answer).into_owned(), begun.elapsed())
}

#[tokio::test]
async fn whoever_trickles_is_cut_off_and_holds_up_nobody() {
    let (_worker, admin) = worker("127.0.0.1").await;
    let post = format!("POST /api/jobs HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nContent-Length: 1000\r\n\r\n");
    let others = async {
        for _ in 0..20 {
            assert_eq!(http::get(admin, "/healthz").await.expect("an answer").status, 200);
            sleep(Duration::from_millis(100)).await;
        }
    };
    let ((head, head_took), (body, body_took), ()) =
        tokio::join!(trickle(admin, "GET /healthz HTTP/1.1\r\nX: ", "x"), trickle(admin, &post, " "), others);
    assert!(!head.contains(" 200 ") && (15..40).contains(&head_took.as_secs()), "{head} after {head_took:?}");
    assert_eq!(status(&body), 408);
    assert!((10..35).contains(&body_took.as_secs()), "{body} after {body_took:?}");
}

#[tokio::test]
async fn many_connections_use_up_no_file_descriptors() {
    let (worker, admin) = worker("127.0.0.1").await;
    let open = || std::fs::read_dir(format!("/proc/{}/fd", worker.id())).expect("our own child").count();
    let before = open();
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(TcpStream::connect(admin).await.expect("the kernel's queue is longer"));
    }
    eventually("as many as it takes", Duration::from_secs(40), || async { (open() >= before + 60).then_some(()) })
        .await;
    sleep(Duration::from_millis(200)).await;
    assert!(open() <= before + 80, "{} of {before}", open());
    drop(idle);
    eventually("an answer", Duration::from_secs(60), || async { http::get(admin, "/healthz").await.ok() }).await;
}
