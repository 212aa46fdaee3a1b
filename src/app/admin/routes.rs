//! What is answered where.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;

use super::{AdminState, jobs, page};
use crate::ports::meter::{Exposition, ProviderStatus, QueueLink};
use crate::ports::readiness::ReadyState;

/// A request's body is at most this many bytes long.
pub(super) const MAX_BODY: usize = 64 * 1024;
/// How long one request may take.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take until jobs are there and durable; a broker has 20 seconds to confirm.
const JOBS_TIMEOUT: Duration = Duration::from_secs(40);

pub(super) fn router(state: AdminState) -> Router {
    let paths = Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/api/status", get(status))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .with_state(state.clone());
    let jobs = limited_to(jobs::MAX_BODY, JOBS_TIMEOUT, jobs::routes(state));
    limited(paths).merge(jobs).layer(map_response(guarded))
}

/// Bounds the time and the body of each request, announced or not.
pub(super) fn limited(paths: Router) -> Router {
    limited_to(MAX_BODY, REQUEST_TIMEOUT, paths)
}

fn limited_to(bytes: usize, time: Duration, paths: Router) -> Router {
    let bounded = move |request: Request, next: Next| bounded(bytes, time, request, next);
    paths.layer(DefaultBodyLimit::max(bytes)).layer(from_fn(bounded))
}

async fn index(State(state): State<AdminState>) -> Response {
    let html = page::index(state.version, &state.worker);
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response()
}

async fn metrics(State(state): State<AdminState>, headers: HeaderMap) -> Response {
    let accepts: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Exposition::negotiate(Some(&accepts.join(",")));
    ([(CONTENT_TYPE, format.content_type())], state.meter.render(format)).into_response()
}

async fn health() -> Response {
    plain(StatusCode::OK, "ok")
}

async fn ready(State(state): State<AdminState>) -> Response {
    match state.readiness.state() {
        ReadyState::Ready => plain(StatusCode::OK, "ready"),
        ReadyState::Draining => plain(StatusCode::SERVICE_UNAVAILABLE, "draining"),
        ReadyState::Connecting { reason } => {
            plain(StatusCode::SERVICE_UNAVAILABLE, &format!("not ready: {}", one_line(&reason)))
        }
    }
}

#[derive(Serialize)]
struct Status<'a> {
    version: &'a str,
    worker: &'a str,
    uptime_seconds: u64,
    connected: bool,
    ready: bool,
    draining: bool,
    providers: Vec<ProviderStatus>,
}

async fn status(State(state): State<AdminState>) -> Response {
    let readiness = state.readiness.state();
    let status = Status {
        version: state.version,
        worker: &state.worker,
        uptime_seconds: state.clock.elapsed().as_secs(),
        connected: state.meter.queue_link() == QueueLink::Up,
        ready: readiness == ReadyState::Ready,
        draining: readiness == ReadyState::Draining,
        providers: state.meter.providers(),
    };
    let json = serde_json::to_string(&status).expect("a status is plain data");
    ([(CONTENT_TYPE, "application/json")], json).into_response()
}

async fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "there is nothing here; / lists what there is")
}

pub(super) async fn wrong_method() -> Response {
    plain(StatusCode::METHOD_NOT_ALLOWED, "this path answers other methods, see the Allow header")
}

/// Refuses what is too large and gives up on what takes too long.
async fn bounded(bytes: usize, time: Duration, request: Request, next: Next) -> Response {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > bytes) {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "the request's body is too large");
    }
    let answer = tokio::time::timeout(time, next.run(request)).await;
    answer.unwrap_or_else(|_| plain(StatusCode::SERVICE_UNAVAILABLE, "this took too long"))
}

/// Nothing here is to be cached, guessed at or given outside resources.
async fn guarded(mut response: Response) -> Response {
    const GUARDS: [(http::HeaderName, &str); 3] = [
        (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in GUARDS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

pub(super) fn plain(status: StatusCode, text: &str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{text}\n")).into_response()
}

fn one_line(text: &str) -> String {
    text.split(char::is_control).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}
