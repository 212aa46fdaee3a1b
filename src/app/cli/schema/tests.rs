use super::*;
use crate::model::decode::{FIELDS, Readable, decode};
use crate::model::ids::{JobId, RequestId};
use crate::model::job::DismissJob;
use crate::model::progress::{AttemptRecord, Progress};
use crate::model::result::{DismissResult, Ending};
use crate::model::verdict::Fault;
use jiff::Timestamp;

/// Holds a value against the keywords that the schemas use, patterns and formats apart.
fn fits(schema: &Value, value: &Value) -> bool {
    schema.as_object().unwrap().iter().all(|(keyword, rule)| match keyword.as_str() {
        "$schema" | "$id" | "title" | "description" | "pattern" | "format" | "else" => true,
        "type" => match rule {
            Value::Array(kinds) => kinds.iter().any(|kind| kind == kind_of(value)),
            kind => kind == kind_of(value),
        },
        "enum" => rule.as_array().unwrap().contains(value),
        "const" => rule == value,
        "not" => !fits(rule, value),
        "if" => fits(rule, value) || fits(&schema["else"], value),
        "minLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 >= rule.as_u64().unwrap()),
        "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 <= rule.as_u64().unwrap()),
        "minimum" => value.as_i64().is_none_or(|number| number >= rule.as_i64().unwrap()),
        "maximum" => value.as_i64().is_none_or(|number| number <= rule.as_i64().unwrap()),
        "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= rule.as_u64().unwrap()),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| fits(rule, item))),
        "required" => {
            let names = rule.as_array().unwrap();
            value
                .as_object()
                .is_none_or(|members| names.iter().all(|name| members.contains_key(name.as_str().unwrap())))
        }
        "properties" => value.as_object().is_none_or(|members| {
            rule.as_object().unwrap().iter().all(|(name, rule)| members.get(name).is_none_or(|value| fits(rule, value)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|members| {
            let known = |name: &str| schema["properties"].get(name).is_some();
            members.iter().filter(|(name, _)| !known(name)).all(|(_, value)| rule != false && fits(rule, value))
        }),
        "propertyNames" => value.as_object().is_none_or(|members| members.keys().all(|name| fits(rule, &json!(name)))),
        "maxProperties" => value.as_object().is_none_or(|members| members.len() as u64 <= rule.as_u64().unwrap()),
        other => panic!("the test does not know {other}"),
    })
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn full_job() -> Value {
    json!({
        "provider": "volcengine", "app_id": "A", "room_id": "R", "job_id": "j", "batch_id": "b", "batch_size": 3,
        "lane": "urgent", "not_before": "2026-01-31T18:00:00Z", "expires_at": "2026-01-31T19:00:00Z",
        "reason": "end", "requested_by": "me", "labels": { "team": "red" },
    })
}

fn decoded(job: &Value) -> Option<DismissJob> {
    decode(&serde_json::to_vec(job).unwrap(), &JobId::parse("given").unwrap()).ok()
}

/// A result with everything in it, and one of something unreadable.
fn results() -> [Value; 2] {
    let now = Timestamp::UNIX_EPOCH;
    let error = Some(Fault::new("InternalError", "e".repeat(600)));
    let mut progress = Progress::received(now);
    for verdict in VerdictLabel::ALL.into_iter().cycle().take(40) {
        let request_id = Some(RequestId::parse("q").unwrap());
        progress.note(AttemptRecord {
            at: now,
            verdict,
            http_status: Some(500),
            request_id,
            error: error.clone(),
            duration_ms: 31,
        });
    }
    let ending = Ending { outcome: Outcome::Exhausted, error: error.clone() };
    let whole = DismissResult::of(&decoded(&full_job()).unwrap(), progress, ending, now, "host-1");
    let ending = Ending { outcome: Outcome::Invalid, error };
    let id = JobId::parse("given").unwrap();
    let unreadable =
        DismissResult::of_readable(id, Readable::default(), Progress::received(now), ending, now, "host-1");
    [whole, unreadable].map(|result| serde_json::to_value(result).unwrap())
}

fn sorted<'v>(names: impl IntoIterator<Item = &'v str>) -> Vec<&'v str> {
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_unstable();
    names
}

fn keys(value: &Value) -> Vec<&str> {
    sorted(value.as_object().unwrap().keys().map(String::as_str))
}

#[test]
fn a_job_has_the_fields_of_the_model() {
    let schema = job();
    assert_eq!(keys(&schema["properties"]), sorted(FIELDS));
    assert_eq!(schema["additionalProperties"], false);
    for field in FIELDS {
        let mut without = full_job();
        without.as_object_mut().unwrap().remove(field);
        assert_eq!(fits(&schema, &without), decoded(&without).is_some(), "without {field}");
        let mut with_null = full_job();
        with_null[field] = Value::Null;
        assert_eq!(fits(&schema, &with_null), decoded(&with_null).is_some(), "{field}: null");
    }
}

#[test]
fn the_schema_and_the_decoder_agree_on_what_a_job_is() {
    let check = |field: &str, value: Value| {
        let mut job_value = full_job();
        job_value[field] = value;
        assert_eq!(fits(&job(), &job_value), decoded(&job_value).is_some(), "{field}: {}", job_value[field]);
        fits(&job(), &job_value)
    };
    assert!(check("lane", json!("bulk")));
    assert!(!check("lane", json!("fast")));
    assert!(!check("not_befor", json!("2026-01-31T18:00:00Z")));
    assert!(!check("batch_size", json!(-1)) && !check("batch_size", json!("3")) && check("batch_size", json!(0)));
    let many = |count: usize| (0..count).map(|n| (format!("k{n}"), json!("v"))).collect::<Map<_, _>>();
    assert!(check("labels", many(16).into()) && !check("labels", many(17).into()));
    assert!(!check("labels", json!({ "": "v" })) && !check("labels", json!({ "k": 1 })) && check("labels", json!({})));
    for length in [127, 128, 129] {
        assert_eq!(check("labels", json!({ "k": "x".repeat(length) })), length <= 128);
        assert_eq!(check("labels", json!({ "x".repeat(length): "v" })), length <= 128);
    }
    for (field, rule) in job()["properties"].as_object().unwrap() {
        if let Some(longest) = rule["maxLength"].as_u64() {
            assert!(check(field, json!("x".repeat(longest as usize))), "{field}");
            assert!(!check(field, json!("x".repeat(longest as usize + 1))), "{field}");
            assert_eq!(check(field, json!("")), rule["minLength"] == 0, "{field}");
        }
        check(field, json!(5));
        check(field, json!(["x"]));
    }
}

#[test]
fn a_result_has_the_fields_of_the_model_all_of_them_always() {
    let schema = result();
    for value in results() {
        assert!(fits(&schema, &value), "{value}");
        assert_eq!(keys(&schema["properties"]), keys(&value));
        for name in keys(&value) {
            let mut without = value.clone();
            without.as_object_mut().unwrap().remove(name);
            assert!(!fits(&schema, &without), "without {name}");
        }
        let mut with_more = value.clone();
        with_more["more"] = json!(1);
        assert!(!fits(&schema, &with_more));
    }
    let [whole, _] = results();
    assert_eq!(keys(&schema["properties"]["attempt_log"]["items"]["properties"]), keys(&whole["attempt_log"][0]));
    assert_eq!(keys(&schema["properties"]["error"]["properties"]), keys(&whole["error"]));
}

#[test]
fn only_an_invalid_result_may_not_know_its_room() {
    let [_, mut unreadable] = results();
    unreadable["outcome"] = json!("rejected");
    assert!(!fits(&result(), &unreadable));
}

#[test]
fn every_outcome_and_verdict_is_in_the_schema() {
    let schema = result();
    let outcomes = &schema["properties"]["outcome"]["enum"];
    assert_eq!(*outcomes, serde_json::to_value(Outcome::ALL).unwrap());
    let verdicts = &schema["properties"]["attempt_log"]["items"]["properties"]["verdict"]["enum"];
    assert_eq!(*verdicts, serde_json::to_value(VerdictLabel::ALL).unwrap());
    assert_eq!(job()["properties"]["lane"]["enum"], json!(["urgent", "bulk", null]));
}

#[test]
fn each_schema_says_what_it_is() {
    for (schema, name) in [(job(), "urn:roomsweep:dismiss.job.v1"), (result(), "urn:roomsweep:dismiss.result.v1")] {
        assert_eq!((schema["$schema"].as_str(), schema["$id"].as_str()), (Some(DIALECT), Some(name)));
    }
}
