//! What Huawei says, and how: the gateway's errors carry a `request_id`, the service's do not.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

use crate::sandbox::dialect::{self, Refusal, Reply, set_header};
use crate::sandbox::faults::Trouble;
use crate::sandbox::record::Kind;

pub(super) fn no_api() -> Refusal {
    let message = "The API does not exist or has not been published in the environment.";
    Refusal::new(Kind::Misrouted, StatusCode::NOT_FOUND, "APIGW.0101", message)
}

/// The vendor words all of these alike but for the end.
pub(super) fn bad_signature(why: impl AsRef<str>) -> Refusal {
    unauthorized(Kind::Refused, why.as_ref())
}

fn unauthorized(kind: Kind, why: &str) -> Refusal {
    let message = format!("Incorrect IAM authentication information: {why}");
    Refusal::new(kind, StatusCode::UNAUTHORIZED, "APIGW.0301", message)
}

pub(super) fn token_expired() -> Refusal {
    stale(Kind::Refused)
}

fn stale(kind: Kind) -> Refusal {
    Refusal::new(kind, StatusCode::UNAUTHORIZED, "APIGW.0307", "The token must be updated.")
}

/// How the vendor refuses a missing project is not documented; this is its own word for not knowing the account,
/// which comes, against all custom, with status 400.
pub(super) fn no_project() -> Refusal {
    let message = "OperationUnauthorized: get DomainID fail please check X-Project-Id";
    Refusal::new(Kind::Refused, StatusCode::BAD_REQUEST, "RTC.00001001", message)
}

pub(super) fn parameter(why: &str) -> Refusal {
    let message = format!("InvalidParameterValue: {why}");
    Refusal::new(Kind::Rejected, StatusCode::BAD_REQUEST, "RTC.00001003", message)
}

pub(super) fn fault(trouble: Trouble) -> Refusal {
    match trouble {
        Trouble::Fail(status) => failure(status),
        Trouble::ErrorIn200 => Refusal::new(Kind::ErrorIn200, StatusCode::OK, "RTC.00002001", "InternalError"),
        Trouble::Throttled => Refusal::new(
            Kind::Throttled,
            StatusCode::TOO_MANY_REQUESTS,
            "APIGW.0308",
            "The throttling threshold has been reached: policy user over ratelimit",
        ),
        Trouble::Gone => {
            Refusal::new(Kind::Gone, StatusCode::NOT_FOUND, "RTC.00001003", "InvalidParameterValue: no such room")
        }
        Trouble::BadParam => parameter("room_id"),
        Trouble::NoAuth => unauthorized(Kind::Unauthorized, "verify aksk signature fail"),
        Trouble::Stale => stale(Kind::Unauthorized),
        Trouble::Foreign => Refusal { kind: Kind::Foreign, ..parameter("app_id belongs to another account") },
        Trouble::NoApi => no_api(),
    }
}

fn failure(status: StatusCode) -> Refusal {
    let (code, message) = match status.as_u16() {
        502 => ("APIGW.0201", "Backend unavailable"),
        503 => ("APIGW.0613", "IAM service unavailable"),
        504 => ("APIGW.0201", "Backend timeout"),
        _ => ("RTC.00002001", "InternalError"),
    };
    Refusal::new(Kind::Failed, status, code, message)
}

pub(super) fn error(refusal: &Refusal, request_id: &str) -> Reply {
    let mut value = json!({ "error_code": refusal.code, "error_msg": refusal.message });
    if refusal.code.starts_with("APIGW.") {
        value["request_id"] = request_id.into();
    }
    let mut reply = dialect::json(refusal.status, &value);
    set_header(&mut reply, "x-request-id", request_id);
    reply
}

pub(super) fn empty(status: StatusCode, request_id: &str) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::new()));
    *reply.status_mut() = status;
    set_header(&mut reply, "x-request-id", request_id);
    reply
}
