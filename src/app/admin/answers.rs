//! What is answered: JSON, or a plain sentence where something is wrong.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;

use super::gate::Refusal;
use crate::ports::ledger::LedgerError;

pub(super) fn plain(status: StatusCode, text: &str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{text}\n")).into_response()
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let json = serde_json::to_string(value).expect("texts and numbers can be written as JSON");
    (status, [(CONTENT_TYPE, "application/json")], json).into_response()
}

/// Not now; in a few seconds perhaps.
pub(super) fn unavailable(why: &str) -> Response {
    ([(RETRY_AFTER, "5")], plain(StatusCode::SERVICE_UNAVAILABLE, why)).into_response()
}

pub(super) fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::NoToken => {
            let why = "this needs the header Authorization: Bearer with the admin.token";
            ([(WWW_AUTHENTICATE, "Bearer")], plain(StatusCode::UNAUTHORIZED, why)).into_response()
        }
        Refusal::NoneConfigured => {
            plain(StatusCode::FORBIDDEN, "this port is not on loopback: set admin.token, and send it")
        }
        Refusal::ForeignHost => {
            plain(StatusCode::FORBIDDEN, "without the admin.token only requests to localhost by its name are taken")
        }
        Refusal::CrossSite => plain(StatusCode::FORBIDDEN, "pages of other origins change nothing here"),
    }
}

/// Why a request of the API got no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No ledger is configured.
    NoLedger,
    LedgerAway,
    /// The request is wrong; the text names where.
    Faulty(String),
    /// Nothing goes by that name.
    Unknown(String),
    /// A body that is said to be something else than JSON.
    NotJson,
}

impl From<LedgerError> for Trouble {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Away(reason) => {
                tracing::debug!(reason, "the ledger did not answer the admin port");
                Trouble::LedgerAway
            }
            LedgerError::Refused(reason) => Trouble::Faulty(format!("the ledger refuses this: {reason}")),
        }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        match self {
            Trouble::NoLedger => plain(
                StatusCode::NOT_IMPLEMENTED,
                "this needs a ledger, and none is configured: set url in the section [ledger]",
            ),
            Trouble::LedgerAway => unavailable("the ledger is away; dismissing goes on: ask again when it is back"),
            Trouble::Faulty(why) => plain(StatusCode::BAD_REQUEST, &why),
            Trouble::Unknown(why) => plain(StatusCode::NOT_FOUND, &why),
            Trouble::NotJson => {
                plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the header Content-Type: application/json")
            }
        }
    }
}
