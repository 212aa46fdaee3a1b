//! What is asked: `POST /v2/apps/{app}/rooms/{room}/dismiss`, without a body.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;

use super::sign::{Request, sign};
use super::{Auth, IamUser, Keys, Project, Settings};
use crate::model::job::DismissJob;
use crate::provider::encoding::{basic_date, encode, sha256_hex};
use crate::provider::{BuildError, Call, Stamp, Token, header, secret_header, signature};

const PROJECT: &str = "x-project-id";

/// The transport adds `Content-Length: 0`.
pub(super) fn build(settings: &Settings, job: &DismissJob, stamp: &Stamp) -> Result<Call, BuildError> {
    let path = format!("/v2/apps/{}/rooms/{}/dismiss", encode(job.app_id.as_str()), encode(job.room_id.as_str()));
    let mut call = Call {
        method: Method::POST,
        url: settings.endpoint.join(&path),
        headers: HeaderMap::new(),
        body: Bytes::new(),
    };
    // The vendor wants a content type although there is no content, and any other one would leave the body unsigned.
    call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    call.headers.insert(HOST, header("host", settings.endpoint.host())?);
    match &settings.auth {
        Auth::AkSk(keys) => add_signature(&mut call, &path, keys, stamp.now)?,
        Auth::Token(user) => add_token(&mut call, user, stamp.token.as_ref())?,
    }
    Ok(call)
}

fn add_signature(call: &mut Call, path: &str, keys: &Keys, now: Timestamp) -> Result<(), BuildError> {
    let date = basic_date(now);
    call.headers.insert("x-sdk-date", header("x-sdk-date", &date)?);
    if let Some(project) = &keys.project_id {
        call.headers.insert(PROJECT, header(PROJECT, project)?);
    }
    if let Some(token) = &keys.security_token {
        call.headers.insert("x-security-token", secret_header("x-security-token", token.expose())?);
    }
    let to_sign = signature::pairs(&call.headers);
    let body_sha256 = sha256_hex(&call.body);
    let request =
        Request { method: call.method.as_str(), path, query: &[], headers: &to_sign, body_sha256: &body_sha256 };
    let signature = sign(&request, keys.access_key_id.expose(), &keys.secret_access_key, &date);
    call.headers.insert(AUTHORIZATION, secret_header("authorization", &signature.authorization)?);
    Ok(())
}

fn add_token(call: &mut Call, user: &IamUser, token: Option<&Token>) -> Result<(), BuildError> {
    let token = token.ok_or(BuildError::NoToken)?;
    call.headers.insert("x-auth-token", secret_header("x-auth-token", token.value.expose())?);
    if let Project::Id(project) = &user.project {
        call.headers.insert(PROJECT, header(PROJECT, project)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::model::secret::Secret;
    use crate::provider::Provider;
    use crate::provider::endpoint::Endpoint;
    use crate::provider::huawei::Huawei;
    use crate::provider::testing::{self, header_text, job, signed_headers, vectors};

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        ak: String,
        sk: String,
        security_token: Option<String>,
        project_id: Option<String>,
        expected: testing::Expected,
    }

    fn settings(auth: Auth) -> Settings {
        let endpoint = Endpoint::parse("https://rtc-api.myhuaweicloud.com").unwrap();
        Settings { endpoint, auth, app_ids: vec![] }
    }

    fn keys() -> Keys {
        Keys {
            access_key_id: Secret::new("AK"),
            secret_access_key: Secret::new("SK"),
            security_token: None,
            project_id: Some("P".into()),
        }
    }

    fn user(project: Project) -> Auth {
        Auth::Token(IamUser {
            iam_endpoint: Endpoint::parse("https://iam.myhuaweicloud.com").unwrap(),
            domain: "D".into(),
            user: "U".into(),
            password: Secret::new("PW"),
            project,
        })
    }

    fn stamp(token: Option<&str>) -> Stamp {
        let now: Timestamp = "2024-01-15T08:30:45Z".parse().unwrap();
        Stamp { now, token: token.map(|value| Token { value: Secret::new(value), lifetime: std::time::Duration::MAX }) }
    }

    #[test]
    fn what_is_built_is_what_the_vendors_signer_makes() {
        let vectors: Vec<Vector> = vectors(include_str!("../../../tests/vectors/huawei.json"), 24);
        for name in ["signer_minimal", "signer_security_token"] {
            let vector = vectors.iter().find(|vector| vector.name == name).expect(name);
            let keys = Keys {
                access_key_id: Secret::new(vector.ak.as_str()),
                secret_access_key: Secret::new(vector.sk.as_str()),
                security_token: vector.security_token.as_deref().map(Secret::new),
                project_id: vector.project_id.clone(),
            };
            let job = job("5af0000000000000000000000000app1", "room-1_A");
            let call = build(&settings(Auth::AkSk(keys)), &job, &stamp(None)).unwrap();
            let sent = format!("https://rtc-api.myhuaweicloud.com{}", vector.expected.path_sent());
            assert_eq!(call.url, sent, "{name}");
            vector.expected.check_headers(name, &call.headers);
        }
    }

    #[test]
    fn a_token_stands_for_the_signature() {
        let check = |project: Project, expected: &[(&str, &str)]| {
            let call = build(&settings(user(project)), &job("A", "R"), &stamp(Some("T"))).unwrap();
            let mut sent: Vec<_> = call.headers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
            sent.sort_unstable();
            assert_eq!(sent, expected);
            assert!(call.headers["x-auth-token"].is_sensitive());
        };
        let (json, host) = (("content-type", "application/json"), ("host", "rtc-api.myhuaweicloud.com"));
        check(Project::Name("cn-north-4".into()), &[json, host, ("x-auth-token", "T")]);
        check(Project::Id("P".into()), &[json, host, ("x-auth-token", "T"), ("x-project-id", "P")]);
    }

    #[test]
    fn without_a_token_nothing_is_built() {
        let built = build(&settings(user(Project::Id("P".into()))), &job("A", "R"), &stamp(None));
        assert!(matches!(built, Err(BuildError::NoToken)));
    }

    #[test]
    fn secrets_are_marked_and_the_rest_is_not() {
        let keys = Keys { security_token: Some(Secret::new("S")), ..keys() };
        let call = build(&settings(Auth::AkSk(keys)), &job("A", "R"), &stamp(None)).unwrap();
        let secret: Vec<_> = call.headers.iter().filter(|(_, v)| v.is_sensitive()).map(|(n, _)| n.as_str()).collect();
        assert_eq!(secret, ["x-security-token", "authorization"]);
    }

    /// What the cloud does: sign again what arrived, by the headers that `Authorization` names.
    fn verify(call: &Call) {
        let path = call.url.strip_prefix("https://rtc-api.myhuaweicloud.com").unwrap();
        let headers = signed_headers(&call.headers);
        let request =
            Request { method: "POST", path, query: &[], headers: &headers, body_sha256: &sha256_hex(&call.body) };
        let again = sign(&request, "AK", &Secret::new("SK"), &header_text(&call.headers, "x-sdk-date"));
        assert_eq!(header_text(&call.headers, "authorization"), again.authorization);
    }

    proptest! {
        #[test]
        fn every_admitted_room_is_sent_unchanged_and_signed(
            room in prop_oneof!["[A-Za-z0-9_-]{1,64}", "[ -~]{1,8}", "[.]{1,3}", "(%2[eE]|[.]){1,3}"],
            project in prop::option::of(Just("P".to_owned())),
            token in prop::option::of(Just("S")),
        ) {
            let keys = Keys { project_id: project, security_token: token.map(Secret::new), ..keys() };
            let settings = settings(Auth::AkSk(keys));
            let job = job("A", &room);
            if Huawei::new(settings.clone()).admit(&job).is_ok() {
                let call = build(&settings, &job, &stamp(None)).unwrap();
                prop_assert_eq!(reqwest::Url::parse(&call.url).unwrap().to_string(), call.url.clone());
                let path = format!("/v2/apps/A/rooms/{room}/dismiss");
                prop_assert!(call.url.ends_with(&path));
                verify(&call);
            }
        }
    }
}
