//! The sandbox's own calls, and what is nobody's.

use serde_json::{Value, json};

use super::wire::{call, stand, unlimited};
use crate::model::verdict::VerdictLabel;
use crate::provider::Provider;
use crate::provider::volcengine::Action;

#[tokio::test]
async fn rules_are_switched_at_run_time() {
    let stand = stand(unlimited()).await;
    let volcengine = stand.volcengine(Action::DismissRoom);
    let status = async || stand.dismiss(&volcengine, "a").await.unwrap().status.as_u16();
    assert_eq!(status().await, 200);
    let (answer, _) = stand.ask("PUT", "/faults", "[[rule]]\nname = \"outage\"\ndo = \"fail503\"\n").await;
    assert_eq!((answer.as_u16(), status().await), (204, 503));
    assert_eq!(stand.ask("GET", "/faults", "").await.1["rule"][0]["name"], "outage");
    assert_eq!(stand.sandbox.requests(0).last().unwrap().fault.as_deref(), Some("outage: fail503"));

    let (answer, told) = stand.ask("PUT", "/faults", r#"{"rule":[{"do":"explode"}]}"#).await;
    assert_eq!(answer, 400);
    assert_eq!(told["error"], r#"rule 1: do: "explode" is no fault"#);
    assert_eq!(status().await, 503, "faulty rules change nothing");

    let (answer, _) = stand.ask("DELETE", "/faults", "").await;
    assert_eq!((answer.as_u16(), status().await), (204, 200));
}

#[tokio::test]
async fn a_rate_can_be_set_at_run_time() {
    let stand = stand(unlimited()).await;
    stand.set_rules(json!({ "cloud": "huawei", "qps": 2 }));
    let huawei = stand.huawei();
    let mut labels = Vec::new();
    for _ in 0..3 {
        labels.push(huawei.classify(&stand.dismiss(&huawei, "a").await.unwrap()).0.label());
    }
    assert_eq!(labels, [VerdictLabel::Dismissed, VerdictLabel::Dismissed, VerdictLabel::Throttled]);
}

#[tokio::test]
async fn what_was_seen_is_told_over_http() {
    let stand = stand(unlimited()).await;
    stand.dismiss(&stand.huawei(), "a").await.unwrap();
    let (_, stats) = stand.ask("GET", "/stats", "").await;
    let huawei = &stats["clouds"]["huawei"];
    assert_eq!(
        (&huawei["arrived"], &huawei["accepted"], &huawei["refused_signatures"]),
        (&json!(1), &json!(1), &json!(0))
    );
    assert_eq!(huawei["busiest_second"], json!({ "arrived": 1, "admitted": 1 }));
    assert_eq!(huawei["replies"], json!({ "accepted": 1 }));
    assert_eq!(huawei["actions"]["RemoveRoom"]["arrived"], 1);
    assert_eq!(stats.get("room_counts"), None);

    let (_, rooms) = stand.ask("GET", "/rooms", "").await;
    assert_eq!((&rooms[0]["room_id"], &rooms[0]["accepted"]), (&json!("a"), &json!(1)));
    assert_eq!(stand.ask("GET", "/stats?rooms=1", "").await.1["room_counts"], rooms);
    let (_, request) = stand.ask("GET", "/requests", "").await;
    let named: Vec<_> = ["cloud", "app_id", "room_id", "kind", "status"].map(|name| request[name].clone()).into();
    assert_eq!(named, [json!("huawei"), json!("app-1"), json!("a"), json!("accepted"), json!(202)]);
    assert_eq!(stand.ask("GET", "/requests?from=2", "").await.1, Value::Null);

    assert_eq!(stand.ask("DELETE", "/stats", "").await.0, 204);
    assert_eq!(stand.sandbox.stats().requests, 0);
    assert!(stand.sandbox.requests(0).is_empty() && stand.sandbox.rooms().is_empty());
}

#[tokio::test]
async fn forgetting_begins_counted_faults_anew() {
    let stand = stand(unlimited()).await;
    let huawei = stand.huawei();
    let status = async || stand.dismiss(&huawei, "fail500x1-a").await.unwrap().status.as_u16();
    assert_eq!([status().await, status().await], [500, 202]);
    stand.ask("DELETE", "/stats", "").await;
    assert_eq!([status().await, status().await], [500, 202]);
}

#[tokio::test]
async fn what_is_nobodys_is_refused_in_the_shape_of_whom_it_resembles() {
    let stand = stand(unlimited()).await;
    let check = async |method: &str, path: &str, status: u16, pointer: &str, expected: Value| {
        let (answer, value) = stand.ask(method, path, "").await;
        assert_eq!((answer.as_u16(), value.pointer(pointer)), (status, Some(&expected)), "{method} {path}");
    };
    let code = "/ResponseMetadata/Error/Code";
    check("POST", "/?Action=DismissRoom&Version=2023-11-01", 404, code, json!("InvalidActionOrVersion")).await;
    check("POST", "/?Action=CloseRoom&Version=2020-12-01", 404, code, json!("InvalidActionOrVersion")).await;
    check("POST", "/", 404, code, json!("InvalidActionOrVersion")).await;
    check("GET", "/?Action=DismissRoom&Version=2020-12-01", 405, code, json!("MethodNotAllowed")).await;
    check("POST", "/v2/apps/a/dismiss", 404, "/error_code", json!("APIGW.0101")).await;
    check("GET", "/v2/apps/a/rooms/r/dismiss", 404, "/error_code", json!("APIGW.0101")).await;
    check("GET", "/v3/auth/tokens", 404, "/error/code", json!(404)).await;
    check("GET", "/elsewhere", 404, "/error", json!("nothing here; GET / tells what there is")).await;
    check("POST", "/stats", 405, "/error", json!("not with this method; GET / tells what there is")).await;
}

#[tokio::test]
async fn a_stop_ends_open_connections() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(crate::sandbox::serve(listener, unlimited(), stopped));
    let mut line = super::wire::Line::connect(address).await;
    line.write(b"POST /v2/apps/a/rooms/r/dismiss HTTP/1.1\r\n").await.unwrap();
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
    assert!(line.read().await.is_err());
}

#[tokio::test]
async fn latency_is_added_to_every_answer() {
    let latency = std::time::Duration::from_millis(50);
    let stand = stand(crate::sandbox::Settings { latency, ..unlimited() }).await;
    let start = tokio::time::Instant::now();
    stand.send(&call(&stand.huawei(), "a")).await.unwrap();
    assert!(start.elapsed() >= latency);
}
