//! The JSON Schemas (draft 2020-12) of the messages, for producers and consumers in other languages.
//!
//! Lengths count characters there and bytes in the model: what the schema takes may still be too long, never the reverse.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use crate::app::cli::out::say;
use crate::model::job::{Lane, MAX_LABEL, MAX_LABELS, MAX_NOTE};
use crate::model::progress::MAX_LOG;
use crate::model::result::Outcome;
use crate::model::verdict::{MAX_MESSAGE, VerdictLabel};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// No control characters.
const PRINTABLE: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";
/// The longest job or batch ID.
const ID: usize = 128;
/// The longest application, room or request ID.
const NAME: usize = 256;
/// The longest error code.
const CODE: usize = 128;

/// The schema of a job, as producers write it.
pub fn job() -> Value {
    let properties = json!({
        "provider": described(provider(), "Name of a configured provider."),
        "app_id": described(text(1, NAME), "The application at the provider; at most 256 bytes."),
        "room_id": described(text(1, NAME), "The room; at most 256 bytes."),
        "job_id": described(nullable(text(1, ID)), "At most 128 bytes; else the AMQP property message_id, else one is given."),
        "batch_id": described(nullable(text(1, ID)), "Groups jobs for progress and cancel; at most 128 bytes."),
        "batch_size": described(nullable(whole(0)), "How many jobs the batch has."),
        "lane": described(nullable(words(&Lane::ALL.map(Lane::as_str))), "Urgent jobs go first; bulk where absent."),
        "not_before": described(nullable(time()), "Never sent earlier."),
        "expires_at": described(nullable(time()), "Not sent at or after it."),
        "reason": described(nullable(text(0, MAX_NOTE)), "Copied into the result; at most 512 bytes."),
        "requested_by": described(nullable(text(0, MAX_NOTE)), "Copied into the result; at most 512 bytes."),
        "labels": described(nullable(labels()), "Copied into the result; names and values at most 128 bytes."),
    });
    message("dismiss.job.v1", "A room to dismiss", properties, json!(["provider", "app_id", "room_id"]))
}

/// The schema of a result, as it is published: every field is always there.
pub fn result() -> Value {
    let properties = json!({
        "job_id": text(1, ID),
        "batch_id": nullable(text(1, ID)),
        "provider": nullable(provider()),
        "app_id": nullable(text(1, NAME)),
        "room_id": nullable(text(1, NAME)),
        "lane": nullable(words(&Lane::ALL.map(Lane::as_str))),
        "outcome": words(&Outcome::ALL.map(Outcome::as_str)),
        "request_id": described(nullable(text(1, NAME)), "The last one that the provider gave."),
        "http_status": described(nullable(status()), "Of the last attempt."),
        "error": nullable(fault()),
        "attempts": described(whole(0), "Requests sent to the dismiss call."),
        "run": described(whole(1), "One more after each redrive."),
        "attempt_log": { "type": "array", "maxItems": MAX_LOG, "items": attempt() },
        "attempts_omitted": described(whole(0), "How many attempts the log no longer holds."),
        "received_at": time(),
        "settled_at": time(),
        "reason": nullable(text(0, MAX_NOTE)),
        "requested_by": nullable(text(0, MAX_NOTE)),
        "labels": labels(),
        "worker": described(json!({ "type": "string" }), "The replica that settled it."),
    });
    let required = names(&properties);
    let mut schema = message("dismiss.result.v1", "How a job ended", properties, required);
    // Only of what was no job may these be unknown.
    let known = json!({ "not": { "type": "null" } });
    schema["if"] = json!({ "properties": { "outcome": { "const": Outcome::Invalid.as_str() } } });
    schema["else"] = json!({ "properties": { "provider": known, "app_id": known, "room_id": known, "lane": known } });
    schema
}

fn message(name: &str, title: &str, properties: Value, required: Value) -> Value {
    let mut schema = object(properties, required);
    schema["$schema"] = DIALECT.into();
    schema["$id"] = format!("urn:roomsweep:{name}").into();
    schema["title"] = title.into();
    schema
}

fn object(properties: Value, required: Value) -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": required })
}

fn names(properties: &Value) -> Value {
    properties.as_object().into_iter().flat_map(Map::keys).cloned().collect()
}

fn attempt() -> Value {
    let properties = json!({
        "at": described(time(), "When the request was sent."),
        "verdict": words(&VerdictLabel::ALL.map(VerdictLabel::as_str)),
        "http_status": described(nullable(status()), "Null if no reply came."),
        "request_id": nullable(text(1, NAME)),
        "error": nullable(fault()),
        "duration_ms": whole(0),
    });
    let required = names(&properties);
    object(properties, required)
}

fn fault() -> Value {
    let part = |limit: usize| json!({ "type": "string", "maxLength": limit });
    object(json!({ "code": part(CODE), "message": part(MAX_MESSAGE) }), json!(["code", "message"]))
}

fn provider() -> Value {
    json!({ "type": "string", "pattern": "^[a-z0-9_-]{1,64}$", "minLength": 1, "maxLength": 64 })
}

fn labels() -> Value {
    json!({
        "type": "object",
        "maxProperties": MAX_LABELS,
        "propertyNames": text(1, MAX_LABEL),
        "additionalProperties": text(0, MAX_LABEL),
    })
}

fn text(min: usize, max: usize) -> Value {
    json!({ "type": "string", "minLength": min, "maxLength": max, "pattern": PRINTABLE })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn whole(minimum: u64) -> Value {
    json!({ "type": "integer", "minimum": minimum })
}

fn status() -> Value {
    json!({ "type": "integer", "minimum": 100, "maximum": 999 })
}

fn words(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

/// Null says the same as absent.
fn nullable(mut schema: Value) -> Value {
    schema["type"] = json!([schema["type"], "null"]);
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
    schema
}

fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = description.into();
    schema
}

/// Print the JSON Schema of a message.
///
/// Example:  roomsweep schema job > job.schema.json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Which message.
    #[arg(value_enum)]
    message: Message,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Message {
    /// What producers enqueue.
    Job,
    /// What is published for every job.
    Result,
}

pub fn run(args: &Args) -> ExitCode {
    let schema = match args.message {
        Message::Job => job(),
        Message::Result => result(),
    };
    say!("{schema:#}");
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests;
