//! What Volcengine says, and how. Statuses of business errors are not documented; 400 is assumed.

use http::StatusCode;
use serde_json::{Value, json};

use crate::sandbox::dialect::{self, Refusal, Reply, set_header};
use crate::sandbox::faults::Trouble;
use crate::sandbox::record::Kind;
use crate::sandbox::settings::VolcengineThrottle;

use super::Operation;

/// An error of the gateway: those have numbers.
pub(super) fn gateway(
    kind: Kind,
    status: StatusCode,
    number: u32,
    code: &'static str,
    message: impl Into<String>,
) -> Refusal {
    Refusal { number, ..Refusal::new(kind, status, code, message) }
}

pub(super) fn no_action(operation: &Operation) -> Refusal {
    let message = format!("There is no action {:?} of version {:?}", operation.action, operation.version);
    gateway(Kind::Misrouted, StatusCode::NOT_FOUND, 100_008, "InvalidActionOrVersion", message)
}

pub(super) fn missing(name: &str) -> Refusal {
    let message = format!("The parameter {name} is missing");
    gateway(Kind::Rejected, StatusCode::BAD_REQUEST, 100_002, "MissingParameter", message)
}

pub(super) fn parameter(code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal::new(Kind::Rejected, StatusCode::BAD_REQUEST, code, message)
}

pub(super) fn fault(operation: &Operation, trouble: Trouble, throttle: VolcengineThrottle) -> Refusal {
    let business = |kind, status, code, message: &str| Refusal::new(kind, status, code, message);
    match trouble {
        Trouble::Fail(status) => failure(Kind::Failed, status, status),
        Trouble::ErrorIn200 => failure(Kind::ErrorIn200, StatusCode::OK, StatusCode::INTERNAL_SERVER_ERROR),
        Trouble::Throttled => throttled(throttle),
        Trouble::Gone => {
            business(Kind::Gone, StatusCode::BAD_REQUEST, "InvalidParameter.RoomNotExist", "There is no such room")
        }
        Trouble::BadParam => parameter("InvalidParameter.IllegalRoomID", "The room ID is illegal"),
        Trouble::NoAuth => gateway(
            Kind::Unauthorized,
            StatusCode::UNAUTHORIZED,
            100_009,
            "InvalidAccessKey",
            "The access key is unknown",
        ),
        Trouble::Stale => gateway(
            Kind::Unauthorized,
            StatusCode::BAD_REQUEST,
            100_006,
            "InvalidTimestamp",
            "X-Date is too far from the time here",
        ),
        Trouble::Foreign => business(
            Kind::Foreign,
            StatusCode::FORBIDDEN,
            "AccessDenied.NoPermissionForApp",
            "The application belongs to another account",
        ),
        Trouble::NoApi => no_action(operation),
    }
}

fn failure(kind: Kind, sent: StatusCode, meant: StatusCode) -> Refusal {
    let (number, code) = match meant.as_u16() {
        502 => (100_015, "FailToConnect"),
        503 => (100_019, "ServiceUnavailableTemp"),
        504 => (100_016, "InternalServiceTimeout"),
        _ => (100_014, "InternalError"),
    };
    gateway(kind, sent, number, code, "The service failed to handle the request")
}

fn throttled(throttle: VolcengineThrottle) -> Refusal {
    let (status, number, code) = match throttle {
        VolcengineThrottle::Status429 => (StatusCode::TOO_MANY_REQUESTS, 100_018, "FlowLimitExceeded"),
        VolcengineThrottle::Status400 => (StatusCode::BAD_REQUEST, 100_027, "AccountFlowLimitExceeded"),
        VolcengineThrottle::Inside200 => (StatusCode::OK, 100_027, "AccountFlowLimitExceeded"),
    };
    gateway(Kind::Throttled, status, number, code, "The request is beyond the flow limit of this action")
}

pub(super) fn success(operation: &Operation, request_id: &str) -> Reply {
    let name = if operation.version == "2023-11-01" { "Message" } else { "message" };
    let metadata = metadata(operation, request_id);
    let value = json!({ "ResponseMetadata": metadata, "Result": { name: "success" } });
    sealed(StatusCode::OK, &value, request_id)
}

pub(super) fn error(operation: &Operation, refusal: &Refusal, request_id: &str) -> Reply {
    let mut metadata = metadata(operation, request_id);
    metadata["Error"] = json!({ "Code": refusal.code, "Message": refusal.message });
    if refusal.number != 0 {
        metadata["Error"]["CodeN"] = refusal.number.into();
    }
    sealed(refusal.status, &json!({ "ResponseMetadata": metadata }), request_id)
}

fn metadata(operation: &Operation, request_id: &str) -> Value {
    json!({
        "RequestId": request_id,
        "Action": operation.action,
        "Version": operation.version,
        "Service": "rtc",
        "Region": operation.region,
    })
}

fn sealed(status: StatusCode, value: &Value, request_id: &str) -> Reply {
    let mut reply = dialect::json(status, value);
    set_header(&mut reply, "x-tt-logid", request_id);
    reply
}
