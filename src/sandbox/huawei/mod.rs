//! The Huawei stand-in: application and room in the path, no body, signed by key or token.

pub(super) mod lockout;
mod reply;
mod verify;

use http::request::Parts;
use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;

use super::Sandbox;
use super::dialect::{Dialect, Heard, Refusal, Reply, Success};
use super::faults::Trouble;
use super::record::{Action, Cloud, Kind};

/// What a request's path asks for.
pub(super) struct Operation {
    /// Application and room; None if the path is no dismissal, or the method not its own.
    dismissal: Option<(String, String)>,
}

impl Operation {
    /// None if the request is not for this cloud at all.
    pub(super) fn of(head: &Parts) -> Option<Self> {
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let segments: Vec<_> = head.uri.path().split('/').map(decode).collect();
        let segments: Vec<_> = segments.iter().map(String::as_str).collect();
        match segments[..] {
            ["", "v2", "apps", app, "rooms", room, "dismiss"] if head.method == Method::POST => {
                Some(Self { dismissal: Some((app.to_owned(), room.to_owned())) })
            }
            ["", "v2", ..] => Some(Self { dismissal: None }),
            _ => None,
        }
    }
}

impl Dialect for Operation {
    fn cloud(&self) -> Cloud {
        Cloud::Huawei
    }

    fn action(&self) -> Option<Action> {
        self.dismissal.is_some().then_some(Action::RemoveRoom)
    }

    fn subject(&self, _heard: &Heard) -> (Option<String>, Option<String>) {
        self.dismissal.clone().unzip()
    }

    fn verify(&self, heard: &Heard, sandbox: &Sandbox) -> Result<(), Refusal> {
        if self.dismissal.is_none() {
            return Err(reply::no_api());
        }
        verify::verify(heard, sandbox)
    }

    fn check(&self, heard: &Heard) -> Result<(), Refusal> {
        let (app, room) = self.dismissal.as_ref().ok_or_else(reply::no_api)?;
        let is_json = heard.header("content-type").is_some_and(|value| value.starts_with("application/json"));
        if !is_json {
            return Err(reply::parameter("Content-Type must be application/json"));
        }
        if app.is_empty() {
            return Err(reply::parameter("app_id must not be empty"));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if room.is_empty() || room.len() > 64 || !room.chars().all(allowed) {
            return Err(reply::parameter("room_id must be 1 to 64 letters, digits, '_' or '-'"));
        }
        Ok(())
    }

    fn succeed(&self, _heard: &Heard, _sandbox: &Sandbox, request_id: &str) -> Success {
        Success { kind: Kind::Accepted, reply: reply::empty(StatusCode::ACCEPTED, request_id) }
    }

    fn fail(&self, trouble: Trouble, _sandbox: &Sandbox) -> Refusal {
        reply::fault(trouble)
    }

    fn render(&self, refusal: &Refusal, request_id: &str) -> Reply {
        reply::error(refusal, request_id)
    }
}
