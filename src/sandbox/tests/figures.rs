//! What is counted, and when.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::wire::{BAN, Line, Stand, call, stand, unlimited};
use crate::model::secret::Secret;
use crate::model::verdict::VerdictLabel;
use crate::provider::Provider;
use crate::provider::volcengine::Action;
use crate::sandbox::Settings;
use crate::sandbox::record::{self, Cloud, Kind};
use crate::sandbox::stats::{BusiestSecond, Figures};

fn figures(stand: &Stand, cloud: Cloud) -> Figures {
    stand.sandbox.stats().clouds[&cloud].all.clone()
}

async fn labels(stand: &Stand, provider: &dyn Provider, requests: usize) -> Vec<VerdictLabel> {
    let mut line = Line::connect(stand.address).await;
    let mut labels = Vec::new();
    for number in 0..requests {
        let reply = line.exchange(&call(provider, &format!("room-{number}"))).await.unwrap();
        labels.push(provider.classify(&reply).0.label());
    }
    labels
}

#[tokio::test(start_paused = true)]
async fn each_action_has_its_own_quota_and_the_first_beyond_it_is_throttled() {
    let stand = stand(Settings::default()).await;
    let providers: [(Box<dyn Provider>, usize); 3] = [
        (Box::new(stand.volcengine(Action::DismissRoom)), 60),
        (Box::new(stand.volcengine(BAN)), 40),
        (Box::new(stand.huawei()), 20),
    ];
    for (provider, quota) in &providers {
        let labels = labels(&stand, &**provider, quota + 2).await;
        assert!(labels[..*quota].iter().all(|label| *label == VerdictLabel::Dismissed));
        assert_eq!(labels[*quota..], [VerdictLabel::Throttled; 2]);
    }
    let volcengine = figures(&stand, Cloud::Volcengine);
    assert_eq!((volcengine.arrived, volcengine.accepted, volcengine.throttled), (104, 100, 4));
    assert_eq!(volcengine.over_quota, 4);
    assert_eq!(volcengine.busiest_second, BusiestSecond { arrived: 104, admitted: 100 });
    let actions = &stand.sandbox.stats().clouds[&Cloud::Volcengine].actions;
    assert_eq!(actions[&record::Action::DismissRoom].busiest_second, BusiestSecond { arrived: 62, admitted: 60 });
    assert_eq!(figures(&stand, Cloud::Huawei).busiest_second, BusiestSecond { arrived: 22, admitted: 20 });
}

#[tokio::test(start_paused = true)]
async fn a_second_that_is_over_by_a_nanosecond_is_over() {
    let mut settings = unlimited();
    settings.quotas.dismiss_room = Some(2);
    let stand = stand(settings).await;
    let volcengine = stand.volcengine(Action::DismissRoom);
    let mut statuses = Vec::new();
    for nanos in [0, 500_000_000, 500_000_000, 1, 499_999_999, 1] {
        tokio::time::advance(Duration::from_nanos(nanos)).await;
        statuses.push(stand.dismiss(&volcengine, "a").await.unwrap().status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 429, 200, 429, 200]);
    assert_eq!(figures(&stand, Cloud::Volcengine).busiest_second, BusiestSecond { arrived: 4, admitted: 2 });
}

#[tokio::test(start_paused = true)]
async fn a_throttled_request_meets_no_counted_fault() {
    let mut settings = unlimited();
    settings.quotas.huawei = Some(1);
    let stand = stand(settings).await;
    let huawei = stand.huawei();
    let mut statuses = Vec::new();
    for room in ["other", "fail500x1-a"] {
        statuses.push(stand.dismiss(&huawei, room).await.unwrap().status.as_u16());
    }
    tokio::time::advance(Duration::from_millis(1001)).await;
    statuses.push(stand.dismiss(&huawei, "fail500x1-a").await.unwrap().status.as_u16());
    assert_eq!(statuses, [202, 429, 500]);
}

#[tokio::test]
async fn a_bad_signature_is_told_even_beyond_the_quota() {
    let mut settings = unlimited();
    settings.quotas.huawei = Some(0);
    let stand = stand(settings).await;
    let bad = stand.huawei_with(|keys| keys.secret_access_key = Secret::new("no"));
    assert_eq!(stand.dismiss(&bad, "a").await.unwrap().status, 401);
    assert_eq!(stand.dismiss(&stand.huawei(), "a").await.unwrap().status, 429);
}

#[tokio::test]
async fn all_figures_agree_with_one_another() {
    let stand = stand(unlimited()).await;
    let [volcengine, huawei] = stand.clouds();
    for room in ["a", "a", "b", "fail500x1-c", "fail500x1-c", "gone-d", "throttled1-e", "throttled1-e", "close-f"] {
        for provider in [&*volcengine, &*huawei] {
            let _ = stand.dismiss(provider, room).await;
        }
    }
    let requests = stand.sandbox.requests(0);
    let rooms = stand.sandbox.rooms();
    assert_eq!(stand.sandbox.stats().requests, requests.len() as u64);
    for cloud in [Cloud::Volcengine, Cloud::Huawei] {
        let figures = figures(&stand, cloud);
        let of = |kind: Kind| requests.iter().filter(|r| r.cloud == cloud && r.kind == kind).count() as u64;
        assert_eq!((figures.arrived, figures.open, figures.unanswered), (9, 0, 1));
        assert_eq!((figures.accepted, figures.throttled), (5, 1));
        assert_eq!(figures.busiest_second.arrived, 9);
        assert!(figures.replies.iter().all(|(&kind, &count)| count == of(kind)));
        assert_eq!(figures.replies.values().sum::<u64>(), 9);
        let rooms: Vec<_> = rooms.iter().filter(|room| room.cloud == cloud).collect();
        assert_eq!(rooms.iter().map(|room| room.requests).sum::<u64>(), 9);
        assert_eq!(rooms.iter().map(|room| room.accepted).sum::<u64>(), 5);
        let a = rooms.iter().find(|room| room.room_id == "a").unwrap();
        assert_eq!((a.app_id.as_str(), a.requests, a.accepted), ("app-1", 2, 2));
    }
    assert!(requests.is_sorted_by_key(|record| (record.number, record.t_us)));
    let mut ids: Vec<_> = requests.iter().map(|record| &record.request_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), requests.len(), "request IDs are unique");
}

#[tokio::test]
async fn a_client_that_leaves_is_counted_all_the_same() {
    let stand = stand(unlimited()).await;
    let volcengine = stand.volcengine(Action::DismissRoom);
    let leave_after = async |room: &str, cut: usize, arrived: u64| {
        let mut line = Line::connect(stand.address).await;
        let bytes = line.bytes(&call(&volcengine, room));
        line.write(&bytes[..bytes.len() - cut]).await.unwrap();
        stand.until(|_| figures(&stand, Cloud::Volcengine).arrived == arrived).await;
        if cut == 0 {
            stand.until(|sandbox| sandbox.requests(0).last().is_some_and(|last| last.kind != Kind::Incomplete)).await;
        }
        drop(line);
        stand.until(|_| figures(&stand, Cloud::Volcengine).open == 0).await;
    };
    leave_after("half-sent", 5, 1).await;
    leave_after("slow60000-a", 0, 2).await;
    let requests = stand.sandbox.requests(0);
    let seen: Vec<_> = requests.iter().map(|record| (record.kind, record.answered)).collect();
    assert_eq!(seen, [(Kind::Incomplete, false), (Kind::Accepted, false)]);
    let figures = figures(&stand, Cloud::Volcengine);
    assert_eq!((figures.arrived, figures.accepted, figures.unanswered), (2, 1, 2));
}

#[tokio::test]
async fn a_connection_is_kept_and_its_requests_share_its_number() {
    let stand = stand(unlimited()).await;
    labels(&stand, &stand.huawei(), 3).await;
    labels(&stand, &stand.huawei(), 1).await;
    let connections: Vec<_> = stand.sandbox.requests(0).iter().map(|record| record.connection).collect();
    assert_eq!(connections, [1, 1, 1, 2]);
}

#[tokio::test]
async fn memory_is_bounded_and_says_what_it_forgot() {
    let stand = stand(Settings { remember: 3, ..unlimited() }).await;
    labels(&stand, &stand.huawei(), 5).await;
    let stats = stand.sandbox.stats();
    assert_eq!((stats.requests, stats.requests_forgotten), (5, 2));
    assert_eq!((stats.rooms, stats.clouds[&Cloud::Huawei].all.accepted), (3, 5));
    assert!(stats.rooms_forgotten > 0);
    let numbers: Vec<_> = stand.sandbox.requests(0).iter().map(|record| record.number).collect();
    assert_eq!(numbers, [3, 4, 5]);
    assert_eq!(stand.sandbox.requests(5).len(), 1);
}

#[tokio::test]
async fn the_log_holds_a_line_for_every_request_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("requests.jsonl");
    let stand = stand(Settings { log: Some(path.clone()), ..unlimited() }).await;
    labels(&stand, &stand.volcengine(Action::DismissRoom), 2).await;
    let token = stand.huawei_with_password("sandbox-password").token_call().unwrap();
    stand.send(&token).await.unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kept: Vec<Value> = stand.sandbox.requests(0).iter().map(|record| json!(record)).collect();
    assert_eq!(lines, kept);
    for secret in ["sandbox-sk", "sandbox-password", "Signature", "sandbox-token"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn missing_and_faulty_parameters_are_rejected() {
    let stand = stand(unlimited()).await;
    let send = async |action: Action, text: &'static str| {
        let volcengine = stand.volcengine(action);
        let mut call = call(&volcengine, "r");
        call.body = Bytes::from_static(text.as_bytes());
        resign(&mut call);
        let reply = stand.send(&call).await.unwrap();
        let value: Value = serde_json::from_slice(&reply.body).unwrap();
        value["ResponseMetadata"]["Error"]["Code"].as_str().unwrap_or("none").to_owned()
    };
    let dismiss = Action::DismissRoom;
    assert_eq!(send(dismiss, "").await, "InvalidParameter.BodyIsEmpty");
    assert_eq!(send(dismiss, "[]").await, "InvalidParameter.Unmarshal");
    assert_eq!(send(dismiss, r#"{"RoomId":"r"}"#).await, "MissingParameter");
    assert_eq!(send(dismiss, r#"{"AppId":"a","RoomId":""}"#).await, "MissingParameter");
    assert_eq!(send(dismiss, r#"{"AppId":"a","RoomId":7}"#).await, "InvalidParameter");
    assert_eq!(send(BAN, r#"{"AppId":"a"}"#).await, "MissingParameter");
    assert_eq!(send(BAN, r#"{"AppId":"a","RoomId":"r","ForbiddenInterval":"1"}"#).await, "InvalidParameter");
    assert_eq!(send(BAN, r#"{"AppId":"a","RoomId":"r","ForbiddenInterval":5}"#).await, "none");
    let huawei = stand.huawei();
    for room in ["a.b", &"x".repeat(65), "房"] {
        assert_eq!(stand.dismiss(&huawei, room).await.unwrap().status, 400, "{room}");
    }
}

/// Signs a changed Volcengine call anew.
fn resign(call: &mut crate::provider::Call) {
    use crate::provider::encoding::sha256_hex;
    use crate::provider::volcengine::sign::{Request, Scope, sign};
    let hash = sha256_hex(&call.body);
    call.headers.insert("x-content-sha256", hash.parse().unwrap());
    let text = |name: &str| call.headers[name].to_str().unwrap().to_owned();
    let headers: Vec<_> = ["host", "x-date"].map(|name| (name.to_owned(), text(name))).into();
    let query: Vec<_> =
        call.url.split_once('?').unwrap().1.split('&').map(|pair| pair.split_once('=').unwrap()).collect();
    let query: Vec<_> = query.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let request = Request { method: "POST", path: "/", query: &query, headers: &headers, body_sha256: &hash };
    let scope = Scope { date: &headers[1].1, region: "cn-north-1", service: "rtc" };
    let signature = sign(&request, "sandbox-ak", &Secret::new("sandbox-sk"), &scope);
    call.headers.insert("authorization", signature.authorization.parse().unwrap());
}
