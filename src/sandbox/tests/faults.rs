//! Every row of the table, as a client meets it and as the providers understand it.

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::json;

use super::wire::{BAN, Line, Stand, body, call, stand, unlimited};
use crate::model::verdict::VerdictLabel as V;
use crate::provider::Provider;
use crate::provider::volcengine::Action;
use crate::sandbox::record::Kind;
use crate::sandbox::settings::{Reuse, Throttling, VolcengineThrottle};

/// Status and verdict of the answers to a room, one request after another.
async fn answers(stand: &Stand, provider: &dyn Provider, room: &str, requests: usize) -> Vec<(u16, V)> {
    let mut answers = Vec::new();
    for _ in 0..requests {
        let reply = stand.dismiss(provider, room).await.unwrap();
        answers.push((reply.status.as_u16(), provider.classify(&reply).0.label()));
    }
    answers
}

#[tokio::test]
async fn every_answering_prefix_does_what_the_table_says() {
    let stand = stand(unlimited()).await;
    let [volcengine, huawei] = stand.clouds();
    let check = async |room: &str, at_volcengine: &[(u16, V)], at_huawei: &[(u16, V)]| {
        let requests = at_volcengine.len();
        assert_eq!(answers(&stand, &*volcengine, room, requests).await, at_volcengine, "{room}");
        assert_eq!(answers(&stand, &*huawei, room, requests).await, at_huawei, "{room}");
    };
    let (done, accepted) = ((200, V::Dismissed), (202, V::Dismissed));
    let failed = (500, V::Transient);
    check("fail500x2-a", &[failed, failed, done], &[failed, failed, accepted]).await;
    check("fail500-a", &[failed; 4], &[failed; 4]).await;
    for status in [502, 503, 504, 599] {
        let failed = (status, V::Transient);
        check(&format!("fail{status}x1-a"), &[failed, done], &[failed, accepted]).await;
    }
    check("error200x1-a", &[(200, V::Transient), done], &[(200, V::Transient), accepted]).await;
    check("garbagex1-a", &[(200, V::Transient), done], &[(200, V::Transient), accepted]).await;
    let throttled = (429, V::Throttled);
    check("throttled2-a", &[throttled, throttled, done], &[throttled, throttled, accepted]).await;
    check("throttled-a", &[throttled; 3], &[throttled; 3]).await;
    check("gone-a", &[(400, V::AlreadyGone); 2], &[(404, V::AlreadyGone); 2]).await;
    check("badparam-a", &[(400, V::Rejected); 2], &[(400, V::Rejected); 2]).await;
    check("noauthx1-a", &[(401, V::Unauthorized), done], &[(401, V::Unauthorized), accepted]).await;
    check("stalex1-a", &[(400, V::Unauthorized), done], &[(401, V::Unauthorized), accepted]).await;
    check("foreign-a", &[(403, V::Rejected)], &[(400, V::Rejected)]).await;
    check("forbiddenx1-a", &[(403, V::Misconfigured), done], &[(403, V::Misconfigured), accepted]).await;
    check("noapi-a", &[(404, V::Misconfigured)], &[(404, V::Misconfigured)]).await;
    let refused: u64 = stand.sandbox.stats().clouds.values().map(|cloud| cloud.all.refused_signatures).sum();
    assert_eq!(refused, 0, "a fault is no refused signature");
}

#[tokio::test]
async fn a_chain_is_gone_through_in_order() {
    let stand = stand(unlimited()).await;
    let ban = stand.volcengine(BAN);
    let expected = [(429, V::Throttled), (503, V::Transient), (400, V::AlreadyGone), (400, V::AlreadyGone)];
    assert_eq!(answers(&stand, &ban, "throttled1-fail503x1-gone-a", 4).await, expected);
}

#[tokio::test]
async fn a_reset_and_a_close_are_what_their_names_say() {
    let stand = stand(unlimited()).await;
    for provider in stand.clouds() {
        let ended = async |room: &str| stand.dismiss(&*provider, room).await.err().map(|error| error.kind());
        assert_eq!(ended("reset-a").await, Some(ErrorKind::ConnectionReset));
        assert_eq!(ended("close-a").await, Some(ErrorKind::UnexpectedEof));
        assert_eq!(ended("resetx1-b").await, Some(ErrorKind::ConnectionReset));
        assert_eq!(ended("resetx1-b").await, None);
    }
    let kinds: Vec<_> = stand.sandbox.requests(0).iter().map(|record| record.kind).take(4).collect();
    assert_eq!(kinds, [Kind::Reset, Kind::Closed, Kind::Reset, Kind::Accepted]);
    assert!(!stand.sandbox.requests(0)[0].answered);
}

#[tokio::test]
async fn a_connection_that_is_not_reused_ends_with_its_answer() {
    let mut settings = unlimited();
    settings.reuse = Reuse::Closed;
    let stand = stand(settings).await;
    let mut line = Line::connect(stand.address).await;
    let call = call(&stand.huawei(), "a");
    assert_eq!(line.exchange(&call).await.unwrap().headers["connection"], "close");
    assert!(line.exchange(&call).await.is_err());
}

#[tokio::test]
async fn a_slow_room_is_acted_upon_at_once_and_answered_late() {
    let stand = stand(unlimited()).await;
    let mut line = Line::connect(stand.address).await;
    let bytes = line.bytes(&call(&stand.huawei(), "slow300-a"));
    let start = tokio::time::Instant::now();
    line.write(&bytes).await.unwrap();
    stand.until(|sandbox| sandbox.rooms().first().is_some_and(|room| room.accepted == 1)).await;
    assert!(start.elapsed() < Duration::from_millis(300));
    assert_eq!(line.read().await.unwrap().status, 202);
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_hanging_room_is_never_answered_and_holds_up_no_other() {
    let stand = stand(unlimited()).await;
    let [volcengine, huawei] = stand.clouds();
    let mut line = Line::connect(stand.address).await;
    let bytes = line.bytes(&call(&*volcengine, "hang-a"));
    line.write(&bytes).await.unwrap();
    stand.until(|sandbox| sandbox.requests(0).first().is_some_and(|record| record.kind == Kind::Hung)).await;
    assert_eq!(stand.dismiss(&*huawei, "a").await.unwrap().status, 202);
    assert!(tokio::time::timeout(Duration::from_millis(100), line.read()).await.is_err());
    drop(line);
    let over = |sandbox: &crate::sandbox::Sandbox| sandbox.stats().clouds.values().all(|cloud| cloud.all.open == 0);
    stand.until(over).await;
}

#[tokio::test]
async fn a_throttle_is_worded_and_timed_as_configured() {
    let check = async |throttle: VolcengineThrottle, status: u16, code: &str| {
        let mut settings = unlimited();
        settings.throttling = Throttling { volcengine: throttle, retry_after: Some(Duration::from_millis(1500)) };
        let stand = stand(settings).await;
        let volcengine = stand.volcengine(Action::DismissRoom);
        let reply = stand.dismiss(&volcengine, "throttled-a").await.unwrap();
        assert_eq!(reply.status, status);
        assert_eq!(body(&reply)["ResponseMetadata"]["Error"]["Code"], code);
        assert_eq!(reply.headers["retry-after"], "2");
        assert_eq!(volcengine.classify(&reply).0.label(), V::Throttled);
    };
    check(VolcengineThrottle::Status429, 429, "FlowLimitExceeded").await;
    check(VolcengineThrottle::Status400, 400, "AccountFlowLimitExceeded").await;
    check(VolcengineThrottle::Inside200, 200, "AccountFlowLimitExceeded").await;
}

#[tokio::test]
async fn rules_of_the_token_service_come_in_its_own_shape() {
    let stand = stand(unlimited()).await;
    stand.set_rules(json!({ "cloud": "iam", "nth": "1", "do": "fail503" }));
    let huawei = stand.huawei_with_password("sandbox-password");
    let first = stand.send(&huawei.token_call().unwrap()).await.unwrap();
    assert_eq!((first.status.as_u16(), &body(&first)["error"]["code"]), (503, &503.into()));
    assert_eq!(stand.send(&huawei.token_call().unwrap()).await.unwrap().status, 201);
}
