//! Huawei with tokens: one fetch for many jobs, and a fresh one when the old one is refused.

use serde_json::{Value, json};

use crate::edges_rig::{Rig, text};
use crate::support::http;

const TOKEN: &str = "
[providers.huawei]
kind = 'huawei'
auth = 'token'
endpoint = 'ENDPOINT'
iam_endpoint = 'ENDPOINT'
domain = 'sandbox-domain'
user = 'sandbox-user'
password = 'sandbox-password'
project_id = 'sandbox-project'
qps = 500
";
const MANY: usize = 40;

async fn fetched(rig: &Rig) -> Value {
    rig.sandbox.stats().await["clouds"]["iam"]["arrived"].clone()
}

async fn dismiss_many(rig: &Rig, prefix: &str) -> Vec<Value> {
    let rooms: Vec<String> = (0..MANY).map(|n| format!("{prefix}-{n}")).collect();
    rig.rooms("huawei", &rooms.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let results = rig.results_by_room(MANY).await;
    assert!(results.values().all(|result| result["outcome"] == "dismissed"), "{results:?}");
    results.into_values().collect()
}

#[tokio::test]
async fn a_revoked_token_is_fetched_once_more_and_fails_no_job() {
    let rig = Rig::start(TOKEN).await;
    for result in dismiss_many(&rig, "first").await {
        assert_eq!(result["attempts"], 1);
    }
    assert_eq!(fetched(&rig).await, 1, "one token for them all");

    http::send(rig.sandbox.address, "DELETE", "/tokens", "").await.unwrap();
    let results = dismiss_many(&rig, "second").await;
    assert_eq!(fetched(&rig).await, 2);
    let refused: Vec<&Value> = results.iter().filter(|result| result["attempts"] != 1).collect();
    assert!(!refused.is_empty());
    for result in refused {
        let verdicts: Vec<_> =
            result["attempt_log"].as_array().unwrap().iter().map(|one| text(one, "verdict")).collect();
        assert_eq!(verdicts, ["unauthorized", "dismissed"]);
        assert_eq!(result["attempt_log"][0]["error"]["code"], "APIGW.0307");
    }
    rig.is_empty().await;
}

#[tokio::test]
async fn a_wrong_password_sends_nothing_and_costs_no_attempt() {
    let rig = Rig::start(&TOKEN.replace("sandbox-password", "mistyped-password")).await;
    rig.rooms("huawei", &["a", "b"]).await;
    rig.shown(r#"roomsweep_provider_suspended{provider="huawei",reason="credentials"} 1"#).await;
    rig.holds("results", 0).await;
    let stats = rig.sandbox.stats().await;
    assert_eq!(stats["clouds"]["huawei"]["arrived"], json!(0), "no room was asked for");
    assert!(!rig.worker.log().contains("mistyped-password"));
}
