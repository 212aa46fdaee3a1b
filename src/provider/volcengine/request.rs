//! What is asked: `POST /?Action=…&Version=…` with a JSON body.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;
use serde::Serialize;

use super::sign::{Request, Scope, canonical_query, sign};
use super::{Action, BanVersion, Settings};
use crate::model::job::DismissJob;
use crate::provider::encoding::{basic_date, sha256_hex};
use crate::provider::{BuildError, Call, header, secret_header, signature};

const SERVICE: &str = "rtc";
const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(super) fn build(settings: &Settings, job: &DismissJob, now: Timestamp) -> Result<Call, BuildError> {
    let body = Body::new(settings.action, job).bytes();
    let body_sha256 = sha256_hex(&body);
    let date = basic_date(now);
    let query = query(settings.action);

    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(HOST, header("host", settings.endpoint.host())?);
    headers.insert("x-content-sha256", header("x-content-sha256", &body_sha256)?);
    headers.insert("x-date", header("x-date", &date)?);
    if let Some(token) = &settings.keys.session_token {
        headers.insert("x-security-token", secret_header("x-security-token", token.expose())?);
    }

    let method = Method::POST;
    let to_sign = signature::pairs(&headers);
    let request =
        Request { method: method.as_str(), path: "/", query: &query, headers: &to_sign, body_sha256: &body_sha256 };
    let scope = Scope { date: &date, region: &settings.region, service: SERVICE };
    let signature = sign(&request, settings.keys.access_key_id.expose(), &settings.keys.secret_access_key, &scope);

    headers.insert(ACCEPT, JSON);
    headers.insert(AUTHORIZATION, secret_header("authorization", &signature.authorization)?);
    Ok(Call { method, url: settings.endpoint.join(&format!("/?{}", canonical_query(&query))), headers, body })
}

fn query(action: Action) -> Vec<(String, String)> {
    let (name, version) = match action {
        Action::DismissRoom => ("DismissRoom", "2020-12-01"),
        Action::BanRoomUser { version: BanVersion::V20201201, .. } => ("BanRoomUser", "2020-12-01"),
        Action::BanRoomUser { version: BanVersion::V20231101, .. } => ("BanRoomUser", "2023-11-01"),
    };
    vec![("Action".to_owned(), name.to_owned()), ("Version".to_owned(), version.to_owned())]
}

/// Never with a `UserId`: together with an empty `RoomId` it would ban that user everywhere.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    app_id: &'a str,
    room_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    forbidden_interval: Option<u32>,
}

impl<'a> Body<'a> {
    fn new(action: Action, job: &'a DismissJob) -> Self {
        let forbidden_interval = match action {
            Action::DismissRoom => None,
            Action::BanRoomUser { forbidden_interval, .. } => Some(forbidden_interval),
        };
        Self { app_id: job.app_id.as_str(), room_id: job.room_id.as_str(), forbidden_interval }
    }

    fn bytes(&self) -> Bytes {
        serde_json::to_vec(self).expect("texts and numbers can always be written").into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::model::secret::Secret;
    use crate::provider::endpoint::Endpoint;
    use crate::provider::testing::{self, header_text, job, signed_headers, vectors};
    use crate::provider::volcengine::Keys;

    /// Vectors whose request is one that we would send.
    const OURS: [(&str, Action); 15] = [
        ("dismiss_basic", Action::DismissRoom),
        ("ban_2023_11_01_interval0", ban(BanVersion::V20231101, 0)),
        ("room_spaces", Action::DismissRoom),
        ("room_cjk_raw_utf8", Action::DismissRoom),
        ("room_tilde", Action::DismissRoom),
        ("room_percent", Action::DismissRoom),
        ("room_asterisk", Action::DismissRoom),
        ("room_all_punct", Action::DismissRoom),
        ("room_single_space", Action::DismissRoom),
        ("sts_token", Action::DismissRoom),
        ("sts_token_special", Action::DismissRoom),
        ("host_nondefault_port", Action::DismissRoom),
        ("region_singapore", Action::DismissRoom),
        ("date_leap_day_end", Action::DismissRoom),
        ("sk_unicode_and_symbols", Action::DismissRoom),
    ];

    const fn ban(version: BanVersion, forbidden_interval: u32) -> Action {
        Action::BanRoomUser { version, forbidden_interval }
    }

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        ak: String,
        sk: String,
        session_token: Option<String>,
        region: String,
        x_date: String,
        host: String,
        body_utf8: String,
        room_id: Option<String>,
        expected: testing::Expected,
    }

    fn settings(action: Action, session_token: Option<&str>) -> Settings {
        Settings {
            endpoint: Endpoint::parse("https://rtc.volcengineapi.com").unwrap(),
            region: "cn-north-1".into(),
            action,
            keys: Keys {
                access_key_id: Secret::new("AK"),
                secret_access_key: Secret::new("SK"),
                session_token: session_token.map(Secret::new),
            },
            app_ids: vec![],
            gone_codes: Settings::default_gone_codes(),
        }
    }

    fn now() -> Timestamp {
        "2024-01-15T08:30:45.999Z".parse().unwrap()
    }

    #[test]
    fn what_is_built_is_what_the_vendors_sdk_builds() {
        let file = include_str!("../../../tests/vectors/volcengine.json");
        let vectors: Vec<Vector> = vectors(file, 30);
        for (name, action) in OURS {
            let vector = vectors.iter().find(|vector| vector.name == name).expect(name);
            let mut settings = settings(action, vector.session_token.as_deref());
            settings.endpoint = Endpoint::parse(&format!("http://{}", vector.host)).unwrap();
            settings.region = vector.region.clone();
            settings.keys.access_key_id = Secret::new(vector.ak.as_str());
            settings.keys.secret_access_key = Secret::new(vector.sk.as_str());

            let now = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &vector.x_date).unwrap();
            let now = now.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
            let room = vector.room_id.as_deref().unwrap();
            let call = build(&settings, &job("661e0000000000000000543cf", room), now).unwrap();

            assert_eq!(call.body, vector.body_utf8, "{name}");
            vector.expected.check_headers(name, &call.headers);
        }
    }

    #[test]
    fn each_action_has_its_version_and_its_body() {
        let check = |action, url: &str, body: &str| {
            let call = build(&settings(action, None), &job("A", "房\"1"), now()).unwrap();
            assert_eq!(call.method, Method::POST);
            assert_eq!(call.url, format!("https://rtc.volcengineapi.com/?{url}"));
            assert_eq!(call.body, body);
        };
        let dismiss = r#"{"AppId":"A","RoomId":"房\"1"}"#;
        check(Action::DismissRoom, "Action=DismissRoom&Version=2020-12-01", dismiss);
        let kick = r#"{"AppId":"A","RoomId":"房\"1","ForbiddenInterval":0}"#;
        check(ban(BanVersion::V20201201, 0), "Action=BanRoomUser&Version=2020-12-01", kick);
        let ban_a_minute = r#"{"AppId":"A","RoomId":"房\"1","ForbiddenInterval":60}"#;
        check(ban(BanVersion::V20231101, 60), "Action=BanRoomUser&Version=2023-11-01", ban_a_minute);
    }

    #[test]
    fn secrets_are_marked_and_the_rest_is_not() {
        let call = build(&settings(Action::DismissRoom, Some("STS")), &job("A", "R"), now()).unwrap();
        let secret: Vec<_> = call.headers.iter().filter(|(_, v)| v.is_sensitive()).map(|(n, _)| n.as_str()).collect();
        assert_eq!(secret, ["x-security-token", "authorization"]);
        assert_eq!(call.headers[ACCEPT], "application/json");
    }

    #[test]
    fn a_key_that_no_header_can_hold_is_named() {
        let mut settings = settings(Action::DismissRoom, Some("a\nb"));
        let refused = |settings: &Settings| build(settings, &job("A", "R"), now()).err().unwrap().to_string();
        assert_eq!(refused(&settings), "the value of x-security-token cannot stand in an HTTP header");
        settings.keys.session_token = None;
        settings.keys.access_key_id = Secret::new("A\nK");
        assert_eq!(refused(&settings), "the value of authorization cannot stand in an HTTP header");
    }

    /// What the cloud does: sign again what arrived, by the headers that `Authorization` names.
    fn verify(settings: &Settings, call: &Call) {
        let (_, query) = call.url.split_once("/?").unwrap();
        let query: Vec<_> = query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let headers = signed_headers(&call.headers);
        let body_sha256 = sha256_hex(&call.body);
        assert_eq!(header_text(&call.headers, "x-content-sha256"), body_sha256);
        let request =
            Request { method: "POST", path: "/", query: &query, headers: &headers, body_sha256: &body_sha256 };
        let date = header_text(&call.headers, "x-date");
        let scope = Scope { date: &date, region: "cn-north-1", service: "rtc" };
        let again = sign(&request, "AK", &settings.keys.secret_access_key, &scope);
        assert_eq!(header_text(&call.headers, "authorization"), again.authorization);
    }

    proptest! {
        #[test]
        fn every_room_is_sent_to_the_same_url_and_signed(
            room in "[^\\p{Cc}]{1,60}",
            action in prop_oneof![
                Just(Action::DismissRoom),
                Just(ban(BanVersion::V20201201, 0)),
                (10..=604_800_u32).prop_map(|seconds| ban(BanVersion::V20231101, seconds)),
            ],
            token in prop::option::of(Just("STS")),
        ) {
            let settings = settings(action, token);
            let call = build(&settings, &job("A", &room), now()).unwrap();
            prop_assert_eq!(reqwest::Url::parse(&call.url).unwrap().to_string(), call.url.clone());
            verify(&settings, &call);
            let body: serde_json::Value = serde_json::from_slice(&call.body).unwrap();
            prop_assert_eq!(&body["RoomId"], room.as_str());
            prop_assert!(body.get("UserId").is_none());
            prop_assert_eq!(call.headers.contains_key("x-security-token"), token.is_some());
        }
    }
}
