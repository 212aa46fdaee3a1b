//! What travels beside a job: kept, copied to results and dead letters, or stripped.

use std::collections::HashMap;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable, ShortString};
use serde_json::{Value, json};

use crate::edges_rig::{Rig, SOON, VOLCENGINE, job, text};
use crate::support::rabbit::{Delivered, Published, text_headers};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn headers(entries: &[(&str, &str)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), AMQPValue::LongString((*value).into()));
    }
    table
}

fn names(queues: &[&String]) -> AMQPValue {
    let names: Vec<_> = queues.iter().map(|name| AMQPValue::LongString(name.as_str().into())).collect();
    AMQPValue::FieldArray(FieldArray::from(names))
}

fn arguments(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    table
}

/// Without its headers, which are compared apart.
fn bare(message: &Delivered) -> BasicProperties {
    message.properties.clone().with_headers(FieldTable::default())
}

#[tokio::test]
async fn a_job_keeps_what_its_producer_sent_and_sheds_what_would_break_it() {
    let rig = Rig::start(VOLCENGINE).await;
    let [copies, blind, replies] = [
        rig.own_queue("", None, FieldTable::default()).await,
        rig.own_queue("", None, FieldTable::default()).await,
        rig.own_queue("", None, FieldTable::default()).await,
    ];
    let mut sent_headers = headers(&[("traceparent", TRACEPARENT), ("x-team", "live")]);
    sent_headers.insert("x-count".into(), AMQPValue::LongInt(7));
    let kept = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_priority(4)
        .with_correlation_id("corr".into())
        .with_reply_to(replies.as_str().into())
        .with_message_id("m-1".into())
        .with_timestamp(1_767_225_600)
        .with_type("dismiss".into())
        .with_app_id("bookings".into());
    let mut all_headers = sent_headers.clone();
    all_headers.insert("CC".into(), names(&[&copies]));
    all_headers.insert("BCC".into(), names(&[&blind]));
    let sent = kept.clone().with_user_id("guest".into()).with_expiration("600000".into()).with_headers(all_headers);
    let body = job("volcengine", "fail500x1-badparam-a");
    rig.submit(&body, sent).await;

    let result = rig.results(1).await.remove(0);
    let said = result.json();
    assert_eq!((text(&said, "job_id"), said["attempts"].as_u64()), ("m-1".to_owned(), Some(2)));
    let expected = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(2)
        .with_message_id("m-1".into())
        .with_correlation_id("corr".into())
        .with_type("dismiss.result.v1".into())
        .with_headers(headers(&[("outcome", "rejected"), ("provider", "volcengine"), ("traceparent", TRACEPARENT)]));
    assert_eq!(result.properties, expected);
    assert_eq!((result.exchange, result.routing_key), (rig.namespace.of("results"), "volcengine.rejected".to_owned()));

    let reply = rig.namespace.drain(&replies, 1, SOON).await.remove(0);
    assert_eq!((reply.json(), reply.properties), (said, expected));

    let dead = rig.dead(1).await.remove(0);
    assert_eq!(
        (dead.body.as_slice(), bare(&dead)),
        (body.as_slice(), kept.with_delivery_mode(2).with_headers(FieldTable::default()))
    );
    let shown = dead.properties.headers().clone().unwrap_or_default();
    for (name, value) in sent_headers.inner() {
        assert_eq!(shown.inner().get(name), Some(value), "{name}");
    }
    for stripped in ["CC", "BCC", "x-death", "x-first-death-queue"] {
        assert!(!shown.contains_key(stripped), "{stripped} in {shown:?}");
    }
    rig.is_empty().await;
    for queue in [copies, blind] {
        assert_eq!(rig.namespace.depth(&queue).await, Some(1), "fanned out by the producer only");
    }
}

/// Publishes a job for each of these rooms with its properties; the results by room.
async fn settled(rig: &Rig, jobs: &[(&str, BasicProperties)]) -> HashMap<String, Value> {
    for (room, properties) in jobs {
        rig.route("volcengine.bulk", &job("volcengine", room), properties.clone()).await;
    }
    rig.results_by_room(jobs.len()).await
}

#[tokio::test]
async fn odd_properties_harm_nobody() {
    let rig = Rig::start(VOLCENGINE).await;
    let text = |text: &str| AMQPValue::LongString(text.into());
    let full = [("x-max-length", AMQPValue::LongInt(1)), ("x-overflow", text("reject-publish"))];
    let full = rig.own_queue("", None, arguments(&full)).await;
    let filled = rig.namespace.publish("", &full, b"in the way", BasicProperties::default()).await;
    assert_eq!(filled, Published::Confirmed);

    let plain = BasicProperties::default();
    let headed = |name: &str, bytes: usize| plain.clone().with_headers(headers(&[(name, &"h".repeat(bytes))]));
    let jobs = [
        ("reply-to-nobody", plain.clone().with_reply_to("no-such-queue".into())),
        ("reply-to-full", plain.clone().with_reply_to(full.as_str().into())),
        ("fail500x1-huge-headers", headed("x-huge", 120_000)),
        // The largest that a frame can hold: a result that carried it would not fit into one.
        ("huge-trace", headed("traceparent", 130_900)),
        ("fail500x1-long-id", plain.clone().with_message_id("i".repeat(200).into())),
        ("fail500x1-no-id", plain.clone()),
        ("progress-made-up", headed("x-roomsweep-progress", 9)),
        ("not-persistent", plain.clone().with_expiration("600000".into())),
    ];
    let results = settled(&rig, &jobs).await;
    for (room, result) in &results {
        assert_eq!(result["outcome"], "dismissed", "{room}: {result}");
        assert_eq!(result["attempts"], if room.starts_with("fail") { 2 } else { 1 }, "{room}");
        let id = result["job_id"].as_str().and_then(|id| uuid::Uuid::parse_str(id).ok());
        assert_eq!(id.expect("a UUID").get_version_num(), 7, "{room}");
    }
    rig.is_empty().await;
}

#[tokio::test]
async fn the_job_id_of_the_body_beats_the_message_id() {
    let rig = Rig::start(VOLCENGINE).await;
    let body = json!({ "provider": "volcengine", "app_id": "app", "room_id": "badparam-a", "job_id": "of-body" });
    let properties = BasicProperties::default().with_message_id("of-message".into());
    rig.submit(body.to_string().as_bytes(), properties).await;
    let result = rig.results(1).await.remove(0);
    assert_eq!(result.json()["job_id"], "of-body");
    let ids = (result.properties.message_id().clone(), result.properties.correlation_id().clone());
    assert_eq!(ids, (Some("of-body".into()), Some("of-body".into())));
    let dead = rig.dead(1).await.remove(0);
    assert_eq!(dead.properties.message_id().as_ref().map(ShortString::as_str), Some("of-message"), "as it was sent");
    assert_eq!(text_headers(&dead.properties)["x-job-id"], "of-body");
}

#[tokio::test]
async fn a_job_that_waited_in_a_queue_of_the_producers_is_no_dead_one() {
    let rig = Rig::start(VOLCENGINE).await;
    let text = |text: String| AMQPValue::LongString(text.into());
    let delay = [
        ("x-message-ttl", AMQPValue::LongInt(50)),
        ("x-dead-letter-exchange", text(String::new())),
        ("x-dead-letter-routing-key", text(rig.namespace.of("jobs"))),
    ];
    let delay = rig.own_queue("", None, arguments(&delay)).await;
    let published =
        rig.namespace.publish("", &delay, &job("volcengine", "fail500x1-a"), BasicProperties::default()).await;
    assert_eq!(published, Published::Confirmed);
    let result = rig.results(1).await.remove(0).json();
    assert_eq!((&result["outcome"], &result["attempts"]), (&json!("dismissed"), &json!(2)));
}
