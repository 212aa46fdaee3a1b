//! What is answered where.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use http::header::{
    ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::answers::{plain, refused};
use super::desk::Desk;
use super::{batches, events, jobs, page, providers, results, snapshot};
use crate::app::streams;
use crate::ports::meter::Exposition;
use crate::ports::readiness::ReadyState;

/// A request's body is at most this many bytes long.
pub(super) const MAX_BODY: usize = 64 * 1024;
/// How long one request may take; of one that listens, until it does.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take until jobs are there and durable; a broker has 20 seconds to confirm.
const JOBS_TIMEOUT: Duration = Duration::from_secs(40);

/// Only this page's own files; nothing frames it, it talks to nobody else, and no text becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

pub(super) fn router(desk: &Arc<Desk>) -> Router {
    let all = |paths: Vec<Route>| {
        let router = Router::new();
        paths.into_iter().fold(router, |router, (path, methods)| router.route(path, methods))
    };
    let jobs = limited_to(
        jobs::MAX_BODY,
        JOBS_TIMEOUT,
        all(intake(desk)).method_not_allowed_fallback(wrong_method).with_state(desk.clone()),
    );
    let paths = all(paths(desk)).fallback(not_found).method_not_allowed_fallback(wrong_method).with_state(desk.clone());
    limited(paths).merge(jobs).layer(from_fn_with_state(desk.clone(), seen)).layer(from_fn(guarded))
}

/// A path, and what answers there.
pub(super) type Route = (&'static str, MethodRouter<Arc<Desk>>);

pub(super) fn paths(desk: &Arc<Desk>) -> Vec<Route> {
    let change = || from_fn_with_state(desk.clone(), changed);
    vec![
        ("/", get(page::index)),
        ("/page/{file}", get(page::file)),
        ("/metrics", get(metrics)),
        ("/healthz", get(health)),
        ("/readyz", get(ready)),
        ("/api/openapi.json", get(page::openapi)),
        ("/api/status", get(snapshot::status)),
        ("/api/events", get(events::listen)),
        ("/api/batches", get(batches::list)),
        ("/api/batches/{id}", get(batches::show)),
        ("/api/batches/{id}/cancel", post(batches::cancel).route_layer(change())),
        ("/api/providers", get(providers::list)),
        ("/api/providers/{name}/pause", post(providers::pause).route_layer(change())),
        ("/api/providers/{name}/resume", post(providers::resume).route_layer(change())),
        ("/api/results", get(results::list)),
    ]
}

/// Those that take more and longer.
pub(super) fn intake(desk: &Arc<Desk>) -> Vec<Route> {
    vec![("/api/jobs", post(jobs::take).route_layer(from_fn_with_state(desk.clone(), changed)))]
}

/// Bounds the time and the body of each request, announced or not.
pub(super) fn limited(paths: Router) -> Router {
    limited_to(MAX_BODY, REQUEST_TIMEOUT, paths)
}

fn limited_to(bytes: usize, time: Duration, paths: Router) -> Router {
    let bounded = move |request: Request, next: Next| bounded(bytes, time, request, next);
    paths.layer(DefaultBodyLimit::max(bytes)).layer(from_fn(bounded))
}

async fn metrics(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Response {
    let accepts: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Exposition::negotiate(Some(&accepts.join(",")));
    desk.state.meter.log_lines_dropped(streams::stderr().dropped());
    ([(CONTENT_TYPE, format.content_type())], desk.state.meter.render(format)).into_response()
}

async fn health() -> Response {
    plain(StatusCode::OK, "ok")
}

async fn ready(State(desk): State<Arc<Desk>>) -> Response {
    match desk.state.ready_state() {
        ReadyState::Ready => plain(StatusCode::OK, "ready"),
        ReadyState::Draining => plain(StatusCode::SERVICE_UNAVAILABLE, "draining"),
        ReadyState::Connecting { reason } => {
            plain(StatusCode::SERVICE_UNAVAILABLE, &format!("not ready: {}", one_line(&reason)))
        }
    }
}

async fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "there is nothing here; / lists what there is")
}

async fn wrong_method() -> Response {
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

/// Shows nothing to a page that had its own name bent to this machine.
async fn seen(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    match desk.gate.look(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refused(refusal),
    }
}

/// Lets only those change something who may.
async fn changed(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    match desk.gate.change(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refused(refusal),
    }
}

/// Nothing here is to be cached, guessed at, framed or given outside resources, and no other origin is let in.
async fn guarded(request: Request, next: Next) -> Response {
    const GUARDS: [(http::HeaderName, &str); 6] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (http::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (CACHE_CONTROL, "no-store"),
    ];
    // A proxy before us that went by a Content-Length beside it would see another request in what follows.
    let is_last = request.headers().contains_key(TRANSFER_ENCODING);
    let mut response = next.run(request).await;
    for (name, value) in GUARDS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if is_last {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn one_line(text: &str) -> String {
    text.split(char::is_control).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}
