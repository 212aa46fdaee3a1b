//! The Volcengine stand-in: one path, the action in the query, JSON in and out.

mod reply;
mod verify;

use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Map, Value};

use super::Sandbox;
use super::dialect::{Dialect, Heard, Refusal, Reply, Success, query};
use super::faults::Trouble;
use super::record::{Action, Cloud, Kind};

/// What a request's query asks for, known or not.
pub(super) struct Operation {
    action: String,
    version: String,
    /// Taken from the signature, because the host tells nothing here.
    region: String,
}

impl Operation {
    /// None if the request is not for this cloud at all: another path, or no action in the query.
    pub(super) fn of(head: &Parts) -> Option<Self> {
        let query = query(head);
        let find = |name: &str| query.iter().find(|pair| pair.0 == name).map(|pair| pair.1.clone());
        if head.uri.path() != "/" {
            return None;
        }
        let action = find("Action").or_else(|| (head.method == Method::POST).then(String::new))?;
        Some(Self { action, version: find("Version").unwrap_or_default(), region: verify::region(head) })
    }

    fn known(&self) -> Option<Action> {
        match (self.action.as_str(), self.version.as_str()) {
            ("DismissRoom", "2020-12-01") => Some(Action::DismissRoom),
            ("BanRoomUser", "2020-12-01" | "2023-11-01") => Some(Action::BanRoomUser),
            _ => None,
        }
    }
}

impl Dialect for Operation {
    fn cloud(&self) -> Cloud {
        Cloud::Volcengine
    }

    fn action(&self) -> Option<Action> {
        self.known()
    }

    fn subject(&self, heard: &Heard) -> (Option<String>, Option<String>) {
        let body: Map<String, Value> = serde_json::from_slice(heard.body).unwrap_or_default();
        let text = |name: &str| body.get(name)?.as_str().map(str::to_owned);
        (text("AppId"), text("RoomId"))
    }

    fn verify(&self, heard: &Heard, sandbox: &Sandbox) -> Result<(), Refusal> {
        if self.known().is_none() {
            return Err(reply::no_action(self));
        }
        if heard.head.method != Method::POST {
            let message = format!("The method {} is not allowed", heard.head.method);
            let status = StatusCode::METHOD_NOT_ALLOWED;
            return Err(reply::gateway(Kind::Misrouted, status, 100_020, "MethodNotAllowed", message));
        }
        verify::verify(heard, &sandbox.settings.volcengine)
    }

    fn check(&self, heard: &Heard) -> Result<(), Refusal> {
        if heard.body.is_empty() {
            return Err(reply::parameter("InvalidParameter.BodyIsEmpty", "The body is empty"));
        }
        let body: Map<String, Value> = serde_json::from_slice(heard.body)
            .map_err(|_| reply::parameter("InvalidParameter.Unmarshal", "The body is not a JSON object"))?;
        required(&body, "AppId")?;
        match self.known() {
            Some(Action::BanRoomUser) => check_ban(&body, &self.version),
            _ => required(&body, "RoomId"),
        }
    }

    fn succeed(&self, _heard: &Heard, _sandbox: &Sandbox, request_id: &str) -> Success {
        Success { kind: Kind::Accepted, reply: reply::success(self, request_id) }
    }

    fn fail(&self, trouble: Trouble, sandbox: &Sandbox) -> Refusal {
        reply::fault(self, trouble, sandbox.settings.throttling.volcengine)
    }

    fn render(&self, refusal: &Refusal, request_id: &str) -> Reply {
        reply::error(self, refusal, request_id)
    }
}

/// A text that must be there and not be empty.
fn required(body: &Map<String, Value>, name: &str) -> Result<(), Refusal> {
    match text(body, name)? {
        Some(value) if !value.is_empty() => Ok(()),
        Some(_) | None => Err(reply::missing(name)),
    }
}

fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Refusal> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(value)) => Ok(Some(value)),
        Some(_) => Err(reply::parameter("InvalidParameter", format!("{name} must be a string"))),
    }
}

/// A ban needs somebody to ban. The vendor bends intervals out of range instead of refusing them; a type it cannot bend.
fn check_ban(body: &Map<String, Value>, version: &str) -> Result<(), Refusal> {
    let targets: &[&str] = if version == "2023-11-01" { &["RoomId", "UserId", "IP"] } else { &["RoomId", "UserId"] };
    let mut named = false;
    for target in targets {
        named |= text(body, target)?.is_some_and(|value| !value.is_empty());
    }
    if !named {
        return Err(reply::missing(&targets.join(" or ")));
    }
    match body.get("ForbiddenInterval") {
        None | Some(Value::Null) => Ok(()),
        Some(interval) if interval.is_u64() => Ok(()),
        Some(_) => Err(reply::parameter("InvalidParameter", "ForbiddenInterval must be a number of seconds")),
    }
}
