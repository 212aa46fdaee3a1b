//! Each trouble of a cloud ends a job, or suspends the provider, as the contract says.

use std::collections::HashSet;

use lapin::BasicProperties;
use serde_json::{Value, json};

use crate::edges_rig::{HUAWEI, Rig, SOON, VOLCENGINE, job, text};
use crate::flow::evidence::waiting_jobs;
use crate::support::{eventually, http};

/// A room, how its job ends, and the verdicts of its attempts.
type Case = (&'static str, &'static str, &'static [&'static str]);

const THRICE: &[&str] = &["transient", "transient", "transient"];
const CASES: &[Case] = &[
    ("plain", "dismissed", &["dismissed"]),
    ("gone-a", "already_gone", &["already_gone"]),
    ("badparam-a", "rejected", &["rejected"]),
    ("fail500-a", "exhausted", THRICE),
    ("fail503x2-a", "dismissed", &["transient", "transient", "dismissed"]),
    ("garbage-a", "exhausted", THRICE),
    ("error200-a", "exhausted", THRICE),
    ("reset-a", "exhausted", THRICE),
    ("close-a", "exhausted", THRICE),
    ("hangx1-a", "dismissed", &["transient", "dismissed"]),
    ("throttled2-a", "dismissed", &["throttled", "throttled", "dismissed"]),
    ("throttled1-fail500x2-b", "dismissed", &["throttled", "transient", "transient", "dismissed"]),
    ("foreign-a", "rejected", &["rejected"]),
    ("after-all-of-them", "dismissed", &["dismissed"]),
];

async fn check(rig: &Rig, provider: &str, (room, outcome, verdicts): &Case, result: &Value) {
    let at = format!("{provider} {room}: {result}");
    assert_eq!(result["outcome"], *outcome, "{at}");
    let log = result["attempt_log"].as_array().unwrap();
    assert_eq!(log.iter().map(|attempt| text(attempt, "verdict")).collect::<Vec<_>>(), *verdicts, "{at}");
    assert_eq!((&result["attempts"], &result["attempts_omitted"]), (&json!(verdicts.len()), &json!(0)), "{at}");

    let seen: Vec<_> = rig.requests(room).await.into_iter().filter(|request| request["cloud"] == provider).collect();
    assert_eq!(seen.len(), verdicts.len(), "{at}");
    let last_given = log.iter().rev().map(|attempt| &attempt["request_id"]).find(|id| !id.is_null());
    assert_eq!(&result["request_id"], last_given.unwrap_or(&Value::Null), "{at}");
    assert_eq!(result["http_status"], log.last().unwrap()["http_status"], "{at}");
    for (attempt, request) in log.iter().zip(&seen) {
        assert_eq!(attempt["http_status"], request["status"], "{at}");
        let silent = request["status"].is_null() || request["kind"] == "garbage";
        assert_eq!(attempt["request_id"], if silent { Value::Null } else { request["request_id"].clone() }, "{at}");
        let good = attempt["verdict"] == "dismissed";
        assert_eq!(attempt["error"].is_null(), good, "{at}");
    }
    let explained = matches!(*outcome, "rejected" | "exhausted");
    assert_eq!(result["error"].is_null(), !explained, "{at}");
    if explained {
        assert_eq!(result["error"], log.last().unwrap()["error"], "{at}");
    }
}

async fn every_trouble_ends_as_it_should(provider: &str, table: &str) {
    let rig = Rig::start(table).await;
    for (room, ..) in CASES {
        rig.submit(&job(provider, room), BasicProperties::default()).await;
    }
    let results = rig.results_by_room(CASES.len()).await;
    for case in CASES {
        check(&rig, provider, case, &results[case.0]).await;
    }
    let is_dead = |case: &&Case| matches!(case.1, "rejected" | "exhausted");
    let expected: HashSet<_> = CASES.iter().filter(is_dead).map(|case| case.0.to_owned()).collect();
    let dead: HashSet<_> =
        rig.dead(expected.len()).await.iter().map(|letter| text(&letter.json(), "room_id")).collect();
    assert_eq!(dead, expected);
    rig.is_empty().await;
    for (outcome, _) in CASES.iter().map(|case| (case.1, ())).collect::<std::collections::HashMap<_, _>>() {
        let many = CASES.iter().filter(|case| case.1 == outcome).count();
        let line =
            format!(r#"roomsweep_jobs_settled_total{{lane="bulk",outcome="{outcome}",provider="{provider}"}} {many}"#);
        rig.shown(&line).await;
    }
    let throttled = CASES.iter().flat_map(|case| case.2).filter(|verdict| **verdict == "throttled").count();
    rig.shown(&format!(r#"roomsweep_attempts_total{{provider="{provider}",result="throttled"}} {throttled}"#)).await;
}

#[tokio::test]
async fn every_trouble_of_volcengine_ends_as_it_should() {
    every_trouble_ends_as_it_should("volcengine", VOLCENGINE).await;
}

#[tokio::test]
async fn every_trouble_of_huawei_ends_as_it_should() {
    every_trouble_ends_as_it_should("huawei", HUAWEI).await;
}

fn suspended(provider: &str, reason: &str) -> String {
    format!(r#"roomsweep_provider_suspended{{provider="{provider}",reason="{reason}"}} 1"#)
}

/// Another account of Volcengine, with another action so that it shares no quota.
const BANNING: &str = "
[providers.elsewhere]
kind = 'volcengine'
action = 'ban_room_user'
endpoint = 'ENDPOINT'
access_key_id = 'sandbox-ak'
secret_access_key = 'sandbox-sk'
";

/// Waits until it is beyond doubt that a provider refuses every job: it is asked again at a set time.
async fn refuses_all(rig: &Rig, provider: &str, reason: &str) {
    rig.shown(&suspended(provider, reason)).await;
    eventually(&format!("{provider} refuses all"), SOON, || async {
        let status = http::get(rig.admin, "/api/status").await.ok()?.json();
        let mut providers = status["providers"].as_array()?.iter();
        providers.find(|one| one["name"] == provider)?["next_probe"].is_string().then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_the_accounts_fault_settles_no_job() {
    let rig = Rig::start(&[VOLCENGINE, HUAWEI, BANNING].concat()).await;
    rig.rooms("volcengine", &["noauth-a", "noauth-b", "noauth-c"]).await;
    rig.rooms("huawei", &["noapi-a", "noapi-b", "noapi-c"]).await;
    refuses_all(&rig, "volcengine", "credentials").await;
    refuses_all(&rig, "huawei", "configuration").await;

    rig.rooms("volcengine", &["b", "c"]).await;
    rig.rooms("elsewhere", &["d"]).await;
    let result = rig.results(1).await.remove(0).json();
    assert_eq!((text(&result, "room_id"), text(&result, "outcome")), ("d".to_owned(), "dismissed".to_owned()));
    eventually("all of them wait", SOON, || async { (waiting_jobs(&rig.namespace).await == 8).then_some(()) }).await;
    rig.holds("jobs.volcengine.bulk", 2).await;
    assert_eq!((rig.requests("b").await.len(), rig.requests("c").await.len()), (0, 0), "left alone");

    // A job whose own expiration ends it while it waits there is settled all the same.
    let expiring = BasicProperties::default().with_expiration("50".into());
    rig.route("volcengine.urgent", &job("volcengine", "e"), expiring).await;
    let result = rig.results(1).await.remove(0).json();
    assert_eq!((text(&result, "room_id"), text(&result, "outcome")), ("e".to_owned(), "expired".to_owned()));

    let ready = http::get(rig.admin, "/readyz").await.unwrap().status;
    assert_eq!(ready, 200, "a suspended provider does not change it");
    rig.holds("results", 0).await;
    rig.holds("dead", 0).await;
    assert!(rig.worker.log().contains("ERROR"), "said loudly");
}

#[tokio::test]
async fn a_wrong_key_settles_no_job_and_a_dead_cloud_exhausts_it() {
    let wrong_key = VOLCENGINE.replace("sandbox-sk", "mistyped-sk");
    let mut rig = Rig::start(&[&wrong_key, HUAWEI].concat()).await;
    rig.rooms("volcengine", &["a", "b", "c"]).await;
    refuses_all(&rig, "volcengine", "credentials").await;
    eventually("all of them wait", SOON, || async { (waiting_jobs(&rig.namespace).await == 3).then_some(()) }).await;
    rig.holds("results", 0).await;
    let refused = rig.sandbox.stats().await["clouds"]["volcengine"]["refused_signatures"].as_u64();
    assert!(refused.is_some_and(|refused| (3..=4).contains(&refused)), "{refused:?}");
    assert!(!rig.worker.log().contains("mistyped-sk"));

    rig.sandbox.process.kill();
    rig.rooms("huawei", &["d"]).await;
    let result = rig.results(1).await.remove(0).json();
    assert_eq!((text(&result, "outcome"), &result["attempts"]), ("exhausted".to_owned(), &json!(3)));
    assert_eq!((&result["request_id"], &result["http_status"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn times_are_kept() {
    let rig = Rig::start(VOLCENGINE).await;
    let at = |room: &str, field: &str, time: jiff::Timestamp| {
        json!({ "provider": "volcengine", "app_id": "app", "room_id": room, field: time }).to_string()
    };
    #[expect(clippy::disallowed_methods, reason = "a real process reads the real clock")]
    let now = jiff::Timestamp::now();
    let start = now + jiff::SignedDuration::from_millis(3500);
    rig.submit(at("early-intake", "not_before", start).as_bytes(), BasicProperties::default()).await;
    rig.route("volcengine.bulk", at("early-lane", "not_before", start).as_bytes(), BasicProperties::default()).await;
    rig.submit(at("late", "expires_at", now).as_bytes(), BasicProperties::default()).await;
    let results = rig.results_by_room(3).await;
    assert_eq!((text(&results["late"], "outcome"), &results["late"]["attempts"]), ("expired".to_owned(), &json!(0)));
    for room in ["early-intake", "early-lane"] {
        assert_eq!((text(&results[room], "outcome"), &results[room]["attempts"]), ("dismissed".to_owned(), &json!(1)));
        let sent: jiff::Timestamp = text(&rig.requests(room).await[0], "at").parse().unwrap();
        let late = sent.duration_since(start);
        assert!(late.is_positive() && late.as_millis() < 1500, "{room} is {late:#} late");
    }
    rig.holds("dead", 0).await;
}
