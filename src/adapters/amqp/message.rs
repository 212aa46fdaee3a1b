//! Between AMQP properties and a [`Message`].

use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};

use super::topology::RUNGS;
use super::wire::Original;
use crate::model::progress::Progress;
use crate::model::result::{DismissResult, Outcome};
use crate::ports::broker::{JobTime, Message, QueueEnding, QueueLimit};

/// Carries a job's progress between attempts.
const PROGRESS: &str = "x-roomsweep-progress";
/// What a dead letter says of itself. Its progress has a name of its own: somebody who moves the letter back by hand
/// wants it to start afresh.
pub const OUTCOME: &str = "x-outcome";
pub const ERROR: &str = "x-error";
pub const JOB_ID: &str = "x-job-id";
pub const SETTLED_AT: &str = "x-settled-at";
pub const LAST_RUN: &str = "x-last-run";
/// Never carried on: what the broker notes of a message on its way, and what we do.
const OURS: [&str; 10] = [
    "CC",
    "BCC",
    "x-delivery-count",
    "x-opt-rabbitmq-received-time",
    PROGRESS,
    OUTCOME,
    ERROR,
    JOB_ID,
    SETTLED_AT,
    LAST_RUN,
];
/// Headers over about 128 KiB make the broker close the connection; ours stay far below that.
const MAX_PROGRESS: usize = 48 * 1024;
/// Foreign headers above this are left behind when a job is published on.
const MAX_FOREIGN: usize = 64 * 1024;
/// A longer one is none, and would not fit beside the other properties of a result.
const MAX_TRACEPARENT: usize = 256;
const PERSISTENT: u8 = 2;

/// Reads what came with a job.
pub fn read(body: Vec<u8>, original: &Original, namespace: &str) -> Message {
    let properties = &original.readable;
    let text = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string).filter(|text| !text.is_empty());
    Message {
        body: body.into(),
        message_id: text(properties.message_id()),
        correlation_id: text(properties.correlation_id()),
        reply_to: text(properties.reply_to()),
        traceparent: header(properties, "traceparent").filter(|text| text.len() <= MAX_TRACEPARENT),
        progress: header(properties, PROGRESS).and_then(|json| Progress::read(&json)),
        ended: ended(properties, namespace),
        unreadable: original.unreadable.as_ref().map(|unreadable| unreadable.fault.clone()),
    }
}

/// A text header.
pub fn header(properties: &BasicProperties, name: &str) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

/// Why the broker gave up on a job, by the newest entry of its death record. Only a death in a queue of jobs is one: the
/// wait ladder hands jobs back by expiry, and so does a queue in which a producer let its job wait. A message that had an
/// expiration of its own is known by the entry, which keeps it; our queues have no time limit and no length limit, so that
/// all else comes of a policy.
fn ended(properties: &BasicProperties, namespace: &str) -> Option<QueueEnding> {
    let headers = properties.headers().as_ref()?;
    let AMQPValue::FieldArray(deaths) = headers.inner().get("x-death")? else { return None };
    let AMQPValue::FieldTable(death) = deaths.as_slice().first()? else { return None };
    let entry = |name: &str| match death.inner().get(name) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        Some(AMQPValue::ShortString(text)) => text.to_string(),
        _ => String::new(),
    };
    let queue = entry("queue");
    let rest = queue.strip_prefix(namespace).and_then(|rest| rest.strip_prefix(".jobs"))?;
    if !rest.is_empty() && !rest.starts_with('.') {
        return None;
    }
    match entry("reason").as_str() {
        "delivery_limit" => Some(QueueEnding::DeliveryLimit),
        "expired" if death.inner().contains_key("original-expiration") => Some(QueueEnding::Expiration),
        "expired" => Some(QueueEnding::Evicted { queue, limit: QueueLimit::Time }),
        "maxlen" => Some(QueueEnding::Evicted { queue, limit: QueueLimit::Length }),
        _ => None,
    }
}

/// The properties with which a job is published on: the producer's own, cleaned of what would drop, break or fan it
/// out (`user_id`, `expiration`, `CC`, `BCC`, `x-death`), with its progress and a message ID.
pub fn onward(original: &BasicProperties, message: &Message) -> BasicProperties {
    let mut headers = foreign(original);
    if let Some(progress) = &message.progress {
        headers.insert(PROGRESS.into(), text(encode(progress.clone())));
    }
    travelling(original, message, headers)
}

/// The properties of a dead letter: the producer's own, and why it is here.
pub fn dead(original: &Original, message: &Message, result: &DismissResult) -> BasicProperties {
    let error = result.error.as_ref().map_or_else(String::new, |error| format!("{}: {}", error.code, error.message));
    let notes = [
        (OUTCOME, result.outcome.as_str().to_owned()),
        (ERROR, error),
        (JOB_ID, result.job_id.as_str().to_owned()),
        (SETTLED_AT, result.settled_at.to_string()),
        (LAST_RUN, encode(result.progress())),
    ];
    match &original.unreadable {
        None => travelling(&original.readable, message, noted(&original.readable, &notes)),
        Some(unreadable) => unreadable.kept(is_ours, &notes),
    }
}

/// The properties of a result that the ledger did not take, among the dead letters.
pub fn unkept(original: &Original, why: &str) -> BasicProperties {
    let mut notes = vec![(OUTCOME, Outcome::Invalid.as_str().to_owned()), (ERROR, why.to_owned())];
    notes.extend(original.readable.message_id().as_ref().map(|id| (JOB_ID, id.to_string())));
    match &original.unreadable {
        None => carried(&original.readable).with_headers(noted(&original.readable, &notes)),
        Some(unreadable) => unreadable.kept(is_ours, &notes),
    }
}

fn noted(original: &BasicProperties, notes: &[(&str, String)]) -> FieldTable {
    let mut headers = foreign(original);
    for (name, note) in notes {
        headers.insert((*name).into(), text(note.as_str()));
    }
    headers
}

fn text(value: impl Into<LongString>) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn travelling(original: &BasicProperties, message: &Message, headers: FieldTable) -> BasicProperties {
    let properties = carried(original).with_headers(headers);
    match &message.message_id {
        Some(id) => properties.with_message_id(id.as_str().into()),
        None => properties,
    }
}

/// The properties of a result.
pub fn result(message: &Message, result: &DismissResult) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert("outcome".into(), text(result.outcome.as_str()));
    if let Some(provider) = &result.provider {
        headers.insert("provider".into(), text(provider.as_str()));
    }
    if let Some(traceparent) = &message.traceparent {
        headers.insert("traceparent".into(), text(traceparent.as_str()));
    }
    let correlation = message.correlation_id.as_deref().unwrap_or(result.job_id.as_str());
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(result.job_id.as_str().into())
        .with_correlation_id(correlation.into())
        .with_type("dismiss.result.v1".into())
        .with_headers(headers)
}

/// The properties of a new job.
pub fn fresh(job_id: &str) -> BasicProperties {
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(job_id.into())
}

/// The properties of a message that only shows that it is stored, and is then gone.
pub fn proof() -> BasicProperties {
    let milliseconds = "1";
    BasicProperties::default().with_delivery_mode(PERSISTENT).with_expiration(milliseconds.into())
}

fn carried(original: &BasicProperties) -> BasicProperties {
    let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    if let Some(value) = original.content_type() {
        properties = properties.with_content_type(value.clone());
    }
    if let Some(value) = original.content_encoding() {
        properties = properties.with_content_encoding(value.clone());
    }
    if let Some(value) = original.priority() {
        properties = properties.with_priority(*value);
    }
    if let Some(value) = original.correlation_id() {
        properties = properties.with_correlation_id(value.clone());
    }
    if let Some(value) = original.reply_to() {
        properties = properties.with_reply_to(value.clone());
    }
    if let Some(value) = original.message_id() {
        properties = properties.with_message_id(value.clone());
    }
    if let Some(value) = original.timestamp() {
        properties = properties.with_timestamp(*value);
    }
    if let Some(value) = original.kind() {
        properties = properties.with_type(value.clone());
    }
    if let Some(value) = original.app_id() {
        properties = properties.with_app_id(value.clone());
    }
    properties
}

/// The producer's headers that may travel on.
fn foreign(original: &BasicProperties) -> FieldTable {
    let mut kept = FieldTable::default();
    let mut size = 0;
    for (name, value) in original.headers().iter().flat_map(|headers| headers.inner()) {
        if is_ours(name.as_str()) {
            continue;
        }
        size += name.as_str().len() + weight(value);
        if size > MAX_FOREIGN {
            tracing::warn!(header = %name, "headers too large to be carried on; the rest of them is left behind");
            break;
        }
        kept.insert(name.clone(), value.clone());
    }
    kept
}

/// Whether a header is the broker's or our own.
fn is_ours(name: &str) -> bool {
    OURS.contains(&name) || name.ends_with("-death") || name.contains("-death-")
}

/// About how many bytes a header value takes on the wire.
fn weight(value: &AMQPValue) -> usize {
    match value {
        AMQPValue::LongString(text) => 5 + text.as_bytes().len(),
        AMQPValue::ShortString(text) => 2 + text.as_str().len(),
        AMQPValue::ByteArray(bytes) => 5 + bytes.as_slice().len(),
        AMQPValue::FieldArray(values) => 5 + values.as_slice().iter().map(weight).sum::<usize>(),
        AMQPValue::FieldTable(table) => {
            5 + table.inner().iter().map(|(name, value)| 1 + name.as_str().len() + weight(value)).sum::<usize>()
        }
        _ => 9,
    }
}

/// Progress as JSON, its oldest attempts left out where it would be too large for a header.
fn encode(mut progress: Progress) -> String {
    loop {
        let json = serde_json::to_string(&progress).unwrap_or_default();
        if json.len() <= MAX_PROGRESS || progress.log.is_empty() {
            return json;
        }
        progress.shorten(progress.log.len() - 1);
    }
}

/// Where on the wait ladder a job goes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hop {
    /// Nothing is left to wait for.
    Now,
    /// The largest rung that is not too long, in milliseconds; the smallest one for what is left at the end.
    Wait(u32),
}

/// Decides the next hop of a job that has `left` to wait.
pub fn hop(left: Duration) -> Hop {
    if left.is_zero() {
        return Hop::Now;
    }
    let fits = RUNGS.iter().rev().find(|&&rung| Duration::from_millis(rung.into()) <= left);
    Hop::Wait(fits.copied().unwrap_or(RUNGS[0]))
}

/// The next hop of a job, and how long it waits from now on. Its progress is left with what is to come after that hop: the
/// rung is ridden whatever clocks show meanwhile, while the job's own time is looked at again by the clock of whoever gets
/// it then.
pub fn step(progress: &mut Progress, time: JobTime) -> (Hop, Duration) {
    let left = progress.wait().max(time.left());
    let hop = hop(left);
    if let Hop::Wait(rung) = hop {
        progress.wait_ms = progress.wait_ms.saturating_sub(rung.into());
    }
    (hop, left)
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
