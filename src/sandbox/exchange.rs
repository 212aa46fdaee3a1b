//! One request's way through a cloud: arrive, judge, decide, answer.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;

use super::dialect::{Dialect, Heard, Reply, Success};
use super::faults::{Effect, Happening, Trouble};
use super::ledger::Ticket;
use super::quota::Admission;
use super::record::Kind;
use super::rules::Candidate;
use super::server::Connection;
use super::{Sandbox, huawei, iam, volcengine};

/// The longest body that is read; none of the vendors' calls comes near it.
const MAX_BODY: usize = 1 << 20;

/// Why a connection ends without an answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    #[error("a fault asked for it")]
    Fault,
    #[error("the request did not come whole: {0}")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What is to be done, and when.
struct Decision {
    delay: Duration,
    then: Then,
}

enum Then {
    Answer(Reply),
    Hang,
    Reset,
    Close,
}

/// The cloud that a request is for; None if it is for none.
pub(super) fn dialect_of(head: &Parts) -> Option<Box<dyn Dialect>> {
    if let Some(operation) = volcengine::Operation::of(head) {
        return Some(Box::new(operation));
    }
    if let Some(operation) = huawei::Operation::of(head) {
        return Some(Box::new(operation));
    }
    Some(Box::new(iam::Operation::of(head)?))
}

/// Answers a request that has arrived.
pub(super) async fn answer(
    sandbox: &Sandbox,
    dialect: &dyn Dialect,
    mut ticket: Ticket,
    request: Request<Incoming>,
    connection: &Connection,
) -> Result<Reply, Cut> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(Cut::Body)?.to_bytes();
    let heard = Heard { head: &head, body: &body, now: ticket.now };
    let Decision { delay, then } = decide(sandbox, dialect, &mut ticket, &heard);
    let delay = delay + sandbox.settings.latency;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    match then {
        Then::Answer(reply) => {
            ticket.answered();
            Ok(reply)
        }
        Then::Hang => std::future::pending().await,
        Then::Reset => {
            connection.reset_on_close();
            Err(Cut::Fault)
        }
        Then::Close => Err(Cut::Fault),
    }
}

fn decide(sandbox: &Sandbox, dialect: &dyn Dialect, ticket: &mut Ticket, heard: &Heard) -> Decision {
    let (app, room) = dialect.subject(heard);
    ticket.identify(app.clone(), room.clone());
    let now = |reply| Decision { delay: Duration::ZERO, then: Then::Answer(reply) };

    if let Err(refusal) = dialect.verify(heard, sandbox) {
        ticket.decide(refusal.kind, Some(refusal.status.as_u16()), None);
        return now(dialect.render(&refusal, ticket.request_id()));
    }
    match ticket.admission {
        Admission::Admitted => {}
        Admission::OverQuota => return now(say(sandbox, dialect, ticket, Trouble::Throttled, None)),
    }
    if let Err(refusal) = dialect.check(heard) {
        ticket.decide(refusal.kind, Some(refusal.status.as_u16()), None);
        return now(dialect.render(&refusal, ticket.request_id()));
    }
    let happening = sandbox.happening(&Candidate {
        cloud: dialect.cloud(),
        app: app.as_deref().unwrap_or_default(),
        room: room.as_deref().unwrap_or_default(),
        nth_of_room: ticket.nth_of_room(),
        arrived: ticket.arrived,
    });
    let Happening { delay, effect, name } = happening;
    let mut silent = |kind, then| {
        ticket.decide(kind, None, name.clone());
        then
    };
    let then = match effect {
        Some(Effect::Hang) => silent(Kind::Hung, Then::Hang),
        Some(Effect::Reset) => silent(Kind::Reset, Then::Reset),
        Some(Effect::Close) => silent(Kind::Closed, Then::Close),
        Some(Effect::Garbage) => {
            ticket.decide(Kind::Garbage, Some(200), name);
            Then::Answer(page(StatusCode::OK, GARBAGE))
        }
        Some(Effect::Forbidden) => {
            ticket.decide(Kind::Unauthorized, Some(403), name);
            Then::Answer(page(StatusCode::FORBIDDEN, b"<html><body>Request blocked</body></html>"))
        }
        Some(Effect::Say(trouble)) => Then::Answer(say(sandbox, dialect, ticket, trouble, name)),
        None => {
            let Success { kind, reply } = dialect.succeed(heard, sandbox, ticket.request_id());
            ticket.decide(kind, Some(reply.status().as_u16()), name);
            Then::Answer(reply)
        }
    };
    Decision { delay, then }
}

/// Notes a trouble, and puts it in the cloud's words.
fn say(
    sandbox: &Sandbox,
    dialect: &dyn Dialect,
    ticket: &mut Ticket,
    trouble: Trouble,
    fault: Option<String>,
) -> Reply {
    let refusal = dialect.fail(trouble, sandbox);
    ticket.decide(refusal.kind, Some(refusal.status.as_u16()), fault);
    let mut reply = dialect.render(&refusal, ticket.request_id());
    if let (Trouble::Throttled, Some(wait)) = (trouble, sandbox.settings.throttling.retry_after) {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    reply
}

/// What a proxy on the way might say, broken off.
const GARBAGE: &[u8] = b"<html><body>{\"Response\xff";

/// What something on the way says in place of the cloud.
fn page(status: StatusCode, text: &'static [u8]) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from_static(text)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    reply
}
