//! Messages that the broker takes and no AMQP library reads: each harms only itself, in every queue that is read.

use lapin::BasicProperties;
use serde_json::Value;

use crate::edges_rig::{Rig, SOON, VOLCENGINE, base, job};
use crate::support::eventually;
use crate::support::process;
use crate::support::rabbit::URL;
use crate::support::raw::{MOST, Raw, RawClient, headers, long, property, short};

/// Properties that are short texts, by their places; the broker itself checks the expiration and the user.
const TEXTS: [(u32, &str); 8] = [
    (0, "content_type"),
    (1, "content_encoding"),
    (5, "correlation_id"),
    (6, "reply_to"),
    (8, "message_id"),
    (10, "type"),
    (12, "app_id"),
    (13, "cluster_id"),
];
const LATIN: &[u8] = b"caf\xe9-1";

fn entry(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&short(name)[..], value].concat()
}

/// One list for each place where bytes may stand that are no text, and the property that is at fault.
fn unreadable() -> Vec<(Vec<u8>, &'static str)> {
    let texts = TEXTS.iter().map(|(place, name)| (property(*place, &short(LATIN)), *name));
    let inside = entry(b"a", &[b"F", &long(&entry(LATIN, b"V"))[..]].concat());
    let listed = entry(b"b", &[b"A", &long(&[b"F", &long(&entry(b"\xff\xfe", b"V"))[..]].concat())[..]].concat());
    let tables = [entry(LATIN, b"V"), inside, listed].map(|entries| (headers(&entries), "headers"));
    texts.chain(tables).collect()
}

fn named(room: &str) -> Vec<u8> {
    let job = serde_json::json!({ "provider": "volcengine", "app_id": "app", "room_id": room, "job_id": room });
    job.to_string().into_bytes()
}

async fn letters(rig: &Rig, client: &mut RawClient, many: usize) -> Vec<Raw> {
    rig.holds("dead", u32::try_from(many).expect("few")).await;
    let mut letters = Vec::new();
    while let Some(letter) = client.take(&rig.namespace.of("dead")).await {
        letters.push(letter);
    }
    letters
}

/// Whether the worker lost its connection.
fn lost(rig: &Rig) -> bool {
    rig.worker.log().contains("trying again")
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_buried_as_it_came_and_nothing_else_waits() {
    let rig = Rig::start(VOLCENGINE).await;
    let mut client = RawClient::connect().await;
    let cases = unreadable();
    let lane = |key: &str| rig.namespace.of(&format!("jobs.volcengine.{key}"));
    let queues =
        [rig.namespace.of("jobs"), rig.namespace.of("ended"), lane("bulk"), lane("urgent"), lane("bulk.retry")];
    for (nth, (list, _)) in cases.iter().enumerate() {
        for (queue, key) in queues.iter().zip(["jobs", "ended", "bulk", "urgent", "retry"]) {
            client.publish("", queue.as_bytes(), list, &named(&format!("bad-{nth}-{key}"))).await;
        }
        rig.rooms("volcengine", &[&format!("good-{nth}")]).await;
    }
    let bad = cases.len() * queues.len();
    let results = rig.results_by_room(bad + cases.len()).await;
    for (nth, (_, property)) in cases.iter().enumerate() {
        assert_eq!(results[&format!("good-{nth}")]["outcome"], "dismissed");
        for key in ["jobs", "ended", "bulk", "urgent", "retry"] {
            let room = format!("bad-{nth}-{key}");
            let result = &results[&room];
            let said = [&result["outcome"], &result["error"]["code"], &result["job_id"], &result["attempts"]];
            assert_eq!(said, [&Value::from("invalid"), &"invalid_job".into(), &room.as_str().into(), &0.into()]);
            let message = result["error"]["message"].as_str().expect("a message");
            assert!(message.starts_with(&format!("{property}: ")), "{property}: {message}");
        }
    }
    let letters = letters(&rig, &mut client, bad).await;
    for (nth, (list, property)) in cases.iter().enumerate() {
        for key in ["jobs", "ended", "bulk", "urgent", "retry"] {
            let body = named(&format!("bad-{nth}-{key}"));
            let letter = letters.iter().find(|letter| letter.body == body).expect("a letter");
            let original = if *property == "headers" { &list[6..] } else { &list[2..] };
            assert!(letter.has(original) && letter.has(b"x-outcome"), "{property}: {letter:?}");
        }
    }
    assert!(!lost(&rig), "{}", rig.worker.log());
    rig.is_empty().await;
}

#[tokio::test]
async fn a_thousand_unreadable_messages_hold_up_no_good_job() {
    let rig = Rig::start(VOLCENGINE).await;
    let mut client = RawClient::connect().await;
    let lane = rig.namespace.of("jobs.volcengine.bulk");
    for nth in 0..1_000 {
        client.publish("", lane.as_bytes(), &property(5, &short(LATIN)), &named(&format!("bad-{nth}"))).await;
        client.publish("", lane.as_bytes(), &property(5, &short(b"fine")), &named(&format!("good-{nth}"))).await;
    }
    let results = rig.results_by_room(2_000).await;
    let of = |outcome: &str| results.values().filter(|result| result["outcome"] == outcome).count();
    assert_eq!((of("dismissed"), of("invalid")), (1_000, 1_000));
    assert!(results.values().filter(|result| result["outcome"] == "dismissed").all(|result| result["attempts"] == 1));
    rig.holds("dead", 1_000).await;
    assert!(!lost(&rig));
}

#[tokio::test]
async fn a_job_without_an_id_is_told_apart_by_what_can_be_read_of_its_message_id() {
    let rig = Rig::start(VOLCENGINE).await;
    let mut client = RawClient::connect().await;
    let jobs = rig.namespace.of("jobs");
    client.publish("", jobs.as_bytes(), &property(8, &short(LATIN)), &job("volcengine", "a")).await;
    client.publish("", jobs.as_bytes(), &property(12, &short(LATIN)), b"no job").await;
    let mut results: Vec<_> = rig.results(2).await.iter().map(|result| result.json()).collect();
    results.sort_by_key(|result| result["room_id"].is_null());
    assert_eq!(results[0]["job_id"], "caf?-1");
    assert_eq!(results[1]["error"]["message"], "app_id: is not UTF-8 (byte 3)");
}

#[tokio::test]
async fn a_routing_key_that_is_no_text_is_no_fault_of_the_job() {
    let rig = Rig::start(VOLCENGINE).await;
    let mut client = RawClient::connect().await;
    client.publish(&rig.namespace.of("jobs"), LATIN, &property(8, &short(b"id")), &job("volcengine", "a")).await;
    let result = rig.results(1).await.remove(0).json();
    assert_eq!((&result["outcome"], &result["job_id"]), (&"dismissed".into(), &"id".into()));
    assert!(!lost(&rig));
}

#[tokio::test]
async fn headers_that_outgrow_a_frame_on_their_way_are_no_fault_of_the_job() {
    let rig = Rig::start(VOLCENGINE).await;
    let mut client = RawClient::connect().await;
    let jobs = rig.namespace.of("jobs");
    let filling = |name: &[u8], size: usize| entry(name, &[b"S", &long(&vec![b'z'; size])[..]].concat());
    let full = MOST - 6 - filling(b"k", 0).len();
    client.publish("", jobs.as_bytes(), &headers(&filling(b"k", full)), &named("large")).await;
    let broken = [entry(LATIN, b"V"), filling(b"k", full - LATIN.len() - 2)].concat();
    client.publish("", jobs.as_bytes(), &headers(&broken), &named("large-and-broken")).await;
    rig.rooms("volcengine", &["after"]).await;
    let results = rig.results_by_room(3).await;
    let outcome = |room: &str| results[room]["outcome"].as_str().expect("an outcome");
    assert_eq!(
        [outcome("large"), outcome("large-and-broken"), outcome("after")],
        ["dismissed", "invalid", "dismissed"]
    );
    assert!(letters(&rig, &mut client, 1).await[0].has(LATIN));
    assert!(!lost(&rig), "{}", rig.worker.log());
}

#[tokio::test]
async fn the_lead_and_the_ledger_outlive_what_they_cannot_read() {
    let rig = Rig::start(&format!("{VOLCENGINE}\n[ledger]\nurl = 'sqlite://ledger.db'\n")).await;
    let mut client = RawClient::connect().await;
    eventually("a lead", SOON, || async { rig.worker.log().contains("active sender").then_some(()) }).await;
    for queue in ["lead.volcengine", "ledger"] {
        client
            .publish("", rig.namespace.of(queue).as_bytes(), &property(8, &short(LATIN)), b"neither job nor result")
            .await;
    }
    rig.rooms("volcengine", &["after"]).await;
    assert_eq!(rig.results(1).await.remove(0).json()["outcome"], "dismissed");
    let letters = letters(&rig, &mut client, 1).await;
    assert!(letters[0].has(LATIN) && letters[0].has(b"not a result"), "{letters:?}");
    rig.holds("ledger", 0).await;
    assert!(!lost(&rig), "{}", rig.worker.log());
}

#[tokio::test]
async fn the_commands_show_an_unreadable_letter_and_purge_it_and_do_not_redrive_it() {
    let rig = Rig::start(VOLCENGINE).await;
    let mut client = RawClient::connect().await;
    let dead = rig.namespace.of("dead");
    client.publish("", rig.namespace.of("jobs").as_bytes(), &property(8, &short(LATIN)), &named("bad")).await;
    rig.holds("dead", 1).await;
    // As somebody else may put it there.
    client.publish("", dead.as_bytes(), &headers(&entry(LATIN, b"V")), &named("foreign")).await;
    let configuration =
        base(URL, rig.namespace.name(), rig.admin) + &VOLCENGINE.replace("ENDPOINT", "http://127.0.0.1:9");
    let run = |arguments: &[&str]| process::run(&[&["dead"], arguments].concat(), &configuration, &[]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();

    let list = run(&["list", "--json"]);
    assert_eq!(text(&list.stdout).lines().count(), 2, "{}", text(&list.stderr));
    let shown = run(&["show", "bad", "--json"]);
    let shown: Value = serde_json::from_str(&text(&shown.stdout)).expect("a letter");
    assert_eq!(shown["outcome"], "invalid");
    assert_eq!(shown["properties"]["unreadable"]["fault"], "message_id: is not UTF-8 (byte 3)");
    assert_eq!(shown["properties"]["message_id"], "caf?-1");

    let redriven = run(&["redrive", "--yes"]);
    assert!(text(&redriven.stderr).contains("2 unreadable"), "{}{}", text(&redriven.stdout), text(&redriven.stderr));
    rig.holds("dead", 2).await;
    let letter = client.take(&dead).await.expect("a letter");
    assert!(letter.has(LATIN), "as it was: {letter:?}");
    let purged = run(&["purge", "--yes"]);
    assert!(purged.status.success(), "{}", text(&purged.stderr));
    rig.holds("dead", 0).await;
}

#[tokio::test]
async fn what_a_queue_throws_out_for_a_limit_of_its_own_is_sent_all_the_same() {
    let rig = Rig::start(VOLCENGINE).await;
    // A queue of jobs as an operator's policy would make it: a lane of a provider that this worker does not know.
    let queue = rig.namespace.of("jobs.elsewhere.bulk");
    let text = |value: &str| lapin::types::AMQPValue::LongString(value.into());
    let mut arguments = lapin::types::FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-dead-letter-exchange".into(), text(&rig.namespace.of("intake")));
    arguments.insert("x-message-ttl".into(), lapin::types::AMQPValue::LongInt(1_000));
    let options =
        lapin::options::QueueDeclareOptions { durable: true, ..lapin::options::QueueDeclareOptions::default() };
    let channel = rig.namespace.channel().await;
    channel.queue_declare(queue.as_str().into(), options, arguments).await.expect("declared");
    for (room, expiration) in [("kept", None), ("ended", Some("200"))] {
        let properties = BasicProperties::default();
        let properties = match expiration {
            Some(expiration) => properties.with_expiration(expiration.into()),
            None => properties,
        };
        rig.namespace.publish("", &queue, &job("volcengine", room), properties).await;
    }
    let results = rig.results_by_room(2).await;
    let outcomes = ["kept", "ended"].map(|room| results[room]["outcome"].as_str().expect("an outcome"));
    assert_eq!(outcomes, ["dismissed", "expired"]);
    let log = rig.worker.log();
    assert!(log.contains("a policy with message-ttl applies to this queue") && log.contains(&queue), "{log}");
    rig.is_empty().await;
}
