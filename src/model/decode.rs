//! From bytes to a job, refusing by field name: a misspelt `not_before` must not send early.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;

use super::ids::{self, AppId, BatchId, IdError, JobId, ProviderName, RoomId};
use super::job::{DismissJob, Lane, MAX_BODY, MAX_LABEL, MAX_LABELS, MAX_NOTE};

/// Every field that a job may have.
pub const FIELDS: [&str; 12] = [
    "provider",
    "app_id",
    "room_id",
    "job_id",
    "batch_id",
    "batch_size",
    "lane",
    "not_before",
    "expires_at",
    "reason",
    "requested_by",
    "labels",
];

/// Bytes that are not a job: what is wrong, naming every faulty field, and what could be read all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    pub message: String,
    pub readable: Box<Readable>,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Invalid {}

/// The fields of a job as far as they could be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readable {
    pub provider: Option<ProviderName>,
    pub app_id: Option<AppId>,
    pub room_id: Option<RoomId>,
    pub job_id: Option<JobId>,
    pub batch_id: Option<BatchId>,
    pub batch_size: Option<u64>,
    pub lane: Option<Lane>,
    pub not_before: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub reason: Option<String>,
    pub requested_by: Option<String>,
    pub labels: BTreeMap<String, String>,
}

/// Decodes one job. `fallback_id` is the job ID where the body has none: the AMQP `message_id`, or a new one.
pub fn decode(body: &[u8], fallback_id: &JobId) -> Result<DismissJob, Invalid> {
    let (readable, mut faults) = read(body);
    let mut require = |name: &str, missing: bool| {
        if missing && !faults.iter().any(|fault| fault.starts_with(name) || fault.starts_with("body:")) {
            faults.push(format!("{name}: is required"));
        }
    };
    require("provider", readable.provider.is_none());
    require("app_id", readable.app_id.is_none());
    require("room_id", readable.room_id.is_none());

    match readable {
        Readable { provider: Some(provider), app_id: Some(app_id), room_id: Some(room_id), .. }
            if faults.is_empty() =>
        {
            Ok(DismissJob {
                provider,
                app_id,
                room_id,
                job_id: readable.job_id.unwrap_or_else(|| fallback_id.clone()),
                batch_id: readable.batch_id,
                batch_size: readable.batch_size,
                lane: readable.lane.unwrap_or_default(),
                not_before: readable.not_before,
                expires_at: readable.expires_at,
                reason: readable.reason,
                requested_by: readable.requested_by,
                labels: readable.labels,
            })
        }
        readable => Err(Invalid { message: sentence(&faults), readable: Box::new(readable) }),
    }
}

/// The first faults, whole; a count of the rest.
fn sentence(faults: &[String]) -> String {
    const SHOWN: usize = 4;
    let mut message = faults.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("; ");
    if faults.len() > SHOWN {
        message.push_str(&format!("; and {} more", faults.len() - SHOWN));
    }
    message
}

fn read(body: &[u8]) -> (Readable, Vec<String>) {
    let refuse = |fault: String| (Readable::default(), vec![fault]);
    if body.len() > MAX_BODY {
        return refuse(format!("body: is {} bytes long, at most {MAX_BODY} are allowed", body.len()));
    }
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => return refuse(format!("body: is not UTF-8 (byte {})", error.valid_up_to())),
    };
    match serde_json::from_str::<Members>(text) {
        Ok(members) => read_members(members.0),
        Err(error) => refuse(format!("body: is not a JSON object: {error}")),
    }
}

fn read_members(members: Vec<(String, Value)>) -> (Readable, Vec<String>) {
    let mut job = Readable::default();
    let mut faults = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for (name, value) in members {
        if !seen.insert(name.clone()) {
            faults.push(format!("{}: stands twice", shown(&name)));
            continue;
        }
        // A null says the same as an absent field, as results carry them.
        if value.is_null() && FIELDS.contains(&name.as_str()) {
            continue;
        }
        if let Err(fault) = read_field(&mut job, &name, value) {
            faults.push(format!("{}: {fault}", shown(&name)));
        }
    }
    (job, faults)
}

fn read_field(job: &mut Readable, name: &str, value: Value) -> Result<(), String> {
    match name {
        "provider" => job.provider = Some(id(value, ProviderName::parse)?),
        "app_id" => job.app_id = Some(id(value, AppId::parse)?),
        "room_id" => job.room_id = Some(id(value, RoomId::parse)?),
        "job_id" => job.job_id = Some(id(value, JobId::parse)?),
        "batch_id" => job.batch_id = Some(id(value, BatchId::parse)?),
        "batch_size" => {
            job.batch_size = Some(value.as_u64().ok_or_else(|| wrong_type("a whole number of 0 or more", &value))?);
        }
        "lane" => {
            let text = string(value)?;
            let lane =
                Lane::parse(&text).ok_or_else(|| format!("must be \"urgent\" or \"bulk\", not {}", shown(&text)))?;
            job.lane = Some(lane);
        }
        "not_before" => job.not_before = Some(time(value)?),
        "expires_at" => job.expires_at = Some(time(value)?),
        "reason" => job.reason = Some(note(value)?),
        "requested_by" => job.requested_by = Some(note(value)?),
        "labels" => job.labels = labels(value)?,
        _ => return Err(format!("is not a field of a job (fields: {})", FIELDS.join(", "))),
    }
    Ok(())
}

fn id<T>(value: Value, parse: fn(String) -> Result<T, IdError>) -> Result<T, String> {
    parse(string(value)?).map_err(|error| error.to_string())
}

fn note(value: Value) -> Result<String, String> {
    let text = string(value)?;
    ids::short(&text, MAX_NOTE).map_err(|error| error.to_string())?;
    Ok(text)
}

fn time(value: Value) -> Result<Timestamp, String> {
    let text = string(value)?;
    parse_time(&text)
}

/// Parses an RFC 3339 time: date, `T`, time of day, and a UTC offset or `Z`.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    let fault = || format!("must be an RFC 3339 time like 2026-01-31T18:00:00Z, not {}", shown(text));
    let strict = text.len() >= 20 && matches!(text.as_bytes()[10], b'T' | b't') && !text.contains('[');
    if !strict {
        return Err(fault());
    }
    text.parse().map_err(|_| fault())
}

fn labels(value: Value) -> Result<BTreeMap<String, String>, String> {
    let Value::Object(members) = value else {
        return Err(wrong_type("an object of strings", &value));
    };
    if members.len() > MAX_LABELS {
        return Err(format!("has {} members, at most {MAX_LABELS} are allowed", members.len()));
    }
    let mut labels = BTreeMap::new();
    for (name, value) in members {
        let inside = |fault: String| format!("label {}: {fault}", shown(&name));
        ids::bounded(&name, MAX_LABEL).map_err(|error| inside(error.to_string()))?;
        let text = string(value).map_err(inside)?;
        ids::short(&text, MAX_LABEL).map_err(|error| inside(error.to_string()))?;
        labels.insert(name, text);
    }
    Ok(labels)
}

fn string(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(wrong_type("a string", &other)),
    }
}

fn wrong_type(expected: &str, actual: &Value) -> String {
    let actual = match actual {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    format!("must be {expected}, not {actual}")
}

/// A foreign text, quoted and cut, fit for an error message.
fn shown(text: &str) -> String {
    const LIMIT: usize = 48;
    if FIELDS.contains(&text) {
        return text.to_owned();
    }
    let cut = &text[..text.floor_char_boundary(LIMIT)];
    if cut.len() < text.len() { format!("{cut:?}…") } else { format!("{cut:?}") }
}

/// The members of a JSON object in order, doubled names included: a map would hide them.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fallback() -> JobId {
        JobId::parse("given").unwrap()
    }

    fn refused(body: &str) -> String {
        decode(body.as_bytes(), &fallback()).expect_err(body).message
    }

    fn with(member: &str) -> String {
        format!(r#"{{"provider":"volcengine","app_id":"A","room_id":"R",{member}}}"#)
    }

    #[test]
    fn three_fields_make_a_job() {
        let job = decode(br#"{"provider":"volcengine","app_id":"A","room_id":"R"}"#, &fallback()).unwrap();
        assert_eq!(job.job_id, fallback());
        assert_eq!(job.lane, Lane::Bulk);
        assert!(job.labels.is_empty());
    }

    #[test]
    fn what_is_decoded_can_be_written_and_decoded_again() {
        let body = with(
            r#""job_id":"j","batch_id":"b","batch_size":3,"lane":"urgent","not_before":"2026-01-31T18:00:00Z",
               "expires_at":"2026-01-31T19:00:00+01:00","reason":"end","requested_by":"me","labels":{"k":"v"}"#,
        );
        let job = decode(body.as_bytes(), &fallback()).unwrap();
        let again = decode(&serde_json::to_vec(&job).unwrap(), &fallback()).unwrap();
        assert_eq!(job, again);
    }

    #[test]
    fn a_fault_names_its_field() {
        let check = |member: &str, expected: &str| {
            let message = refused(&with(member));
            assert!(message.contains(expected), "{member}: {message}");
        };
        check(r#""not_befor":"2026-01-31T18:00:00Z""#, "\"not_befor\": is not a field of a job");
        check(r#""lane":"fast""#, "lane: must be \"urgent\" or \"bulk\", not \"fast\"");
        check(r#""lane":5"#, "lane: must be a string, not a number");
        check(r#""batch_size":-1"#, "batch_size: must be a whole number");
        check(r#""not_before":"tomorrow""#, "not_before: must be an RFC 3339 time");
        check(r#""not_before":"2026-01-31 18:00:00Z""#, "not_before: must be an RFC 3339 time");
        check(r#""not_before":"2026-01-31T18:00:00""#, "not_before: must be an RFC 3339 time");
        check(r#""job_id":"""#, "job_id: must not be empty");
        check(r#""room_id":"twice""#, "room_id: stands twice");
        check(r#""reason":"a\u0007b""#, "reason: contains the control character U+0007");
        check(r#""labels":{"k":1}"#, "labels: label \"k\": must be a string, not a number");
        check(r#""labels":[]"#, "labels: must be an object of strings, not an array");
        check(&format!(r#""reason":"{}""#, "x".repeat(513)), "reason: is 513 bytes long");
        check(&format!(r#""job_id":"{}""#, "x".repeat(129)), "job_id: is 129 bytes long");
    }

    #[test]
    fn every_missing_field_is_named_and_what_could_be_read_is_kept() {
        let invalid = decode(br#"{"provider":"volcengine","lane":"urgent","room_id":7}"#, &fallback()).unwrap_err();
        assert_eq!(invalid.message, "room_id: must be a string, not a number; app_id: is required");
        assert_eq!(invalid.readable.provider.as_ref().unwrap().as_str(), "volcengine");
        assert_eq!(invalid.readable.lane, Some(Lane::Urgent));
        assert_eq!(invalid.readable.room_id, None);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(refused("[]").starts_with("body: is not a JSON object"));
        assert!(refused("").starts_with("body: is not a JSON object"));
        assert!(refused(r#"{"a":1} x"#).starts_with("body: is not a JSON object"));
        let invalid = decode(b"\xff{}", &fallback()).unwrap_err();
        assert_eq!(invalid.message, "body: is not UTF-8 (byte 0)");
        let long = vec![b' '; MAX_BODY + 1];
        assert!(decode(&long, &fallback()).unwrap_err().message.starts_with("body: is 65537 bytes long"));
    }

    #[test]
    fn null_is_the_same_as_absent() {
        let job = decode(with(r#""batch_id":null,"labels":null"#).as_bytes(), &fallback()).unwrap();
        assert_eq!(job.batch_id, None);
        assert!(refused(&with(r#""foo":null"#)).contains("not a field"));
    }

    #[test]
    fn many_faults_stay_a_readable_sentence() {
        let message = refused(r#"{"a":1,"b":1,"c":1,"d":1,"e":1}"#);
        assert!(message.ends_with("; and 4 more"), "{message}");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..512)) {
            let _ = decode(&body, &fallback());
        }
    }
}
