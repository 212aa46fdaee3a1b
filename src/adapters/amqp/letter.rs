//! Between a message in the dead queue and a [`DeadLetter`].

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::message::{self, ERROR, JOB_ID, LAST_RUN, OUTCOME, SETTLED_AT};
use super::wire::Original;
use crate::model::dead::{DeadLetter, Mark};
use crate::model::ids::JobId;
use crate::model::result::Outcome;
use crate::ports::broker::Message;

/// The broker counts anew with each delivery: no part of what tells letters apart. The last run is shown by itself.
const LEFT_OUT: [&str; 3] = ["x-delivery-count", "x-acquired-count", LAST_RUN];

pub fn read(body: Vec<u8>, original: &Original) -> DeadLetter {
    let properties = &original.readable;
    let header = |name: &str| message::header(properties, name);
    let given = || properties.message_id().as_ref().map(ToString::to_string);
    let outcome = header(OUTCOME);
    let mut all = shown(properties);
    if let Some(unreadable) = &original.unreadable {
        let bytes = BASE64_STANDARD.encode(unreadable.bytes_without(&LEFT_OUT));
        all["unreadable"] = json!({ "fault": unreadable.fault, "property_list_base64": bytes });
    }
    DeadLetter {
        mark: mark(&body, &all),
        body,
        job_id: header(JOB_ID).or_else(given).and_then(|id| JobId::parse(id).ok()),
        outcome: Outcome::ALL.into_iter().find(|known| Some(known.as_str()) == outcome.as_deref()),
        error: header(ERROR).unwrap_or_default(),
        settled_at: header(SETTLED_AT).and_then(|time| time.parse().ok()),
        last_run: header(LAST_RUN).and_then(|json| serde_json::from_str(&json).ok()),
        properties: all,
        unreadable: original.unreadable.as_ref().map(|unreadable| unreadable.fault.clone()),
    }
}

/// As a message that is a job again. It keeps its producer's message ID; a job without one keeps the one it was given.
pub fn revived(letter: &DeadLetter, original: &Original, namespace: &str) -> Message {
    let mut message = message::read(letter.body.clone(), original, namespace);
    let is_usable = |id: &String| JobId::parse(id.as_str()).is_ok();
    let given = message.message_id.take().filter(is_usable);
    message.message_id = given.or_else(|| letter.job_id.as_ref().map(|id| id.as_str().to_owned()));
    message
}

fn mark(body: &[u8], properties: &Value) -> Mark {
    let mut hasher = Sha256::new();
    hasher.update((body.len() as u64).to_be_bytes());
    hasher.update(body);
    hasher.update(properties.to_string());
    let hash = hasher.finalize();
    Mark(hash.iter().take(16).fold(0, |mark, byte| mark << 8 | u128::from(*byte)))
}

fn shown(properties: &BasicProperties) -> Value {
    let text = |value: &Option<lapin::types::ShortString>| value.as_ref().map(ToString::to_string);
    let all = json!({
        "message_id": text(properties.message_id()),
        "correlation_id": text(properties.correlation_id()),
        "reply_to": text(properties.reply_to()),
        "content_type": text(properties.content_type()),
        "content_encoding": text(properties.content_encoding()),
        "type": text(properties.kind()),
        "app_id": text(properties.app_id()),
        "priority": properties.priority(),
        "timestamp": properties.timestamp(),
        "headers": properties.headers().as_ref().map(table),
    });
    match all {
        Value::Object(members) => members.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        other => other,
    }
}

fn table(headers: &FieldTable) -> Value {
    let kept = headers.inner().iter().filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()));
    Value::Object(kept.map(|(name, value)| (name.to_string(), plain(value))).collect())
}

fn plain(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Boolean(value) => (*value).into(),
        AMQPValue::ShortShortInt(value) => (*value).into(),
        AMQPValue::ShortShortUInt(value) => (*value).into(),
        AMQPValue::ShortInt(value) => (*value).into(),
        AMQPValue::ShortUInt(value) => (*value).into(),
        AMQPValue::LongInt(value) => (*value).into(),
        AMQPValue::LongUInt(value) => (*value).into(),
        AMQPValue::LongLongInt(value) => (*value).into(),
        AMQPValue::Float(value) => (*value).into(),
        AMQPValue::Double(value) => (*value).into(),
        AMQPValue::DecimalValue(value) => format!("{value:?}").into(),
        AMQPValue::ShortString(text) => text.as_str().into(),
        AMQPValue::LongString(text) => text.to_string().into(),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(plain).collect(),
        AMQPValue::Timestamp(value) => (*value).into(),
        AMQPValue::FieldTable(headers) => table(headers),
        AMQPValue::ByteArray(bytes) => String::from_utf8_lossy(bytes.as_slice()).into_owned().into(),
        AMQPValue::Void => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(headers: &[(&str, AMQPValue)]) -> Original {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), value.clone());
        }
        BasicProperties::default().with_message_id("given".into()).with_headers(table).into()
    }

    fn text(value: &str) -> AMQPValue {
        AMQPValue::LongString(value.into())
    }

    #[test]
    fn a_letter_of_an_earlier_version_is_read_as_far_as_it_goes() {
        let letter = read(b"x".to_vec(), &with(&[(OUTCOME, text("rejected")), (JOB_ID, text("j"))]));
        assert_eq!((letter.job_id.unwrap().as_str(), letter.outcome), ("j", Some(Outcome::Rejected)));
        assert_eq!((letter.settled_at, letter.last_run, letter.error.as_str()), (None, None, ""));
        let foreign = read(b"x".to_vec(), &with(&[]));
        assert_eq!((foreign.job_id.unwrap().as_str(), foreign.outcome), ("given", None));
    }

    #[test]
    fn a_letter_keeps_its_mark_from_one_delivery_to_the_next_and_another_has_another() {
        let mark = |body: &[u8], headers: &[(&str, AMQPValue)]| read(body.to_vec(), &with(headers)).mark;
        let counted = |count| ("x-delivery-count", AMQPValue::LongLongInt(count));
        let one = mark(b"x", &[("tenant", text("blue")), counted(1)]);
        assert_eq!(one, mark(b"x", &[counted(2), ("tenant", text("blue"))]));
        assert_ne!(one, mark(b"y", &[("tenant", text("blue"))]));
        assert_ne!(one, mark(b"x", &[("tenant", text("red"))]));
    }

    #[test]
    fn a_revived_job_keeps_the_id_that_it_had() {
        let check = |message_id: &str, expected: &str| {
            let properties = with(&[(JOB_ID, text("j"))]).readable.with_message_id(message_id.into());
            let original = Original::from(properties);
            let message = revived(&read(b"x".to_vec(), &original), &original, "dismiss");
            assert_eq!(message.message_id.as_deref(), Some(expected));
        };
        check("given", "given");
        check("", "j");
        check(&"x".repeat(200), "j");
    }
}
