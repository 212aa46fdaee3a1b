use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::*;
use crate::model::ids::{AppId, BatchId, JobId, ProviderName, RoomId};
use crate::model::job::Lane;
use crate::model::result::Outcome;
use crate::model::verdict::VerdictLabel;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn record(second: i64, verdict: VerdictLabel, id: Option<&str>) -> AttemptRecord {
    let error = (verdict == VerdictLabel::Transient)
        .then(|| Fault { code: "InternalError".into(), message: "try\nagain".into() });
    AttemptRecord {
        at: at(second),
        verdict,
        http_status: id.map(|_| 500),
        request_id: id.map(|id| RequestId::parse(id).unwrap()),
        error,
        duration_ms: 31,
    }
}

/// Failed twice, in a room with everything in its name that a file format minds.
fn exhausted() -> DismissResult {
    DismissResult {
        job_id: JobId::parse("job-1").unwrap(),
        batch_id: Some(BatchId::parse("b").unwrap()),
        provider: Some(ProviderName::parse("volcengine").unwrap()),
        app_id: Some(AppId::parse("app").unwrap()),
        room_id: Some(RoomId::parse("a \"room\", 房").unwrap()),
        lane: Some(Lane::Urgent),
        outcome: Outcome::Exhausted,
        request_id: Some(RequestId::parse("q1").unwrap()),
        http_status: None,
        error: Some(Fault { code: "InternalError".into(), message: "try\nagain".into() }),
        attempts: 3,
        run: 2,
        attempt_log: vec![record(1, VerdictLabel::Transient, Some("q1")), record(2, VerdictLabel::Transient, None)],
        attempts_omitted: 1,
        received_at: at(0),
        settled_at: at(3),
        reason: Some("=abuse".into()),
        requested_by: None,
        labels: BTreeMap::from([("team".to_owned(), "live".to_owned())]),
        worker: "host-1".into(),
    }
}

/// Of which nothing but an ID is known.
fn invalid() -> DismissResult {
    DismissResult {
        batch_id: None,
        provider: None,
        app_id: None,
        room_id: None,
        lane: None,
        outcome: Outcome::Invalid,
        request_id: None,
        error: None,
        attempts: 0,
        attempt_log: vec![],
        attempts_omitted: 0,
        reason: None,
        labels: BTreeMap::new(),
        ..exhausted()
    }
}

fn written(look: Look, pages: &[&[DismissResult]]) -> String {
    let mut sheet = Sheet::new(look);
    let lines: Vec<u8> = pages.iter().flat_map(|page| sheet.lines(page).unwrap()).collect();
    String::from_utf8(lines).unwrap()
}

#[test]
fn json_lines_are_whole_results() {
    let text = written(Look::Json, &[&[exhausted()], &[], &[invalid()]]);
    let read: Vec<DismissResult> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, [exhausted(), invalid()]);
}

#[test]
fn csv_has_one_header_and_reads_back_as_it_was() {
    let text = written(Look::Csv, &[&[exhausted()], &[invalid()]]);
    assert!(text.starts_with("settled_at,outcome,") && text.contains("\r\n"), "{text}");
    assert!(text.contains(r#","a ""room"", 房","#), "{text}");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    assert_eq!(reader.headers().unwrap(), COLUMNS.as_slice());
    let rows: Vec<BTreeMap<String, String>> = reader.deserialize().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2);
    let check = |row: usize, column: &str, expected: &str| assert_eq!(rows[row][column], expected, "{column}");
    check(0, "settled_at", "1970-01-01T00:00:03Z");
    check(0, "room_id", "a \"room\", 房");
    check(0, "lane", "urgent");
    check(0, "request_ids", "q1");
    check(0, "error_message", "try\nagain");
    check(0, "attempts", "3");
    check(0, "run", "2");
    check(0, "reason", "=abuse");
    check(0, "labels", r#"{"team":"live"}"#);
    for column in ["provider", "app_id", "room_id", "lane", "request_id", "error_code", "reason", "labels"] {
        check(1, column, "");
    }
}

#[test]
fn every_column_tells_a_field_of_the_result_or_of_its_attempts() {
    let whole = serde_json::to_value(exhausted()).unwrap();
    for column in COLUMNS {
        let made = ["error_code", "error_message", "request_ids"].contains(&column);
        assert!(made || whole.get(column).is_some(), "{column}");
    }
    for field in whole.as_object().unwrap().keys() {
        let told_otherwise = ["error", "attempt_log", "attempts_omitted"].contains(&field.as_str());
        assert!(told_otherwise || COLUMNS.contains(&field.as_str()), "{field}");
    }
}

#[test]
fn csv_of_nothing_is_a_header() {
    assert_eq!(written(Look::Csv, &[&[]]).lines().collect::<Vec<_>>(), [COLUMNS.join(",")]);
    assert_eq!(written(Look::Table, &[&[]]), "");
    assert_eq!(written(Look::Json, &[&[]]), "");
}

#[test]
fn few_results_are_shown_with_their_attempts() {
    let text = written(Look::Table, &[&[exhausted(), invalid()]]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("SETTLED") && lines[0].ends_with("REASON"), "{text}");
    let row = "1970-01-01T00:00:03Z  exhausted  volcengine  app  a \"room\", 房  job-1  q1          3         \
               =abuse; InternalError: try again";
    assert_eq!(lines[1], row);
    assert_eq!(lines[2], "  1 attempts before these");
    let first = "  attempt 2 at 1970-01-01T00:00:01.000Z: transient (HTTP 500, 31 ms), request ID q1, InternalError: try \
                 again";
    assert_eq!(lines[3], first);
    assert!(lines[4].starts_with("  attempt 3") && lines[4].contains("(no reply, 31 ms), request ID -"), "{text}");
    assert!(lines[5].contains("invalid") && lines[5].ends_with('-'), "{text}");
    assert_eq!(lines.len(), 6);
}

#[test]
fn many_results_are_a_line_each_over_all_pages() {
    let page = vec![exhausted(); FEW];
    let text = written(Look::Table, &[&page, &page[..1]]);
    assert_eq!(text.lines().filter(|line| line.starts_with("  ")).count(), FEW * 3, "few, then one more page");
    let page = vec![exhausted(); FEW + 1];
    let text = written(Look::Table, &[&page, &page[..1]]);
    assert_eq!((text.lines().count(), text.matches("SETTLED").count()), (FEW + 3, 1), "{text}");
}

#[test]
fn json_is_what_was_published() {
    let line = written(Look::Json, &[&[exhausted()]]);
    let value: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&value["outcome"], &value["attempt_log"][0]["request_id"]), (&"exhausted".into(), &"q1".into()));
}
