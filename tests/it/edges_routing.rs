//! Where a job goes: the body decides, whatever queue it came by.

use lapin::BasicProperties;
use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use serde_json::json;

use crate::edges_rig::{HUAWEI, Rig, SOON, VOLCENGINE, job, text};

#[tokio::test]
async fn the_body_beats_the_routing_key() {
    let rig = Rig::start(&[VOLCENGINE, HUAWEI].concat()).await;
    let body = |provider: &str, lane: &str| {
        json!({ "provider": provider, "app_id": "app", "room_id": format!("{provider}-{lane}"), "lane": lane })
            .to_string()
    };
    let jobs = [("huawei", "bulk"), ("huawei", "urgent"), ("volcengine", "urgent"), ("volcengine", "bulk")];
    for (provider, lane) in jobs {
        rig.route("volcengine.bulk", body(provider, lane).as_bytes(), BasicProperties::default()).await;
    }
    // Keys that no queue is bound to, and the retry queue's own.
    rig.route("volcengine", &job("huawei", "by-half-a-key"), BasicProperties::default()).await;
    rig.route("huawei.urgent.retry", &job("volcengine", "by-a-retry-key"), BasicProperties::default()).await;

    let results = rig.results_by_room(jobs.len() + 2).await;
    for (provider, lane) in jobs {
        let result = &results[&format!("{provider}-{lane}")];
        let found = ["provider", "lane", "outcome"].map(|field| text(result, field));
        assert_eq!(found, [provider, lane, "dismissed"]);
    }
    assert_eq!(text(&results["by-half-a-key"], "provider"), "huawei");
    assert_eq!(text(&results["by-a-retry-key"], "lane"), "bulk");
    rig.is_empty().await;
}

#[tokio::test]
async fn a_job_of_another_replicas_provider_is_passed_on() {
    let rig = Rig::start(VOLCENGINE).await;
    let lane = rig.namespace.of("jobs.elsewhere.bulk");
    let channel = rig.namespace.channel().await;
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(lane.as_str().into(), options, FieldTable::default()).await.expect("declared");
    let (queue, exchange) = (lane.as_str().into(), rig.namespace.of("jobs").into());
    let (options, none) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(queue, exchange, "elsewhere.bulk".into(), options, none).await.expect("bound");

    let named = |id: &str| BasicProperties::default().with_message_id(id.into());
    rig.submit(&job("elsewhere", "a"), named("by-intake")).await;
    rig.route("volcengine.urgent", &job("elsewhere", "b"), named("by-lane")).await;
    let mut passed = rig.namespace.drain(&lane, 2, SOON).await;
    passed.sort_by_key(|job| job.body.clone());
    assert_eq!(
        passed.iter().map(|job| job.body.clone()).collect::<Vec<_>>(),
        [job("elsewhere", "a"), job("elsewhere", "b")]
    );
    assert_eq!(passed[1].properties.message_id(), &Some("by-lane".into()));

    // Its urgent lane exists nowhere.
    let urgent = json!({ "provider": "elsewhere", "app_id": "app", "room_id": "c", "lane": "urgent" }).to_string();
    rig.submit(urgent.as_bytes(), BasicProperties::default()).await;
    let result = rig.results(1).await.remove(0);
    assert_eq!(
        (result.routing_key.as_str(), &result.json()["error"]["code"]),
        ("unknown.invalid", &json!("unknown_provider"))
    );
    rig.dead(1).await;
    rig.is_empty().await;
}

#[tokio::test]
async fn a_retired_provider_settles_what_its_lanes_hold() {
    let rig = Rig::start(&[VOLCENGINE, HUAWEI, "retired = true\n"].concat()).await;
    rig.submit(&job("huawei", "a"), BasicProperties::default()).await;
    rig.route("huawei.urgent", &job("huawei", "b"), BasicProperties::default()).await;
    rig.rooms("volcengine", &["c"]).await;
    let results = rig.results_by_room(3).await;
    for room in ["a", "b"] {
        let (outcome, error) = (&results[room]["outcome"], &results[room]["error"]);
        assert_eq!((outcome, &error["code"]), (&json!("rejected"), &json!("provider_retired")));
        assert_eq!(
            (text(error, "message").as_str(), &results[room]["attempts"]),
            ("provider: huawei is retired", &json!(0))
        );
    }
    assert_eq!(results["c"]["outcome"], "dismissed");
    rig.dead(2).await;
    assert_eq!(rig.sandbox.stats().await["requests"], 1);
}

#[tokio::test]
async fn results_without_a_queue_reach_whoever_bound_one() {
    let rig = Rig::start(&[VOLCENGINE, "[results]\nqueue = false\n"].concat()).await;
    assert_eq!(rig.namespace.depth(&rig.namespace.of("results")).await, None);
    rig.rooms("volcengine", &["nobody-hears"]).await;
    let settled = r#"roomsweep_jobs_settled_total{lane="bulk",outcome="dismissed",provider="volcengine"} 1"#;
    rig.shown(settled).await;
    let mine = rig.own_queue("results", Some("*.already_gone"), FieldTable::default()).await;
    rig.rooms("volcengine", &["heard", "gone-heard"]).await;
    let heard = rig.namespace.drain(&mine, 1, SOON).await.remove(0);
    assert_eq!(
        (heard.routing_key.as_str(), text(&heard.json(), "room_id")),
        ("volcengine.already_gone", "gone-heard".to_owned())
    );
}
