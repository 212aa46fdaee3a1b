//! What the answer means. The status alone says little: an error can come inside HTTP 200.

use http::StatusCode;
use serde_json::Value;

use crate::model::ids::RequestId;
use crate::model::verdict::{Fault, Verdict};
use crate::provider::trouble::{Trouble, nameless, text};
use crate::provider::{Reply, request_id};

/// Dismissed is a 200 with an envelope and no `Error` in it; `gone_codes` are looked up before all other codes.
pub(super) fn classify(reply: &Reply, gone_codes: &[String]) -> (Verdict, Option<RequestId>) {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let metadata = body.get("ResponseMetadata").filter(|metadata| metadata.is_object());
    let error = metadata.and_then(|metadata| metadata.get("Error")).filter(|error| !error.is_null());

    let verdict = match (reply.status, metadata, error) {
        (_, _, Some(error)) => of_error(reply, &Error::read(error), gone_codes),
        (StatusCode::OK, Some(_), None) => Verdict::Dismissed,
        // A 200 that cannot be read is no success: the proxy that wrote it may have passed nothing on.
        (_, _, None) => Trouble::by_status(reply.status, None).verdict(reply, nameless(reply)),
    };
    let id = metadata.and_then(|metadata| text(metadata, "RequestId"));
    let id = id.as_deref().or_else(|| reply.headers.get("x-tt-logid")?.to_str().ok());
    (verdict, id.and_then(request_id))
}

fn of_error(reply: &Reply, error: &Error, gone_codes: &[String]) -> Verdict {
    let Some(code) = error.code.as_deref() else {
        return Trouble::by_status(reply.status, None).verdict(reply, nameless(reply));
    };
    let trouble = if gone_codes.iter().any(|gone| gone == code) {
        Trouble::Gone
    } else {
        by_code(code, error.source).unwrap_or_else(|| Trouble::by_status(reply.status, Some(code)))
    };
    trouble.verdict(reply, Fault::new(code, error.message.as_str()))
}

/// Who found the fault: the gateway judges what all our requests share, the service judges the job.
#[derive(Clone, Copy)]
enum Source {
    Gateway,
    Service,
}

struct Error {
    code: Option<String>,
    message: String,
    source: Source,
}

impl Error {
    fn read(error: &Value) -> Self {
        // Only the gateway numbers its errors.
        let source = match error.get("CodeN").and_then(Value::as_i64) {
            None | Some(0) => Source::Service,
            Some(_) => Source::Gateway,
        };
        Self { code: text(error, "Code"), message: text(error, "Message").unwrap_or_default(), source }
    }
}

/// None where the code is of no known family.
fn by_code(code: &str, source: Source) -> Option<Trouble> {
    let (family, detail) = code.split_once('.').unwrap_or((code, ""));
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| family.starts_with(prefix));
    Some(match (family, detail) {
        // The application is another account's, or not allowed: the next job may name another one.
        ("AccessDenied", "NoPermissionForApp") | ("AccountIdMismatch", "") | (_, "AccountIdMismatch") => {
            Trouble::Rejected
        }
        ("FlowLimitExceeded" | "AccountFlowLimitExceeded" | "RequestLimitExceeded", _) => Trouble::Throttled,
        ("InternalError" | "FailToConnect", _) => Trouble::Transient,
        ("InvalidTimestamp" | "InvalidSecretToken", _) => Trouble::Stale,
        ("AccessDenied" | "LackPolicy" | "InvalidAccessKey" | "InvalidCredential" | "InvalidAuthorization", _) => {
            Trouble::Refused
        }
        ("InvalidActionOrVersion" | "ServiceNotFound" | "MethodNotAllowed", _) => Trouble::Misconfigured,
        // Action or version is missing: they are the same in every request.
        ("MissingRequestInfo", _) => Trouble::Misconfigured,
        // Every body of ours has an application and a room, and account IDs come from the gateway: if they got lost on
        // the way, they do for all jobs.
        ("InvalidParameter", "BodyIsEmpty" | "EmptyAccountId") => Trouble::Misconfigured,
        _ if begins(&["Throttling"]) => Trouble::Throttled,
        _ if begins(&["InternalService", "ServiceUnavailable"]) => Trouble::Transient,
        _ if begins(&["Signature", "MissingAuth", "MissingSign"]) => Trouble::Refused,
        _ if begins(&["Missing"]) => match source {
            // The gateway knows only parameters that all jobs send alike; the service may dislike this job's room.
            Source::Gateway => Trouble::Misconfigured,
            Source::Service => Trouble::Rejected,
        },
        ("InvalidParameter", _) => Trouble::Rejected,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::model::verdict::VerdictLabel;
    use crate::provider::testing::{meaning, reply};
    use crate::provider::volcengine::Settings;

    fn read(status: u16, headers: &[(&str, &str)], body: &str) -> (Verdict, Option<RequestId>) {
        classify(&reply(status, headers, body.as_bytes()), &Settings::default_gone_codes())
    }

    fn envelope(error: Value) -> String {
        json!({ "ResponseMetadata": { "RequestId": "q", "Action": "DismissRoom", "Error": error } }).to_string()
    }

    fn check(status: u16, error: Value, expected: &str) {
        let (verdict, id) = read(status, &[], &envelope(error.clone()));
        assert_eq!(meaning(&verdict), expected, "{status} {error}");
        assert_eq!(id.unwrap().as_str(), "q");
    }

    #[test]
    fn every_code_of_the_gateway_has_its_meaning_inside_200_too() {
        let rows = [
            ("MissingParameter", 100_002, 400, "misconfigured"),
            ("MissingAuthenticationToken", 100_003, 401, "unauthorized"),
            ("MissingRequestInfo", 100_004, 400, "misconfigured"),
            ("MissingSignature", 100_005, 401, "unauthorized"),
            ("InvalidTimestamp", 100_006, 400, "stale"),
            ("InvalidTimestamp", 100_006, 403, "stale"),
            ("ServiceNotFound", 100_007, 404, "misconfigured"),
            ("InvalidActionOrVersion", 100_008, 404, "misconfigured"),
            ("InvalidAccessKey", 100_009, 401, "unauthorized"),
            ("SignatureDoesNotMatch", 100_010, 401, "unauthorized"),
            ("LackPolicy", 100_012, 403, "unauthorized"),
            ("AccessDenied", 100_013, 403, "unauthorized"),
            ("InternalError", 100_014, 500, "transient"),
            ("FailToConnect", 100_015, 502, "transient"),
            ("InternalServiceTimeout", 100_016, 504, "transient"),
            ("FlowLimitExceeded", 100_018, 429, "throttled"),
            ("ServiceUnavailableTemp", 100_019, 503, "transient"),
            ("MethodNotAllowed", 100_020, 405, "misconfigured"),
            ("InternalServiceError", 100_023, 502, "transient"),
            ("InvalidAuthorization", 100_024, 400, "unauthorized"),
            ("InvalidCredential", 100_025, 400, "unauthorized"),
            ("InvalidSecretToken", 100_026, 401, "stale"),
            ("AccountFlowLimitExceeded", 100_027, 400, "throttled"),
        ];
        for (code, number, status, expected) in rows {
            check(status, json!({ "CodeN": number, "Code": code, "Message": "m" }), expected);
            check(200, json!({ "CodeN": number, "Code": code, "Message": "m" }), expected);
        }
    }

    #[test]
    fn every_code_of_the_service_has_its_meaning_whatever_the_status() {
        let rows = [
            ("InvalidParameter", "rejected"),
            ("InvalidParameter.IllegalRoomID", "rejected"),
            ("InvalidParameter.BodyIsEmpty", "misconfigured"),
            ("InvalidParameter.Unmarshal", "rejected"),
            ("InvalidParameter.EmptyAccountId", "misconfigured"),
            ("InvalidParameter.NotExistAppId", "rejected"),
            ("InvalidParameter.IllegalAppId", "rejected"),
            ("InvalidParameter.IllegalTo", "rejected"),
            ("InvalidParameter.IllegalFrom", "rejected"),
            ("InvalidParameter.SizeOverLimit", "rejected"),
            ("InvalidParameter.UserCountOverLimit", "rejected"),
            ("InvalidParameter.TaskAlreadyExists", "rejected"),
            ("InvalidParameter.StartTimeAfterEndTime", "rejected"),
            ("InvalidParameter.OutofTimeRange", "rejected"),
            ("InvalidParameter.ErrorActiveTaskNotFound", "rejected"),
            ("InvalidParameter.InvalidRtmpAddress", "rejected"),
            ("InvalidParameter.AccountIdMismatch", "rejected"),
            ("AccessDenied.AccountIdMismatch", "rejected"),
            ("AccountIdMismatch", "rejected"),
            ("FlowLimitExceeded.QPSOverLimit", "throttled"),
            ("FlowLimitExceeded.TaskNumberOverLimit", "throttled"),
            ("AccessDenied.NoPermissionForApp", "rejected"),
            ("AccessDenied.ServiceNotEnabled", "unauthorized"),
            ("AccessDenied.RecordNotEnabled", "unauthorized"),
            ("InternalError.GenerateTokenFailed", "transient"),
            ("InternalError.Anything", "transient"),
            ("RoomNotExist", "already_gone"),
            ("InvalidParameter.RoomNotExist", "already_gone"),
            ("InvalidParameter.NotExistRoom", "already_gone"),
            ("MissingParameter", "rejected"),
            ("MissingParameter.RoomId", "rejected"),
            ("Throttling.User", "throttled"),
            ("RequestLimitExceeded", "throttled"),
        ];
        for (code, expected) in rows {
            for status in [200, 400, 403, 404, 500] {
                check(status, json!({ "Code": code, "Message": "m" }), expected);
                check(status, json!({ "CodeN": 0, "Code": code }), expected);
            }
        }
    }

    #[test]
    fn an_unknown_code_is_judged_by_the_status() {
        let rows: [(&[u16], &str); 7] = [
            (&[200, 201, 204], "transient"),
            (&[408, 500, 502, 503, 504, 599], "transient"),
            (&[429], "throttled"),
            (&[401, 403], "unauthorized"),
            (&[400, 404, 409, 422], "rejected"),
            (&[405], "misconfigured"),
            (&[301, 302, 307, 308], "misconfigured"),
        ];
        for (statuses, expected) in rows {
            statuses.iter().for_each(|status| check(*status, json!({ "Code": "TaskNotExist" }), expected));
        }
    }

    #[test]
    fn without_a_code_the_status_tells_and_no_job_is_settled() {
        let bodies = ["", "<html>", "null", "[]", r#"{"ResponseMetadata":"x"}"#, r#"{"Result":{"message":"success"}}"#];
        let nameless = [json!({}), json!("text"), json!({ "Code": "" }), json!({ "Code": null, "CodeN": 1 })];
        let bodies: Vec<_> = bodies.map(String::from).into_iter().chain(nameless.map(envelope)).collect();
        let rows: [(&[u16], &str); 4] = [
            (&[200, 201, 202, 204, 400, 408, 413, 500, 502, 503, 504], "transient"),
            (&[429], "throttled"),
            (&[401], "unauthorized"),
            (&[301, 302, 403, 404, 405], "misconfigured"),
        ];
        for (statuses, expected) in rows {
            for (status, body) in statuses.iter().flat_map(|status| bodies.iter().map(move |body| (*status, body))) {
                let (verdict, _) = read(status, &[], body);
                assert_eq!(meaning(&verdict), expected, "{status} {body}");
                assert_eq!(verdict.fault().unwrap().code, format!("http.{status}"));
            }
        }
    }

    #[test]
    fn a_200_without_an_error_is_dismissed_whatever_the_result_says() {
        for result in [json!({ "message": "success" }), json!({ "Message": "Room has been banned" }), Value::Null] {
            let body = json!({ "ResponseMetadata": { "RequestId": "q" }, "Result": result }).to_string();
            assert_eq!(read(200, &[], &body).0, Verdict::Dismissed);
            assert_eq!(meaning(&read(202, &[], &body).0), "transient");
        }
    }

    #[test]
    fn a_throttle_keeps_its_words_and_its_pause() {
        let message =
            "Request was rejected because the request speed of this openAPI is beyond the current flow control limit.";
        let body = envelope(json!({ "CodeN": 100_027, "Code": "AccountFlowLimitExceeded", "Message": message }));
        let (verdict, _) = read(200, &[("Retry-After", "3")], &body);
        let Verdict::Throttled { retry_after, fault } = verdict else { panic!("{verdict:?}") };
        assert_eq!(retry_after.unwrap().as_secs(), 3);
        assert_eq!(fault, Fault::new("AccountFlowLimitExceeded", message));
    }

    #[test]
    fn gone_codes_are_the_operators_and_come_first() {
        let body = envelope(json!({ "Code": "InternalError.NoRoom" }));
        let (verdict, _) = classify(&reply(500, &[], body.as_bytes()), &["InternalError.NoRoom".to_owned()]);
        assert_eq!(meaning(&verdict), "already_gone");
    }

    #[test]
    fn the_request_id_comes_from_the_envelope_first() {
        let check = |body: &str, expected: Option<&str>| {
            let (_, id) = read(200, &[("X-Tt-Logid", "h")], body);
            assert_eq!(id.as_ref().map(RequestId::as_str), expected);
        };
        check(r#"{"ResponseMetadata":{"RequestId":"b"}}"#, Some("b"));
        check(r#"{"ResponseMetadata":{"RequestId":""}}"#, Some("h"));
        check("<html>", Some("h"));
        assert_eq!(read(500, &[], "").1, None);
    }

    proptest! {
        #[test]
        fn nothing_but_a_200_without_an_error_is_dismissed(
            status in prop_oneof![100_u16..=999, Just(200)],
            metadata in prop::option::of(prop::option::of("([A-Z][a-z]{2,12}){1,3}([.][A-Za-z]{1,9})?")),
            junk in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let dismissed = |body: &[u8]| {
                let (verdict, _) = classify(&reply(status, &[], body), &Settings::default_gone_codes());
                verdict.label() == VerdictLabel::Dismissed
            };
            let (body, success) = match metadata {
                None => (json!({}), false),
                Some(None) => (json!({ "ResponseMetadata": {} }), status == 200),
                Some(Some(code)) => (json!({ "ResponseMetadata": { "Error": { "Code": code } } }), false),
            };
            prop_assert_eq!(dismissed(body.to_string().as_bytes()), success);
            prop_assert!(!dismissed(&junk));
        }
    }
}
