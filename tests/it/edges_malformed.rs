//! What is no job ends as `invalid`, what a cloud cannot have as `rejected`; each says why, and the worker goes on.

use std::collections::HashMap;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::{Value, json};

use crate::edges_rig::{HUAWEI, Rig, VOLCENGINE, job, text};
use crate::support::rabbit::{Delivered, text_headers};

/// A body, and how it ends.
struct Case {
    body: Vec<u8>,
    key: &'static str,
    code: &'static str,
    /// How the message begins.
    says: String,
}

fn case(body: impl Into<Vec<u8>>, key: &'static str, code: &'static str, says: &str) -> Case {
    Case { body: body.into(), key, code, says: says.to_owned() }
}

/// A job with one member more, or another one.
fn with(member: &str, value: Value) -> String {
    let mut job = json!({ "provider": "volcengine", "app_id": "app", "room_id": "room" });
    job[member] = value;
    job.to_string()
}

fn long(bytes: usize) -> Value {
    "x".repeat(bytes).into()
}

const UNREADABLE: &[(&[u8], &str)] = &[
    (b"", "body: is not a JSON object"),
    (b"dismiss room 7, please", "body: is not a JSON object"),
    (b"[]", "body: is not a JSON object"),
    (br#"[{"provider":"volcengine","app_id":"app","room_id":"room"}]"#, "body: is not a JSON object"),
    (b"null", "body: is not a JSON object"),
    (b"42", "body: is not a JSON object"),
    (br#"{"provider":"volcengine","app_id":"app","#, "body: is not a JSON object"),
    (br#"{"provider":"volcengine","app_id":"app","room_id":"a"} {}"#, "body: is not a JSON object"),
    (br#"{"provider":"volcengine","app_id":"app","room_id":"\ud800"}"#, "body: is not a JSON object"),
    (b"{\"provider\":\"volcengine\",\"app_id\":\"app\",\"room_id\":\"\xff\"}", "body: is not UTF-8 (byte 51)"),
    (b"\x00\x01\x02\xfe", "body: is not UTF-8 (byte 3)"),
];

fn wrong_values() -> Vec<(&'static str, Value, &'static str)> {
    let labels = |many: usize| (0..many).map(|n| (format!("l{n}"), json!("v"))).collect::<serde_json::Map<_, _>>();
    vec![
        ("app_id", Value::Null, "app_id: is required"),
        ("app_id", json!(7), "app_id: must be a string, not a number"),
        ("app_id", json!(""), "app_id: must not be empty"),
        ("app_id", long(257), "app_id: is 257 bytes long, at most 256 are allowed"),
        ("room_id", json!(["room"]), "room_id: must be a string, not an array"),
        ("room_id", json!(""), "room_id: must not be empty"),
        ("room_id", long(257), "room_id: is 257 bytes long"),
        ("room_id", json!("a\u{0}b"), "room_id: contains the control character U+0000"),
        ("room_id", json!("a\nb"), "room_id: contains the control character U+000A"),
        ("room_id", json!("a\u{85}b"), "room_id: contains the control character U+0085"),
        ("job_id", json!(7), "job_id: must be a string, not a number"),
        ("job_id", json!(""), "job_id: must not be empty"),
        ("job_id", long(129), "job_id: is 129 bytes long"),
        ("job_id", json!("a\u{7f}"), "job_id: contains the control character U+007F"),
        ("batch_id", json!({}), "batch_id: must be a string, not an object"),
        ("batch_id", long(129), "batch_id: is 129 bytes long"),
        ("batch_size", json!("3"), "batch_size: must be a whole number of 0 or more, not a string"),
        ("batch_size", json!(-1), "batch_size: must be a whole number"),
        ("batch_size", json!(1.5), "batch_size: must be a whole number"),
        ("lane", json!("fast"), "lane: must be \"urgent\" or \"bulk\", not \"fast\""),
        ("lane", json!(true), "lane: must be a string, not a boolean"),
        ("not_before", json!(1_767_225_600), "not_before: must be a string, not a number"),
        ("not_before", json!("tomorrow"), "not_before: must be an RFC 3339 time"),
        ("not_before", json!("2030-01-01T00:00:00"), "not_before: must be an RFC 3339 time"),
        ("expires_at", json!(false), "expires_at: must be a string, not a boolean"),
        ("expires_at", json!("2030-13-01T00:00:00Z"), "expires_at: must be an RFC 3339 time"),
        ("reason", json!(5), "reason: must be a string, not a number"),
        ("reason", long(513), "reason: is 513 bytes long, at most 512 are allowed"),
        ("requested_by", json!([]), "requested_by: must be a string, not an array"),
        ("requested_by", long(513), "requested_by: is 513 bytes long"),
        ("labels", json!("x"), "labels: must be an object of strings, not a string"),
        ("labels", json!({ "team": 1 }), "labels: label \"team\": must be a string, not a number"),
        ("labels", json!({ "team": "x".repeat(129) }), "labels: label \"team\": is 129 bytes long"),
        ("labels", json!({ "x".repeat(129): "v" }), "labels: label"),
        ("labels", Value::Object(labels(17)), "labels: has 17 members, at most 16 are allowed"),
        ("not_befor", json!("2030-01-01T00:00:00Z"), "\"not_befor\": is not a field of a job (fields: provider,"),
        ("roomId", json!("room"), "\"roomId\": is not a field of a job"),
    ]
}

fn cases() -> Vec<Case> {
    let unreadable = |(body, says): &(&[u8], &str)| case(*body, "unknown.invalid", "invalid_job", says);
    let wrong = |(member, value, says): (&str, Value, &str)| {
        case(with(member, value), "volcengine.invalid", "invalid_job", says)
    };
    let mut cases: Vec<Case> = UNREADABLE.iter().map(unreadable).collect();
    cases.extend(wrong_values().into_iter().map(wrong));
    for (value, says) in [
        (json!(5), "provider: must be a string, not a number"),
        (Value::Null, "provider: is required"),
        (json!("Volcengine"), "provider: may hold only the characters a-z"),
        (long(65), "provider: is 65 bytes long"),
    ] {
        cases.push(case(with("provider", value), "unknown.invalid", "invalid_job", says));
    }
    let sized = |bytes: usize| {
        let job = with("reason", json!("long"));
        format!("{job}{}", " ".repeat(bytes - job.len()))
    };
    let twice = |member: &str| with("reason", json!("r")).replacen('{', &format!("{{{member},"), 1);
    let too_long = "body: is 65537 bytes long, at most 65536 are allowed";
    let unknown = "provider: no provider \"nobody\" is configured";
    let huawei = |room: &str| String::from_utf8(job("huawei", room)).unwrap();
    cases.extend([
        case(twice(r#""room_id":"other""#), "volcengine.invalid", "invalid_job", "room_id: stands twice"),
        case(twice(r#""x":1,"x":2"#), "volcengine.invalid", "invalid_job", "\"x\": is not a field of a job"),
        case(sized(64 * 1024 + 1), "unknown.invalid", "invalid_job", too_long),
        case(sized(1 << 20), "unknown.invalid", "invalid_job", "body: is 1048576 bytes long"),
        case(with("provider", json!("nobody")), "unknown.invalid", "unknown_provider", unknown),
        case(huawei(".."), "huawei.rejected", "invalid_room_id", "room_id: has '.'"),
        case(huawei("a room"), "huawei.rejected", "invalid_room_id", "room_id: has ' '"),
        case(huawei("a/b"), "huawei.rejected", "invalid_room_id", "room_id: has '/'"),
        case(huawei(&"r".repeat(65)), "huawei.rejected", "invalid_room_id", "room_id: is 65 bytes long"),
    ]);
    cases
}

/// Jobs that only look wrong.
fn good() -> Vec<Vec<u8>> {
    let odd = json!({ "provider": "volcengine", "app_id": "应用", "room_id": "..", "labels": null });
    let whole = json!({ "provider": "volcengine", "app_id": "app", "room_id": "x".repeat(256) }).to_string();
    let largest = format!("{}{whole}", "\n".repeat(64 * 1024 - whole.len()));
    vec![odd.to_string().into_bytes(), largest.into_bytes(), job("huawei", "a_Room-7"), job("volcengine", "a b/c?")]
}

/// Everything is told apart by its correlation ID.
fn properties(number: usize) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert("x-producer".into(), AMQPValue::LongString(format!("p{number}").into()));
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_message_id(format!("m{number}").into())
        .with_correlation_id(format!("c{number}").into())
        .with_app_id("the-test".into())
        .with_headers(headers)
}

fn by_correlation(messages: Vec<Delivered>) -> HashMap<String, Delivered> {
    let id = |message: &Delivered| message.properties.correlation_id().as_ref().map(ShortString::to_string);
    messages.into_iter().map(|message| (id(&message).expect("a correlation ID"), message)).collect()
}

fn check(case: &Case, number: usize, result: &Delivered, dead: &Delivered) {
    let shown = String::from_utf8_lossy(&case.body[..case.body.len().min(120)]).into_owned();
    let (provider, outcome) = case.key.split_once('.').unwrap();
    assert_eq!(result.routing_key, case.key, "{shown}");
    assert_eq!(dead.routing_key, case.key, "{shown}");

    let said = result.json();
    let message = text(&said["error"], "message");
    assert_eq!(
        (said["outcome"].as_str(), text(&said["error"], "code")),
        (Some(outcome), case.code.to_owned()),
        "{shown}"
    );
    assert!(message.starts_with(&case.says), "{shown}: {message}");
    assert_eq!((&said["attempts"], &said["attempt_log"], &said["run"]), (&json!(0), &json!([]), &json!(1)), "{shown}");
    assert_eq!((&said["request_id"], &said["http_status"]), (&Value::Null, &Value::Null), "{shown}");
    assert_eq!(said["job_id"], format!("m{number}"), "{shown}");
    let of_body = case.says.starts_with("body:");
    for field in ["provider", "app_id", "room_id", "lane", "batch_id", "reason", "requested_by"] {
        let blamed = case.says.starts_with(&format!("{field}:")) && case.code == "invalid_job";
        let is_null = (blamed && !case.says.contains("twice")) || of_body;
        assert!(!is_null || said[field].is_null(), "{shown}: {field} is {}", said[field]);
    }
    if provider != "unknown" {
        assert_eq!(said["provider"], provider, "{shown}");
    }

    assert_eq!(dead.body, case.body, "{shown}: the bytes are kept");
    let headers = text_headers(&dead.properties);
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    assert_eq!((header("x-outcome"), header("x-job-id")), (outcome.to_owned(), format!("m{number}")), "{shown}");
    assert_eq!(header("x-error"), format!("{}: {message}", case.code), "{shown}");
    assert_eq!(header("x-producer"), format!("p{number}"), "{shown}");
    let sent = properties(number).with_delivery_mode(2).with_headers(FieldTable::default());
    assert_eq!(dead.properties.clone().with_headers(FieldTable::default()), sent, "{shown}");
}

/// Publishes all cases, and good jobs after them, to `key` of the exchange, or to the intake.
async fn each_ends_with_its_reason(key: Option<&str>) {
    let rig = Rig::start(&[VOLCENGINE, HUAWEI].concat()).await;
    let (cases, good) = (cases(), good());
    let bodies = cases.iter().map(|case| &case.body).chain(&good);
    for (number, body) in bodies.enumerate() {
        match key {
            Some(key) => rig.route(key, body, properties(number)).await,
            None => rig.submit(body, properties(number)).await,
        }
    }
    let results = by_correlation(rig.results(cases.len() + good.len()).await);
    let dead = by_correlation(rig.dead(cases.len()).await);
    for (number, case) in cases.iter().enumerate() {
        let id = format!("c{number}");
        check(case, number, &results[&id], &dead[&id]);
    }
    for number in cases.len()..cases.len() + good.len() {
        assert_eq!(results[&format!("c{number}")].json()["outcome"], "dismissed");
    }
    rig.is_empty().await;
    assert_eq!(rig.sandbox.stats().await["requests"], good.len(), "nothing was sent for the others");
}

#[tokio::test]
async fn what_is_no_job_ends_with_its_reason_from_the_intake() {
    each_ends_with_its_reason(None).await;
}

#[tokio::test]
async fn what_is_no_job_ends_with_its_reason_from_a_lane() {
    each_ends_with_its_reason(Some("volcengine.bulk")).await;
}
