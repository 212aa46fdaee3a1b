//! Who asks, with a token: fetched from IAM with a password.

use std::time::Duration;

use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::response::{by_code, error};
use super::{IamUser, Project};
use crate::model::secret::Secret;
use crate::model::verdict::{Fault, Verdict};
use crate::provider::trouble::{Trouble, nameless, text};
use crate::provider::{Call, Reply, Token};

/// A new token is fetched at least this long before the old one expires.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// The password method, scoped to a project; without the catalogue, which is large.
pub(super) fn call(user: &IamUser) -> Call {
    let project = match &user.project {
        Project::Id(id) => json!({ "id": id }),
        Project::Name(name) => json!({ "name": name }),
    };
    let identity = json!({
        "methods": ["password"],
        "password": {
            "user": { "domain": { "name": user.domain }, "name": user.user, "password": user.password.expose() }
        }
    });
    let body = json!({ "auth": { "identity": identity, "scope": { "project": project } } });

    let host = HeaderValue::from_str(user.iam_endpoint.host()).expect("an endpoint's authority is plain ASCII");
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=utf8"));
    headers.insert(HOST, host);
    Call {
        method: Method::POST,
        url: user.iam_endpoint.join("/v3/auth/tokens?nocatalog=true"),
        headers,
        body: body.to_string().into(),
    }
}

/// A 201 with the token in a header and its end in the body; anything else is the provider's or the account's state,
/// and never any job's fault.
pub(super) fn read(reply: &Reply, now: Timestamp) -> Result<Token, Verdict> {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    if reply.status != StatusCode::CREATED {
        return Err(refusal(reply, &body));
    }
    let unreadable = |what: &str| Verdict::Transient(Fault::new("iam.unreadable", what));
    let value = reply.headers.get("x-subject-token").and_then(|value| value.to_str().ok());
    let value = value.filter(|value| !value.is_empty()).ok_or_else(|| unreadable("no X-Subject-Token"))?;
    let expires_at = body.pointer("/token/expires_at").and_then(|time| time.as_str()?.parse::<Timestamp>().ok());
    let expires_at = expires_at.ok_or_else(|| unreadable("no time in token.expires_at"))?;
    // Both moments are told by the provider's clock: ours may be set.
    let issued_at = body.pointer("/token/issued_at").and_then(|time| time.as_str()?.parse::<Timestamp>().ok());
    let lifetime = lifetime(issued_at.unwrap_or(now), expires_at)
        .ok_or_else(|| unreadable("the new token has already expired"))?;
    Ok(Token { value: Secret::new(value), lifetime })
}

/// Until a tenth of its time before the end, at least [`MARGIN`], but never less than half of it: a short-lived token would
/// otherwise be fetched anew for each request.
fn lifetime(issued_at: Timestamp, expires_at: Timestamp) -> Option<Duration> {
    let whole = Duration::try_from(expires_at.duration_since(issued_at)).ok().filter(|whole| !whole.is_zero())?;
    Some(whole - (whole / 10).max(MARGIN).min(whole / 2))
}

fn refusal(reply: &Reply, body: &Value) -> Verdict {
    let Some(fault) = error(body).or_else(|| iam_error(body)) else {
        return blameless(Trouble::by_status(reply.status, None)).verdict(reply, nameless(reply));
    };
    let trouble = by_code(&fault, reply.status).unwrap_or_else(|| Trouble::by_status(reply.status, Some(&fault.code)));
    blameless(trouble).verdict(reply, fault)
}

/// IAM's own shape: `{"error":{"code":401,"message":"…","title":"Unauthorized"}}`.
fn iam_error(body: &Value) -> Option<Fault> {
    let error = body.get("error")?;
    let code = text(error, "title").or_else(|| text(error, "code"))?;
    Some(Fault::new(format!("iam.{code}"), text(error, "message").unwrap_or_default()))
}

/// All that the call holds comes from our configuration, so what would be a job's fault is the configuration's here.
fn blameless(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Gone | Trouble::Rejected | Trouble::Misconfigured => Trouble::Misconfigured,
        Trouble::Stale | Trouble::Refused => Trouble::Refused,
        Trouble::Throttled => Trouble::Throttled,
        Trouble::Transient => Trouble::Transient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::endpoint::Endpoint;
    use crate::provider::testing::{meaning, reply};

    const NOW: &str = "2024-01-15T08:30:45Z";

    fn user(project: Project) -> IamUser {
        IamUser {
            iam_endpoint: Endpoint::parse("https://iam.cn-north-4.myhuaweicloud.com").unwrap(),
            domain: "ACCOUNT".into(),
            user: "IAM_USER".into(),
            password: Secret::new("p\"w"),
            project,
        }
    }

    fn issued(expires_at: &str) -> Result<Token, Verdict> {
        issued_by(NOW, expires_at)
    }

    /// While our clock shows `now`.
    fn issued_by(now: &str, expires_at: &str) -> Result<Token, Verdict> {
        let body = json!({ "token": { "expires_at": expires_at, "issued_at": NOW } }).to_string();
        read(&reply(201, &[("X-Subject-Token", "MIIT")], body.as_bytes()), now.parse().unwrap())
    }

    #[test]
    fn the_call_asks_for_a_project_by_password() {
        let check = |project: Project, expected: Value| {
            let call = call(&user(project));
            assert_eq!(call.method, Method::POST);
            assert_eq!(call.url, "https://iam.cn-north-4.myhuaweicloud.com/v3/auth/tokens?nocatalog=true");
            assert_eq!(reqwest::Url::parse(&call.url).unwrap().as_str(), call.url);
            assert_eq!(call.headers[CONTENT_TYPE], "application/json;charset=utf8");
            assert_eq!(call.headers[HOST], "iam.cn-north-4.myhuaweicloud.com");
            let user = json!({ "domain": { "name": "ACCOUNT" }, "name": "IAM_USER", "password": "p\"w" });
            let identity = json!({ "methods": ["password"], "password": { "user": user } });
            let body: Value = serde_json::from_slice(&call.body).unwrap();
            assert_eq!(body, json!({ "auth": { "identity": identity, "scope": { "project": expected } } }));
        };
        check(Project::Name("cn-north-4".into()), json!({ "name": "cn-north-4" }));
        check(Project::Id("0123".into()), json!({ "id": "0123" }));
    }

    #[test]
    fn a_token_is_renewed_before_it_expires() {
        let check = |expires_at: &str, expected: &str| {
            let token = issued(expires_at).unwrap();
            assert_eq!(token.value.expose(), "MIIT");
            let used_until = NOW.parse::<Timestamp>().unwrap() + token.lifetime;
            assert_eq!(used_until, expected.parse().unwrap(), "{expires_at}");
        };
        check("2024-01-16T08:30:45.000000Z", "2024-01-16T06:06:45Z");
        check("2024-01-15T09:00:45Z", "2024-01-15T08:55:45Z");
        check("2024-01-15T08:32:45Z", "2024-01-15T08:31:45Z");
    }

    #[test]
    fn a_token_lives_as_long_whatever_our_clock_shows() {
        for now in ["1970-01-01T00:00:00Z", "2024-01-16T23:00:00Z", "2261-01-01T00:00:00Z"] {
            let token = issued_by(now, "2024-01-16T08:30:45.000000Z").unwrap();
            assert_eq!(token.lifetime, Duration::from_secs(24 * 3600 * 9 / 10), "{now}");
        }
        // Where only the end is told, ours is all there is.
        let body = json!({ "token": { "expires_at": "2024-01-15T09:00:45Z" } }).to_string();
        let token = read(&reply(201, &[("X-Subject-Token", "T")], body.as_bytes()), NOW.parse().unwrap()).unwrap();
        assert_eq!(token.lifetime, Duration::from_secs(25 * 60));
    }

    #[test]
    fn a_token_that_is_unreadable_or_over_is_none() {
        for expires_at in ["", "soon", NOW, "2024-01-14T08:30:45Z"] {
            assert_eq!(meaning(&issued(expires_at).unwrap_err()), "transient", "{expires_at}");
        }
        let body = br#"{"token":{"expires_at":"2024-01-16T08:30:45.000000Z"}}"#;
        for headers in [&[][..], &[("X-Subject-Token", "")]] {
            let refused = read(&reply(201, headers, body), NOW.parse().unwrap()).unwrap_err();
            assert_eq!(meaning(&refused), "transient");
        }
        let refused = read(&reply(201, &[("X-Subject-Token", "T")], b"<html>"), NOW.parse().unwrap()).unwrap_err();
        assert_eq!(meaning(&refused), "transient");
    }

    #[test]
    fn a_refusal_in_either_shape_is_never_a_jobs_fault() {
        let check = |status: u16, body: &str, expected: &str| {
            let refused = read(&reply(status, &[], body.as_bytes()), NOW.parse().unwrap()).unwrap_err();
            assert_eq!(meaning(&refused), expected, "{status} {body}");
        };
        let iam =
            |status: u16, title: &str| format!(r#"{{"error":{{"code":{status},"message":"m","title":"{title}"}}}}"#);
        let gateway = |code: &str| format!(r#"{{"error_code":"{code}","error_msg":"m"}}"#);
        check(401, &iam(401, "Unauthorized"), "unauthorized");
        check(403, &iam(403, "Forbidden"), "unauthorized");
        check(400, &iam(400, "Bad Request"), "misconfigured");
        check(404, &iam(404, "Not Found"), "misconfigured");
        check(429, &iam(429, "Too Many Requests"), "throttled");
        check(500, &iam(500, "Internal Error"), "transient");
        check(503, &iam(503, "Service Unavailable"), "transient");
        check(401, &gateway("IAM.0101"), "unauthorized");
        check(400, &gateway("IAM.0011"), "misconfigured");
        check(404, &gateway("APIGW.0101"), "misconfigured");
        check(401, &gateway("APIGW.0307"), "unauthorized");
        check(429, &gateway("APIGW.0308"), "throttled");
        check(404, &gateway("RTC.00001003"), "misconfigured");
        check(200, "", "transient");
        check(302, "", "misconfigured");
        check(401, "<html>", "unauthorized");
        check(502, "<html>", "transient");
    }
}
