//! What a reply means that is no success, whatever the cloud.

use http::StatusCode;
use serde_json::Value;

use super::{Reply, retry_after};
use crate::model::verdict::{Cure, Fault, Verdict};

/// A verdict before it has its fault. Success is not among them: no table of codes can ever make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Gone,
    Throttled,
    Transient,
    /// Credentials that only the operator can mend.
    Refused,
    /// A signature or token that a new one can replace.
    Stale,
    Misconfigured,
    Rejected,
}

impl Trouble {
    /// What the status alone says of an error whose code is not known, or that has none.
    ///
    /// A job is rejected only where the provider itself named a code. A 4xx without one comes from something in between,
    /// or from the wrong server: no job is settled by that.
    pub(super) fn by_status(status: StatusCode, code: Option<&str>) -> Self {
        match (status.as_u16(), code) {
            (429, _) => Trouble::Throttled,
            // A firewall or a proxy forbids whatever it likes: that shows nothing of credentials, which it does not know.
            (403, None) => Trouble::Misconfigured,
            (401 | 403, _) => Trouble::Refused,
            (408, _) => Trouble::Transient,
            // All jobs go to the same server in the same way: what redirects one, or forbids POST, does it to all.
            (300..=399 | 405, _) | (404, None) => Trouble::Misconfigured,
            (400..=499, Some(_)) => Trouble::Rejected,
            // 5xx; and a 2xx that is not the documented success, because asking again is harmless and believing it is not.
            _ => Trouble::Transient,
        }
    }

    pub(super) fn verdict(self, reply: &Reply, fault: Fault) -> Verdict {
        match self {
            Trouble::Gone => Verdict::AlreadyGone(fault),
            Trouble::Throttled => Verdict::Throttled { retry_after: retry_after(&reply.headers), fault },
            Trouble::Transient => Verdict::Transient(fault),
            Trouble::Refused => Verdict::Unauthorized { cure: Cure::Operator, fault },
            Trouble::Stale => Verdict::Unauthorized { cure: Cure::FreshStamp, fault },
            Trouble::Misconfigured => Verdict::Misconfigured(fault),
            Trouble::Rejected => Verdict::Rejected(fault),
        }
    }
}

/// The fault of a reply that names none: its status, and never its body, which may be anything.
pub(super) fn nameless(reply: &Reply) -> Fault {
    let reason = reply.status.canonical_reason().unwrap_or("Unknown status");
    let message = format!("{reason}; no error code in a body of {} bytes", reply.body.len());
    Fault::new(format!("http.{}", reply.status.as_u16()), message)
}

/// A member of a JSON object as text: a number will do, an empty text will not.
pub(super) fn text(object: &Value, name: &str) -> Option<String> {
    match object.get(name)? {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
