use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing::{Level, event, info, info_span};

use super::*;

/// Keeps what is written.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is logged while `speak` runs.
fn logged(format: LogFormat, rust_log: Option<&str>, speak: impl FnOnce()) -> String {
    let page = Page::default();
    let writer = page.clone();
    let (filter, _) = parse_filter(rust_log);
    let subscriber = subscriber(move || writer.clone(), format, Colour::None, filter);
    tracing::subscriber::with_default(subscriber, speak);
    let bytes = page.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn object(speak: impl FnOnce()) -> Value {
    let text = logged(LogFormat::Json, None, speak);
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

macro_rules! say {
    ($target:literal) => {
        event!(target: $target, Level::TRACE, concat!("<", $target, " TRACE>"));
        event!(target: $target, Level::DEBUG, concat!("<", $target, " DEBUG>"));
        event!(target: $target, Level::INFO, concat!("<", $target, " INFO>"));
        event!(target: $target, Level::WARN, concat!("<", $target, " WARN>"));
        event!(target: $target, Level::ERROR, concat!("<", $target, " ERROR>"));
    };
}

fn everyone_speaks() {
    say!("roomsweep");
    say!("roomsweep::pipeline::lane");
    say!("roomsweep_like");
    say!("lapin::channels");
    say!("hyper::proto::h1::io");
    say!("reqwest");
    say!("rustls::client");
    say!("amq_protocol::frame");
    say!("sqlx::query");
    say!("sqlx_postgres::options::parse");
}

fn said(text: &str, target: &str) -> Vec<&'static str> {
    let levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"];
    levels.into_iter().filter(|level| text.contains(&format!("<{target} {level}>"))).collect()
}

#[test]
fn no_filter_makes_a_dependency_talk() {
    for rust_log in ["trace", "hyper=trace,lapin=trace,reqwest=trace,sqlx=trace,amq_protocol=trace,rustls=trace,trace"]
    {
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format, Some(rust_log), everyone_speaks);
            assert_eq!(said(&text, "roomsweep"), ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"]);
            assert_eq!(said(&text, "roomsweep::pipeline::lane"), ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"]);
            assert!(said(&text, "lapin::channels").is_empty(), "{text}");
            for other in ["hyper::proto::h1::io", "reqwest", "rustls::client", "amq_protocol::frame", "sqlx::query"] {
                assert_eq!(said(&text, other), ["WARN", "ERROR"], "{other}");
            }
            assert_eq!(said(&text, "sqlx_postgres::options::parse"), ["ERROR"]);
            assert_eq!(said(&text, "roomsweep_like"), ["WARN", "ERROR"]);
        }
    }
}

#[test]
fn a_dependencys_span_adds_nothing_to_our_lines() {
    let text = logged(LogFormat::Text, Some("trace"), || {
        let span = tracing::debug_span!(target: "hyper", "request", authorization = "hunter2");
        span.in_scope(|| info!("ours"));
    });
    assert!(text.contains("ours") && !text.contains("hunter2"), "{text}");
}

#[test]
fn the_filter_still_decides_below_the_cap() {
    let check = |rust_log: Option<&str>, ours: &[&str], theirs: &[&str]| {
        let text = logged(LogFormat::Text, rust_log, everyone_speaks);
        assert_eq!(said(&text, "roomsweep"), ours, "{rust_log:?}");
        assert_eq!(said(&text, "hyper::proto::h1::io"), theirs, "{rust_log:?}");
    };
    check(None, &["INFO", "WARN", "ERROR"], &["WARN", "ERROR"]);
    check(Some(" "), &["INFO", "WARN", "ERROR"], &["WARN", "ERROR"]);
    check(Some("error"), &["ERROR"], &["ERROR"]);
    check(Some("off,roomsweep=debug"), &["DEBUG", "INFO", "WARN", "ERROR"], &[]);
}

#[test]
fn a_faulty_filter_is_reported_and_info_stands_in() {
    let (_, complaint) = parse_filter(Some("roomsweep=loud"));
    assert!(complaint.is_some());
    let text = logged(LogFormat::Text, Some("roomsweep=loud"), everyone_speaks);
    assert_eq!(said(&text, "roomsweep"), ["INFO", "WARN", "ERROR"]);
    assert!(parse_filter(Some("warn,roomsweep=trace")).1.is_none());
}

#[test]
fn a_json_line_has_its_fields_on_top() {
    let line = object(|| {
        let provider = "volcengine";
        info!(
            job_id = "j-1",
            batch_id = %"b",
            provider,
            room_id = ?"r",
            request_id = Some("q"),
            attempt = 2_u32,
            rate = 0.5,
            late = true,
            skew = -3,
            absent = None::<&str>,
            "job settled"
        );
    });
    assert!(line["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
    assert_eq!(line["target"], module_path!());
    let mut rest = line.as_object().unwrap().clone();
    rest.retain(|name, _| !matches!(name.as_str(), "timestamp" | "target"));
    let expected = serde_json::json!({
        "level": "INFO", "message": "job settled", "job_id": "j-1", "batch_id": "b", "provider": "volcengine",
        "room_id": "\"r\"", "request_id": "q", "attempt": 2, "rate": 0.5, "late": true, "skew": -3,
    });
    assert_eq!(Value::Object(rest), expected);
}

#[test]
fn fields_of_spans_stand_beside_those_of_the_event() {
    let line = object(|| {
        let lane = info_span!("lane", provider = "volcengine", attempt = 0);
        let _lane = lane.enter();
        let carry = info_span!("carry", job_id = "j-1", request_id = tracing::field::Empty);
        carry.record("request_id", "q");
        let _carry = carry.enter();
        info!(attempt = 3, "sent");
    });
    assert_eq!(line["provider"], "volcengine");
    assert_eq!(line["job_id"], "j-1");
    assert_eq!(line["request_id"], "q");
    assert_eq!(line["attempt"], 3);
}

#[test]
fn a_field_cannot_pass_for_a_fixed_member() {
    let line = object(|| info!(level = "FATAL", timestamp = 0, "true message"));
    assert_eq!((&line["level"], &line["level_"]), (&Value::from("INFO"), &Value::from("FATAL")));
    assert_eq!(line["timestamp_"], 0);
}

#[test]
fn an_event_stays_on_one_line() {
    let speak = || info!(error = %"bad\r\nINFO forged", "first\nsecond \u{1b}[31m");
    let text = logged(LogFormat::Text, None, speak);
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    assert!(text.contains("first\\nsecond") && text.contains("bad\\r\\nINFO forged"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    assert_eq!(object(speak)["error"], "bad\r\nINFO forged");
}

#[test]
fn colours_are_for_terminals() {
    let page = Page::default();
    let writer = page.clone();
    let (filter, _) = parse_filter(None);
    let subscriber = subscriber(move || writer.clone(), LogFormat::Text, Colour::Ansi, filter);
    tracing::subscriber::with_default(subscriber, || info!(job_id = "j", "hello"));
    assert!(String::from_utf8_lossy(&page.0.lock().unwrap()).contains("\u{1b}["));
    assert!(!logged(LogFormat::Text, None, || info!("hello")).contains('\u{1b}'));
}
