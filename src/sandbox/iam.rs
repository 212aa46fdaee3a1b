//! Huawei's token service: a password in, a token out.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::request::Parts;
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::provider::encoding::sha256_hex;

use super::Sandbox;
use super::dialect::{self, Dialect, Heard, Refusal, Reply, Success, set_header};
use super::faults::Trouble;
use super::record::{Action, Cloud, Kind};

/// Tokens issued, by their text, and until when they are good.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<HashMap<String, Timestamp>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenState {
    Valid,
    /// Expired or revoked.
    Expired,
    Unknown,
}

/// Expired tokens are kept to be told from unknown ones, up to this many.
const MOST_TOKENS: usize = 10_000;

impl Tokens {
    pub(super) fn state(&self, token: &str, now: Timestamp) -> TokenState {
        match self.tokens().get(token) {
            Some(until) if now < *until => TokenState::Valid,
            Some(_) => TokenState::Expired,
            None => TokenState::Unknown,
        }
    }

    /// Makes all tokens stale at once, as a change of the password does.
    pub(super) fn revoke(&self) {
        self.tokens().values_mut().for_each(|until| *until = Timestamp::MIN);
    }

    fn issue(&self, seed: &str, now: Timestamp, until: Timestamp) -> String {
        let token = format!("sandbox-token-{}", sha256_hex(seed.as_bytes()));
        let mut tokens = self.tokens();
        if tokens.len() >= MOST_TOKENS {
            tokens.retain(|_, until| now < *until);
        }
        tokens.insert(token.clone(), until);
        token
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<String, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call of the token service, or of something else under `/v3`.
pub(super) struct Operation {
    action: Option<Action>,
}

#[derive(Deserialize)]
struct Body {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    identity: Identity,
    scope: Scope,
}

#[derive(Deserialize)]
struct Identity {
    methods: Vec<String>,
    password: Password,
}

#[derive(Deserialize)]
struct Password {
    user: User,
}

#[derive(Deserialize)]
struct User {
    domain: Named,
    name: String,
    password: String,
}

#[derive(Deserialize)]
struct Scope {
    project: Project,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Project {
    Id { id: String },
    Name { name: String },
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl Operation {
    /// None if the request is not for this cloud at all.
    pub(super) fn of(head: &Parts) -> Option<Self> {
        let is_call = head.method == Method::POST && head.uri.path() == "/v3/auth/tokens";
        head.uri.path().starts_with("/v3/").then(|| Self { action: is_call.then_some(Action::CreateToken) })
    }
}

impl Dialect for Operation {
    fn cloud(&self) -> Cloud {
        Cloud::Iam
    }

    fn action(&self) -> Option<Action> {
        self.action
    }

    fn subject(&self, _heard: &Heard) -> (Option<String>, Option<String>) {
        (None, None)
    }

    fn verify(&self, heard: &Heard, sandbox: &Sandbox) -> Result<(), Refusal> {
        if self.action.is_none() {
            return Err(refusal(Kind::Misrouted, StatusCode::NOT_FOUND, "Not Found", "There is no such API."));
        }
        let Auth { identity, scope } = read(heard)?.auth;
        if !identity.methods.iter().any(|method| method == "password") {
            return Err(bad_request("methods must name password."));
        }
        let (Project::Id { id: project } | Project::Name { name: project }) = scope.project;
        if project.is_empty() {
            return Err(bad_request("The project must not be empty."));
        }
        let (user, known) = (identity.password.user, &sandbox.settings.iam);
        let same =
            user.domain.name == known.domain && user.name == known.user && user.password == known.password.expose();
        let message = "The username or password is wrong.";
        if same { Ok(()) } else { Err(refusal(Kind::Refused, StatusCode::UNAUTHORIZED, "Unauthorized", message)) }
    }

    fn check(&self, _heard: &Heard) -> Result<(), Refusal> {
        Ok(())
    }

    fn succeed(&self, heard: &Heard, sandbox: &Sandbox, request_id: &str) -> Success {
        let until = heard.now.checked_add(sandbox.settings.iam.token_ttl).unwrap_or(Timestamp::MAX);
        let token = sandbox.tokens.issue(request_id, heard.now, until);
        let date = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        let (project, user) = (&sandbox.settings.project_id, &sandbox.settings.iam);
        let value = json!({ "token": {
            "expires_at": date(until),
            "issued_at": date(heard.now),
            "methods": ["password"],
            "project": { "id": project, "name": project, "domain": { "name": user.domain } },
            "user": { "name": user.user, "domain": { "name": user.domain } },
        }});
        let mut reply = dialect::json(StatusCode::CREATED, &value);
        set_header(&mut reply, "x-subject-token", &token);
        set_header(&mut reply, "x-request-id", request_id);
        Success { kind: Kind::Token, reply }
    }

    fn fail(&self, trouble: Trouble, _sandbox: &Sandbox) -> Refusal {
        let said = |kind, status, title| refusal(kind, status, title, "The sandbox was asked for this.");
        match trouble {
            Trouble::Fail(status) => said(Kind::Failed, status, "Internal Server Error"),
            Trouble::ErrorIn200 => said(Kind::ErrorIn200, StatusCode::OK, "Internal Server Error"),
            Trouble::Throttled => said(Kind::Throttled, StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"),
            Trouble::Gone => said(Kind::Gone, StatusCode::NOT_FOUND, "Not Found"),
            Trouble::BadParam => said(Kind::Rejected, StatusCode::BAD_REQUEST, "Bad Request"),
            Trouble::NoAuth | Trouble::Stale => said(Kind::Unauthorized, StatusCode::UNAUTHORIZED, "Unauthorized"),
            Trouble::Foreign => said(Kind::Foreign, StatusCode::FORBIDDEN, "Forbidden"),
            Trouble::NoApi => said(Kind::Misrouted, StatusCode::NOT_FOUND, "Not Found"),
        }
    }

    fn render(&self, refusal: &Refusal, request_id: &str) -> Reply {
        let (status, title, message) = (refusal.status, refusal.code, &refusal.message);
        let value = json!({ "error": { "code": status.as_u16(), "message": message, "title": title } });
        let mut reply = dialect::json(status, &value);
        set_header(&mut reply, "x-request-id", request_id);
        reply
    }
}

/// The parser's own words could repeat what stands in the body, a password perhaps, so they are not passed on.
fn read(heard: &Heard) -> Result<Body, Refusal> {
    let hint = "The body must hold auth.identity.password.user and auth.scope.project.";
    serde_json::from_slice(heard.body).map_err(|_| bad_request(hint))
}

fn bad_request(message: &str) -> Refusal {
    refusal(Kind::Rejected, StatusCode::BAD_REQUEST, "Bad Request", message)
}

/// This service has titles instead of codes.
fn refusal(kind: Kind, status: StatusCode, title: &'static str, message: &str) -> Refusal {
    Refusal::new(kind, status, title, message)
}
