//! What the answer means. The status decides, not the code alone: 400 and 404 can carry the same one.

use http::StatusCode;
use serde_json::Value;

use super::Auth;
use crate::model::ids::RequestId;
use crate::model::verdict::{Fault, Verdict};
use crate::provider::trouble::{Trouble, nameless, text};
use crate::provider::{Reply, request_id};

/// Dismissed is the documented 202 and no other status: a 200 comes from something that is not this API.
pub(super) fn classify(reply: &Reply, auth: &Auth) -> (Verdict, Option<RequestId>) {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let verdict = match (reply.status, error(&body)) {
        (StatusCode::ACCEPTED, None) => Verdict::Dismissed,
        (status, Some(fault)) => {
            let trouble = by_code(&fault, status).unwrap_or_else(|| Trouble::by_status(status, Some(&fault.code)));
            renewable(trouble, auth).verdict(reply, fault)
        }
        (status, None) => Trouble::by_status(status, None).verdict(reply, nameless(reply)),
    };
    let id = reply.headers.get("x-request-id").and_then(|value| request_id(value.to_str().ok()?));
    (verdict, id.or_else(|| request_id(&text(&body, "request_id")?)))
}

/// `{"error_code","error_msg"}`, as the API and its gateway write it.
pub(super) fn error(body: &Value) -> Option<Fault> {
    let message = text(body, "error_msg").unwrap_or_default();
    Some(Fault::new(text(body, "error_code")?, message))
}

/// Only a token can be replaced; a signature is new each time, and repeating a refused one gets the key locked.
fn renewable(trouble: Trouble, auth: &Auth) -> Trouble {
    match (trouble, auth) {
        (Trouble::Stale, Auth::AkSk(_)) => Trouble::Refused,
        (trouble, Auth::AkSk(_) | Auth::Token(_)) => trouble,
    }
}

/// None where the status has to tell.
pub(super) fn by_code(fault: &Fault, status: StatusCode) -> Option<Trouble> {
    let code = fault.code.as_str();
    let known = if let Some(number) = code.strip_prefix("RTC.") {
        by_service(number, status)
    } else {
        // Some services write the shorter prefix.
        let number = code.strip_prefix("APIGW.").or_else(|| code.strip_prefix("APIG."));
        number.and_then(|number| by_gateway(number, &fault.message, status))
    };
    // A 404 that is not the service's own speaks of the URL, not of the room.
    known.or_else(|| (status == StatusCode::NOT_FOUND).then_some(Trouble::Misconfigured))
}

fn by_service(number: &str, status: StatusCode) -> Option<Trouble> {
    match (number, status) {
        // Comes with status 400.
        ("00001001", _) => Some(Trouble::Refused),
        _ if number.starts_with("00002") => Some(Trouble::Transient),
        // No code tells a room that is gone from a wrong application: the vendor gives both the same.
        (_, StatusCode::NOT_FOUND) => Some(Trouble::Gone),
        _ => None,
    }
}

/// Requests differ only in two short IDs of a safe alphabet: where the gateway blames anything else of a request, or the
/// API as it is published, it would do so for all jobs.
fn by_gateway(number: &str, message: &str, status: StatusCode) -> Option<Trouble> {
    match (number, status.as_u16()) {
        ("0101" | "0104" | "0105" | "0106" | "0607", _) => Some(Trouble::Misconfigured),
        ("0103", _) => Some(Trouble::Transient),
        // Body, URI or headers too large: the body is empty, the URI short, the headers are the same in all requests.
        ("0201", 413 | 414 | 494) => Some(Trouble::Misconfigured),
        ("0201" | "0602", 400) => Some(Trouble::Rejected),
        ("0301", _) if message.to_ascii_lowercase().contains("token expire") => Some(Trouble::Stale),
        ("0307", _) => Some(Trouble::Stale),
        ("0301" | "0302" | "0303" | "0304" | "0305" | "0306", _) => Some(Trouble::Refused),
        ("0308", _) => Some(Trouble::Throttled),
        // Project, address, region; quota used up or account in arrears: the account's state.
        ("0310" | "0401" | "0402" | "0404" | "0501" | "0502" | "0801" | "0802", _) => Some(Trouble::Refused),
        ("0601" | "0605" | "0606" | "0608" | "0609" | "0610" | "0611" | "0612" | "0613" | "0705", _) => {
            Some(Trouble::Transient)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::secret::Secret;
    use crate::model::verdict::VerdictLabel;
    use crate::provider::endpoint::Endpoint;
    use crate::provider::huawei::{IamUser, Keys, Project};
    use crate::provider::testing::{meaning, reply};

    fn signing() -> Auth {
        Auth::AkSk(Keys {
            access_key_id: Secret::new("AK"),
            secret_access_key: Secret::new("SK"),
            security_token: None,
            project_id: None,
        })
    }

    fn by_token() -> Auth {
        Auth::Token(IamUser {
            iam_endpoint: Endpoint::parse("https://iam.myhuaweicloud.com").unwrap(),
            domain: "D".into(),
            user: "U".into(),
            password: Secret::new("PW"),
            project: Project::Name("P".into()),
        })
    }

    fn check(status: u16, code: &str, message: &str, expected: &str) {
        let body = serde_json::json!({ "error_code": code, "error_msg": message, "request_id": "q" }).to_string();
        let (verdict, id) = classify(&reply(status, &[], body.as_bytes()), &signing());
        assert_eq!(meaning(&verdict), expected, "{status} {code} {message}");
        assert_eq!(verdict.fault().unwrap(), &Fault::new(code, message));
        assert_eq!(id.unwrap().as_str(), "q");
    }

    #[test]
    fn every_code_of_the_service_has_its_meaning() {
        let unauthorized = "OperationUnauthorized: get DomainID fail please check X-Auth-Token";
        check(400, "RTC.00001001", unauthorized, "unauthorized");
        check(400, "RTC.00001003", "InvalidParameterValue", "rejected");
        check(404, "RTC.00001003", "InvalidParameterValue", "already_gone");
        check(404, "RTC.00001999", "", "already_gone");
        check(500, "RTC.00002001", "InternalError", "transient");
        check(500, "RTC.00002xxx", "InternalError", "transient");
        check(404, "RTC.00002001", "InternalError", "transient");
        check(400, "RTC.00001999", "", "rejected");
        check(503, "RTC.00001999", "", "transient");
    }

    #[test]
    fn every_code_of_the_gateway_has_its_meaning_with_either_prefix() {
        let rows: [(u16, &[&str], &str); 18] = [
            (404, &["0101"], "misconfigured"),
            (404, &["0103"], "transient"),
            (400, &["0104", "0105", "0106"], "misconfigured"),
            (400, &["0201"], "rejected"),
            (413, &["0201"], "misconfigured"),
            (414, &["0201"], "misconfigured"),
            (494, &["0201"], "misconfigured"),
            (502, &["0201"], "transient"),
            (504, &["0201"], "transient"),
            (401, &["0301", "0303", "0305", "0307"], "unauthorized"),
            (403, &["0302", "0304", "0306"], "unauthorized"),
            (429, &["0308"], "throttled"),
            (403, &["0310", "0401", "0402", "0404", "0801", "0802"], "unauthorized"),
            (405, &["0501", "0502"], "unauthorized"),
            (500, &["0601", "0605", "0606", "0608", "0609", "0611", "0612", "0705"], "transient"),
            (400, &["0602"], "rejected"),
            (400, &["0607"], "misconfigured"),
            (404, &["0999"], "misconfigured"),
        ];
        for (status, numbers, expected) in rows {
            for number in numbers {
                check(status, &format!("APIGW.{number}"), "", expected);
                check(status, &format!("APIG.{number}"), "", expected);
            }
        }
        check(502, "APIGW.0610", "", "transient");
        check(503, "APIGW.0613", "", "transient");
    }

    #[test]
    fn only_a_token_that_went_stale_is_renewed() {
        let check = |code: &str, tail: &str, with_token: &str, with_signature: &str| {
            let message = format!("Incorrect IAM authentication information: {tail}");
            let body = serde_json::json!({ "error_code": code, "error_msg": message }).to_string();
            let reply = reply(401, &[], body.as_bytes());
            assert_eq!(meaning(&classify(&reply, &by_token()).0), with_token, "{code} {tail}");
            assert_eq!(meaning(&classify(&reply, &signing()).0), with_signature, "{code} {tail}");
        };
        check("APIGW.0307", "The token must be updated.", "stale", "unauthorized");
        check("APIGW.0301", "token expires", "stale", "unauthorized");
        for tail in [
            "verify aksk signature fail",
            "Get secretKey failed,ak:AK,err:ak not exist",
            "x-auth-token not found",
            "decrypt token fail",
            "AK access failed to reach the limit, forbidden",
        ] {
            check("APIGW.0301", tail, "unauthorized", "unauthorized");
        }
    }

    #[test]
    fn a_404_means_gone_only_in_the_words_of_the_service() {
        check(404, "APIGW.0101", "The API does not exist", "misconfigured");
        check(404, "Other.0001", "", "misconfigured");
        check(404, "APIGWX.0101", "", "misconfigured");
        for body in ["", "<html>", "{}", r#"{"error_code":""}"#, r#"{"error_code":null}"#, "[]"] {
            let (verdict, _) = classify(&reply(404, &[], body.as_bytes()), &signing());
            assert_eq!(meaning(&verdict), "misconfigured", "{body}");
        }
    }

    #[test]
    fn without_a_code_the_status_tells() {
        let rows: [(&[u16], &str); 5] = [
            (&[202], "dismissed"),
            (&[200, 201, 204, 206, 400, 408, 418, 500, 502, 503, 504, 599, 999], "transient"),
            (&[301, 302, 307, 308, 403, 404, 405], "misconfigured"),
            (&[401], "unauthorized"),
            (&[429], "throttled"),
        ];
        for (statuses, expected) in rows {
            for status in statuses {
                let (verdict, id) = classify(&reply(*status, &[], b"<html>"), &signing());
                assert_eq!(meaning(&verdict), expected, "{status}");
                assert_eq!(id, None);
            }
        }
    }

    #[test]
    fn an_error_inside_a_success_is_an_error() {
        check(202, "RTC.00002001", "", "transient");
        check(200, "RTC.00001003", "", "transient");
    }

    #[test]
    fn a_throttle_keeps_its_words_and_its_pause() {
        let body = br#"{"error_msg":"The throttling threshold has been reached: policy user over ratelimit,limit:200,time:5 minute","error_code":"APIGW.0308","request_id":"q"}"#;
        let (verdict, _) = classify(&reply(429, &[("retry-after", "7")], body), &signing());
        let Verdict::Throttled { retry_after, fault } = verdict else { panic!("{verdict:?}") };
        assert_eq!(retry_after.unwrap().as_secs(), 7);
        assert!(fault.message.ends_with("limit:200,time:5 minute"));
    }

    #[test]
    fn the_request_id_comes_from_the_header_first() {
        let check = |headers: &[(&str, &str)], body: &str, expected: Option<&str>| {
            let (_, id) = classify(&reply(202, headers, body.as_bytes()), &signing());
            assert_eq!(id.as_ref().map(RequestId::as_str), expected);
        };
        check(&[("X-request-Id", "h")], r#"{"request_id":"b"}"#, Some("h"));
        check(&[("X-REQUEST-ID", " ")], r#"{"request_id":"b"}"#, Some("b"));
        check(&[], r#"{"request_id":"b"}"#, Some("b"));
        check(&[], "", None);
    }

    proptest! {
        #[test]
        fn nothing_but_a_202_without_an_error_is_dismissed(
            status in prop_oneof![100_u16..=999, Just(202), Just(404)],
            code in "(RTC[.]|APIGW?[.])?[0-9x]{0,8}",
            junk in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let dismissed = |body: &[u8]| {
                classify(&reply(status, &[], body), &by_token()).0.label() == VerdictLabel::Dismissed
            };
            let body = serde_json::json!({ "error_code": code }).to_string();
            prop_assert_eq!(dismissed(body.as_bytes()), status == 202 && code.is_empty());
            prop_assert!(!dismissed(&junk) || status == 202);
        }
    }
}
