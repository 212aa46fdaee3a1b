//! From bytes to a job, refusing by field name: a misspelt `not_before` must not send early.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde_json::Value;

use super::ids::{self, AppId, BatchId, IdError, JobId, ProviderName, RoomId};
use super::job::{DismissJob, Lane, MAX_BODY, MAX_LABEL, MAX_LABELS, MAX_NOTE};
use super::members::Members;

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

/// What can be read of a job, whether it is one or not.
pub fn readable(body: &[u8]) -> Readable {
    read(body).0
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

#[cfg(test)]
#[path = "decode_properties.rs"]
mod properties;
#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
