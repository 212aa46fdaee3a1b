//! Whatever a server answers, its meaning is bounded, and only the documented success is one.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::Value;

use super::endpoint::Endpoint;
use super::huawei::{self, Auth, Huawei, IamUser, Project};
use super::volcengine::{self, Action, Volcengine};
use super::{Provider, Reply};
use crate::model::ids::RequestId;
use crate::model::secret::Secret;
use crate::model::verdict::{MAX_MESSAGE, Verdict};

const NOW: i64 = 1_705_307_445;

fn endpoint() -> Endpoint {
    Endpoint::parse("https://cloud.example.com").unwrap()
}

fn volcengine() -> Volcengine {
    let keys = volcengine::Keys {
        access_key_id: Secret::new("AK"),
        secret_access_key: Secret::new("SK"),
        session_token: None,
    };
    Volcengine::new(volcengine::Settings {
        endpoint: endpoint(),
        region: "cn-north-1".into(),
        action: Action::DismissRoom,
        keys,
        app_ids: Vec::new(),
        gone_codes: volcengine::Settings::default_gone_codes(),
    })
}

fn huawei() -> Huawei {
    let user = IamUser {
        iam_endpoint: endpoint(),
        domain: "D".into(),
        user: "U".into(),
        password: Secret::new("PW"),
        project: Project::Name("P".into()),
    };
    Huawei::new(huawei::Settings { endpoint: endpoint(), auth: Auth::Token(user), app_ids: Vec::new() })
}

/// JSON with the names and words that mean something, in any arrangement.
fn json() -> impl Strategy<Value = Value> {
    let names = [
        "ResponseMetadata",
        "Error",
        "Code",
        "CodeN",
        "Message",
        "RequestId",
        "error_code",
        "error_msg",
        "request_id",
        "error",
        "title",
        "code",
        "message",
        "token",
        "expires_at",
        "Result",
    ];
    let words = [
        "RoomNotExist",
        "InvalidParameter",
        "FlowLimitExceeded",
        "InternalError.X",
        "RTC.00001003",
        "APIGW.0308",
        "APIGW.0301",
        "IAM.0101",
        "Unauthorized",
        "2024-01-16T08:30:45.000000Z",
        "2023-01-16T08:30:45Z",
    ];
    let leaf = prop_oneof![
        3 => prop::sample::select(words.to_vec()).prop_map(Value::from),
        1 => any::<String>().prop_map(Value::from),
        1 => (100_usize..700).prop_map(|length| Value::from("é".repeat(length))),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            4 => prop::collection::btree_map(prop::sample::select(names.to_vec()), inner.clone(), 0..5)
                .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
            1 => prop::collection::vec(inner, 0..3).prop_map(Value::from),
        ]
    })
}

/// Status, header lines and body; a reply itself has no `Debug`.
type Parts = (u16, Vec<(&'static str, Vec<u8>)>, Vec<u8>);

fn parts() -> impl Strategy<Value = Parts> {
    let names = ["x-tt-logid", "x-request-id", "x-subject-token", "retry-after", "content-type", "x-other"];
    let value = prop_oneof![
        any::<u64>().prop_map(|number| number.to_string().into_bytes()),
        "[ -~]{0,300}".prop_map(String::into_bytes),
        prop::collection::vec(0x20_u8..=0xff, 0..20),
    ];
    let headers = prop::collection::vec((prop::sample::select(names.to_vec()), value), 0..6);
    let body = prop_oneof![
        4 => json().prop_map(|value| value.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => Just(Vec::new()),
    ];
    let status =
        prop_oneof![3 => prop::sample::select(vec![200, 201, 202, 400, 401, 404, 429, 500]), 1 => 100_u16..=999];
    (status, headers, body)
}

fn reply((status, lines, body): Parts) -> Reply {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into() }
}

fn check(verdict: &Verdict, id: Option<&RequestId>) {
    if let Some(fault) = verdict.fault() {
        let bounded = (1..=128).contains(&fault.code.len()) && fault.message.len() <= MAX_MESSAGE;
        assert!(bounded, "{fault:?}");
    }
    if let Verdict::Throttled { retry_after: Some(wait), .. } = verdict {
        assert!(wait.as_secs() <= 3600);
    }
    if let Some(id) = id {
        assert!((1..=256).contains(&id.as_str().len()) && !id.as_str().chars().any(char::is_control), "{id:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn no_reply_is_taken_for_a_success_that_is_none(parts in parts()) {
        let reply = reply(parts);
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();

        let (verdict, id) = volcengine().classify(&reply);
        check(&verdict, id.as_ref());
        let envelope = &body["ResponseMetadata"];
        let is_success = reply.status == 200 && envelope.is_object() && envelope["Error"].is_null();
        prop_assert_eq!(verdict == Verdict::Dismissed, is_success, "{} {}", reply.status, body);

        let (verdict, id) = huawei().classify(&reply);
        check(&verdict, id.as_ref());
        if verdict == Verdict::Dismissed {
            let code = body["error_code"].as_str().is_some_and(|code| !code.trim().is_empty());
            prop_assert!(reply.status == 202 && !code && !body["error_code"].is_number(), "{}", body);
        }
    }

    #[test]
    fn no_reply_to_a_token_call_is_a_jobs_fault(parts in parts()) {
        let reply = reply(parts);
        match huawei().read_token(&reply, Timestamp::from_second(NOW).unwrap()) {
            Ok(token) => {
                prop_assert_eq!(reply.status, 201);
                prop_assert!(!token.value.expose().is_empty() && !token.lifetime.is_zero());
            }
            Err(verdict) => {
                check(&verdict, None);
                let is_a_jobs = matches!(verdict, Verdict::Dismissed | Verdict::AlreadyGone(_) | Verdict::Rejected(_));
                prop_assert!(!is_a_jobs, "{:?}", verdict);
            }
        }
    }
}
