//! The sandbox's own calls: what it saw, and how it is to behave.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde_json::json;

use super::Sandbox;
use super::dialect::{self, Reply};
use super::faults::FAULTS_HELP;
use super::rules::Rules;

const MAX_RULES: usize = 1 << 20;

const HELP: &str = "\
This is the sandbox of roomsweep, a stand-in for RTC clouds.

POST /?Action=DismissRoom&Version=2020-12-01     Volcengine; BanRoomUser likewise
POST /v2/apps/{app}/rooms/{room}/dismiss         Huawei
POST /v3/auth/tokens                             Huawei's token service

GET  /stats        figures (?rooms=1: of each room too)
GET  /rooms        what each room saw
GET  /requests     every request, one JSON line each (?from=NUMBER)
GET  /faults       the rules in force; PUT replaces, DELETE removes them
DELETE /stats      forgets what was seen
DELETE /tokens     makes all issued tokens stale
GET  /healthz      200

Faults by the beginning of the room ID:

";

pub(super) async fn answer(sandbox: &Sandbox, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let query = dialect::query(&head);
    let asked = |name: &str| query.iter().find(|pair| pair.0 == name).map(|pair| pair.1.as_str());
    match (&head.method, head.uri.path()) {
        (&Method::GET, "/") => text(StatusCode::OK, "text/plain; charset=utf-8", format!("{HELP}{FAULTS_HELP}")),
        (&Method::GET, "/healthz") => text(StatusCode::OK, "text/plain; charset=utf-8", "ok\n"),
        (&Method::GET, "/stats") => stats(sandbox, asked("rooms")),
        (&Method::GET, "/rooms") => dialect::json(StatusCode::OK, &json!(sandbox.rooms())),
        (&Method::GET, "/requests") => requests(sandbox, asked("from")),
        (&Method::GET, "/faults") => text(StatusCode::OK, "application/json", sandbox.shown_rules()),
        (&Method::PUT, "/faults") => set_rules(sandbox, body).await,
        (&Method::DELETE, "/faults") => {
            sandbox.set_rules(Rules::default());
            done()
        }
        (&Method::DELETE, "/stats") => {
            sandbox.reset();
            done()
        }
        (&Method::DELETE, "/tokens") => {
            sandbox.revoke_tokens();
            done()
        }
        (_, "/" | "/healthz" | "/stats" | "/rooms" | "/requests" | "/faults" | "/tokens") => {
            refuse(StatusCode::METHOD_NOT_ALLOWED, "not with this method; GET / tells what there is")
        }
        _ => refuse(StatusCode::NOT_FOUND, "nothing here; GET / tells what there is"),
    }
}

fn stats(sandbox: &Sandbox, rooms: Option<&str>) -> Reply {
    let mut value = json!(sandbox.stats());
    if rooms == Some("1") {
        value["room_counts"] = json!(sandbox.rooms());
    }
    dialect::json(StatusCode::OK, &value)
}

fn requests(sandbox: &Sandbox, from: Option<&str>) -> Reply {
    let Ok(from) = from.unwrap_or("0").parse() else {
        return refuse(StatusCode::BAD_REQUEST, "from: must be a number");
    };
    let lines: String = sandbox.requests(from).iter().map(super::record::Record::to_line).collect();
    text(StatusCode::OK, "application/x-ndjson", lines)
}

async fn set_rules(sandbox: &Sandbox, body: Incoming) -> Reply {
    let Ok(body) = Limited::new(body, MAX_RULES).collect().await else {
        return refuse(StatusCode::BAD_REQUEST, "the rules did not come whole, or are over 1 MiB long");
    };
    match Rules::parse(&String::from_utf8_lossy(&body.to_bytes())) {
        Ok(rules) => {
            sandbox.set_rules(rules);
            done()
        }
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

fn done() -> Reply {
    let mut reply = Response::new(Full::new(Bytes::new()));
    *reply.status_mut() = StatusCode::NO_CONTENT;
    reply
}

fn refuse(status: StatusCode, why: &str) -> Reply {
    dialect::json(status, &json!({ "error": why }))
}

fn text(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}
