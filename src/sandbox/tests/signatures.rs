//! Who is let in, and what the others are told.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use jiff::SignedDuration;

use super::wire::{BAN, Stand, body, call, call_at, job, stand, unlimited};
use crate::model::secret::Secret;
use crate::model::verdict::Verdict;
use crate::provider::volcengine::{Action, BanVersion};
use crate::provider::{Call, Provider, Stamp};
use crate::sandbox::clock;
use crate::sandbox::record::Cloud;
use crate::sandbox::settings::Lockout;

/// The status and the code of the answer to a call, which is none of success.
async fn refused(stand: &Stand, call: &Call) -> (u16, String) {
    let reply = stand.send(call).await.unwrap();
    let value = body(&reply);
    let code = value.pointer("/ResponseMetadata/Error/Code").or(value.get("error_code"));
    let tail =
        value["error_msg"].as_str().and_then(|text| text.strip_prefix("Incorrect IAM authentication information: "));
    let code = code.and_then(|code| code.as_str()).unwrap_or_default();
    (reply.status.as_u16(), tail.map_or(code.to_owned(), |tail| format!("{code} {tail}")))
}

fn set(call: &mut Call, name: &'static str, value: &str) {
    call.headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
}

fn replace(call: &mut Call, name: &'static str, from: &str, to: &str) {
    let value = call.headers[name].to_str().unwrap().replacen(from, to, 1);
    set(call, name, &value);
}

fn earlier(seconds: i64) -> jiff::Timestamp {
    clock::wall() - SignedDuration::from_secs(seconds)
}

#[tokio::test]
async fn what_the_providers_sign_is_accepted() {
    let stand = stand(unlimited()).await;
    let ban = Action::BanRoomUser { version: BanVersion::V20201201, forbidden_interval: 60 };
    let providers: [Box<dyn Provider>; 4] = [
        Box::new(stand.volcengine(Action::DismissRoom)),
        Box::new(stand.volcengine(BAN)),
        Box::new(stand.volcengine(ban)),
        Box::new(stand.huawei()),
    ];
    for provider in &providers {
        let reply = stand.dismiss(&**provider, "room-1").await.unwrap();
        let (verdict, id) = provider.classify(&reply);
        assert_eq!(verdict, Verdict::Dismissed);
        assert_eq!(id.unwrap().as_str(), stand.sandbox.requests(0).last().unwrap().request_id);
    }
    let odd = stand.dismiss(&*providers[0], "房 间/../+%\"").await.unwrap();
    assert_eq!(providers[0].classify(&odd).0, Verdict::Dismissed);
}

#[tokio::test]
async fn volcengine_answers_in_the_spelling_of_the_version() {
    let stand = stand(unlimited()).await;
    let dismissed = body(&stand.dismiss(&stand.volcengine(Action::DismissRoom), "r").await.unwrap());
    assert_eq!(dismissed["Result"]["message"], "success");
    assert_eq!(dismissed["ResponseMetadata"]["Action"], "DismissRoom");
    assert_eq!(dismissed["ResponseMetadata"]["Region"], "cn-north-1");
    let banned = body(&stand.dismiss(&stand.volcengine(BAN), "r").await.unwrap());
    assert_eq!(banned["Result"]["Message"], "success");
}

#[tokio::test]
async fn every_tampering_with_a_volcengine_request_is_refused() {
    let stand = stand(unlimited()).await;
    let volcengine = stand.volcengine(Action::DismissRoom);
    let sandbox = &stand;
    let check = async |tamper: &dyn Fn(&mut Call), status: u16, code: &str| {
        let mut call = call(&volcengine, "r");
        tamper(&mut call);
        assert_eq!(refused(sandbox, &call).await, (status, code.to_owned()));
    };
    let no_match = "SignatureDoesNotMatch";
    check(&|call| call.body = Bytes::from_static(br#"{"AppId":"a","RoomId":"other"}"#), 401, no_match).await;
    check(&|call| set(call, "content-type", "text/plain"), 401, no_match).await;
    check(&|call| set(call, "host", "elsewhere:1"), 401, no_match).await;
    check(&|call| set(call, "x-content-sha256", &"0".repeat(64)), 401, no_match).await;
    check(&|call| call.url.push_str("&UserId=1"), 401, no_match).await;
    let other_date = crate::provider::encoding::basic_date(earlier(60));
    check(&|call| set(call, "x-date", &other_date), 401, no_match).await;
    check(&|call| replace(call, "authorization", "/cn-north-1/", "/us-east-1/"), 401, no_match).await;
    check(&|call| set(call, "x-date", "yesterday"), 400, "InvalidTimestamp").await;
    check(&|call| replace(call, "authorization", "sandbox-ak", "other-ak"), 401, "InvalidAccessKey").await;
    check(&|call| replace(call, "authorization", "/rtc/", "/vod/"), 400, "InvalidCredential").await;
    check(&|call| replace(call, "authorization", "host;", ""), 400, "InvalidAuthorization").await;
    check(&|call| replace(call, "authorization", ";x-date", ""), 400, "InvalidAuthorization").await;
    check(&|call| replace(call, "authorization", "host;", "host;x-absent;"), 400, "InvalidAuthorization").await;
    check(&|call| replace(call, "authorization", "HMAC-SHA256", "MD5"), 400, "InvalidAuthorization").await;
    check(&|call| replace(call, "authorization", "Signature=", "S="), 401, "MissingSignature").await;
    check(&|call| drop(call.headers.remove("authorization")), 401, "MissingAuthenticationToken").await;
    check(&|call| set(call, "x-security-token", "t"), 401, "InvalidSecretToken").await;

    let figures = stand.sandbox.stats().clouds[&Cloud::Volcengine].all.clone();
    assert_eq!((figures.arrived, figures.refused_signatures, figures.accepted), (17, 17, 0));
}

#[tokio::test]
async fn a_header_that_is_not_signed_may_change() {
    let stand = stand(unlimited()).await;
    for provider in stand.clouds() {
        let mut call = call(&*provider, "r");
        set(&mut call, "user-agent", "anything");
        assert_eq!(provider.classify(&stand.send(&call).await.unwrap()).0, Verdict::Dismissed);
    }
}

#[tokio::test]
async fn an_old_signature_is_refused() {
    let stand = stand(unlimited()).await;
    let [volcengine, huawei] = stand.clouds();
    let at = |provider: &dyn Provider, seconds| call_at(provider, "r", earlier(seconds), None);
    for provider in [&*volcengine, &*huawei] {
        for seconds in [-890, 890] {
            assert!(stand.send(&at(provider, seconds)).await.unwrap().status.is_success());
        }
    }
    for seconds in [-910, 910] {
        let (status, code) = refused(&stand, &at(&*volcengine, seconds)).await;
        assert_eq!((status, code.as_str()), (400, "InvalidTimestamp"));
        let (status, code) = refused(&stand, &at(&*huawei, seconds)).await;
        assert_eq!(status, 401);
        assert!(code.contains("within 15 minutes"), "{code}");
    }
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let stand = stand(unlimited()).await;
    let volcengine = stand.volcengine_with(Action::DismissRoom, |s| s.keys.secret_access_key = Secret::new("no"));
    assert_eq!(refused(&stand, &call(&volcengine, "r")).await, (401, "SignatureDoesNotMatch".to_owned()));
    let huawei = stand.huawei_with(|keys| keys.secret_access_key = Secret::new("no"));
    assert_eq!(refused(&stand, &call(&huawei, "r")).await, (401, "APIGW.0301 verify aksk signature fail".to_owned()));
}

#[tokio::test]
async fn every_tampering_with_a_huawei_request_is_refused() {
    let mut settings = unlimited();
    settings.lockout = None;
    let stand = stand(settings).await;
    let huawei = stand.huawei();
    let sandbox = &stand;
    let check = async |tamper: &dyn Fn(&mut Call), code: &str| {
        let mut call = call(&huawei, "r");
        tamper(&mut call);
        assert_eq!(refused(sandbox, &call).await, (401, format!("APIGW.0301 {code}")));
    };
    let fail = "verify aksk signature fail";
    check(&|call| call.body = Bytes::from_static(b"{}"), fail).await;
    check(&|call| call.url = call.url.replace("/rooms/r/", "/rooms/other/"), fail).await;
    check(&|call| set(call, "host", "elsewhere:1"), fail).await;
    check(&|call| set(call, "x-project-id", "other"), fail).await;
    let other_date = crate::provider::encoding::basic_date(earlier(60));
    check(&|call| set(call, "x-sdk-date", &other_date), fail).await;
    check(&|call| set(call, "x-sdk-date", "soon"), "x-sdk-date is not within 15 minutes of the time here").await;
    check(&|call| replace(call, "authorization", "host;", ""), fail).await;
    check(&|call| replace(call, "authorization", ";x-sdk-date", ""), "SignedHeaders must name x-sdk-date").await;
    let unknown = "Get secretKey failed,ak:other-ak,err:ak not exist";
    check(&|call| replace(call, "authorization", "sandbox-ak", "other-ak"), unknown).await;
    check(&|call| drop(call.headers.remove("authorization")), "x-auth-token not found").await;
    check(&|call| set(call, "x-auth-token", "made-up"), "decrypt token fail").await;
    assert_eq!(stand.sandbox.stats().clouds[&Cloud::Huawei].all.refused_signatures, 11);
}

#[tokio::test]
async fn huawei_wants_its_project_with_a_key() {
    let stand = stand(unlimited()).await;
    for project in [None, Some("other".to_owned())] {
        let huawei = stand.huawei_with(|keys| keys.project_id = project);
        assert_eq!(refused(&stand, &call(&huawei, "r")).await, (400, "RTC.00001001".to_owned()));
    }
}

#[tokio::test]
async fn temporary_keys_need_their_session_token() {
    let mut settings = unlimited();
    settings.volcengine.session_token = Some(Secret::new("session"));
    settings.huawei.session_token = Some(Secret::new("session"));
    let stand = stand(settings).await;
    let token = Some(Secret::new("session"));
    let volcengine = stand.volcengine_with(Action::DismissRoom, |s| s.keys.session_token = token.clone());
    let huawei = stand.huawei_with(|keys| keys.security_token = token);
    assert_eq!(volcengine.classify(&stand.dismiss(&volcengine, "r").await.unwrap()).0, Verdict::Dismissed);
    assert_eq!(huawei.classify(&stand.dismiss(&huawei, "r").await.unwrap()).0, Verdict::Dismissed);
    let [volcengine, huawei] = stand.clouds();
    assert_eq!(refused(&stand, &call(&*volcengine, "r")).await, (401, "InvalidSecretToken".to_owned()));
    assert_eq!(refused(&stand, &call(&*huawei, "r")).await, (401, "APIGW.0301 decrypt token fail".to_owned()));
}

#[tokio::test]
async fn bad_signatures_in_a_row_lock_the_huawei_key_even_for_good_ones() {
    let mut settings = unlimited();
    settings.lockout = Some(Lockout { after: 3, lasts: Duration::from_secs(60) });
    let stand = stand(settings).await;
    let bad = stand.huawei_with(|keys| keys.secret_access_key = Secret::new("no"));
    let good = stand.huawei();
    for _ in 0..2 {
        assert_eq!(refused(&stand, &call(&bad, "r")).await.1, "APIGW.0301 verify aksk signature fail");
    }
    assert_eq!(good.classify(&stand.dismiss(&good, "r").await.unwrap()).0, Verdict::Dismissed);
    for _ in 0..3 {
        refused(&stand, &call(&bad, "r")).await;
    }
    let locked = "APIGW.0301 AK access failed to reach the limit, forbidden";
    assert_eq!(refused(&stand, &call(&good, "r")).await, (401, locked.to_owned()));
}

#[tokio::test]
async fn a_token_is_good_until_it_is_revoked() {
    let stand = stand(unlimited()).await;
    let huawei = stand.huawei_with_password("sandbox-password");
    let reply = stand.send(&huawei.token_call().unwrap()).await.unwrap();
    assert_eq!(reply.status, 201);
    let token = huawei.read_token(&reply, clock::wall()).unwrap();
    let stamp = Stamp { now: clock::wall(), token: Some(token) };
    let call = huawei.build(&job("r"), &stamp).unwrap();
    assert_eq!(huawei.classify(&stand.send(&call).await.unwrap()).0, Verdict::Dismissed);
    stand.ask("DELETE", "/tokens", "").await;
    assert_eq!(refused(&stand, &call).await, (401, "APIGW.0307".to_owned()));

    let stats = stand.sandbox.stats();
    assert_eq!((stats.clouds[&Cloud::Iam].all.arrived, stats.clouds[&Cloud::Huawei].all.arrived), (1, 2));
}

#[tokio::test]
async fn an_expired_token_is_told_from_an_unknown_one() {
    let mut settings = unlimited();
    settings.iam.token_ttl = Duration::ZERO;
    let stand = stand(settings).await;
    let huawei = stand.huawei_with_password("sandbox-password");
    let reply = stand.send(&huawei.token_call().unwrap()).await.unwrap();
    let token = reply.headers["x-subject-token"].to_str().unwrap();
    let mut call = call(&stand.huawei(), "r");
    set(&mut call, "x-auth-token", token);
    assert_eq!(refused(&stand, &call).await, (401, "APIGW.0307".to_owned()));
    set(&mut call, "x-auth-token", "unknown");
    assert_eq!(refused(&stand, &call).await, (401, "APIGW.0301 decrypt token fail".to_owned()));
}

#[tokio::test]
async fn a_wrong_password_gets_no_token() {
    let stand = stand(unlimited()).await;
    let huawei = stand.huawei_with_password("wrong");
    let mut call = huawei.token_call().unwrap();
    let reply = stand.send(&call).await.unwrap();
    assert_eq!((reply.status.as_u16(), &body(&reply)["error"]["title"]), (401, &"Unauthorized".into()));
    assert_eq!(stand.sandbox.stats().clouds[&Cloud::Iam].all.refused_signatures, 1);

    call.body = Bytes::from_static(br#"{"auth":{"identity":{"password":"hunter2"}}}"#);
    let reply = stand.send(&call).await.unwrap();
    assert_eq!(reply.status, 400);
    assert!(!String::from_utf8_lossy(&reply.body).contains("hunter2"));
}
