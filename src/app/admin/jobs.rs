//! `POST /api/jobs`: takes one job or an array of them, all or nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use http_body_util::LengthLimitError;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::Intake;
use super::answers::{json as answer, plain, unavailable};
use super::desk::Desk;
use super::note::is_json;
use crate::model::decode::decode;
use crate::model::ids::JobId;
use crate::model::job::DismissJob;
use crate::ports::broker::BrokerError;

/// The most bytes of one request: tens of thousands of jobs.
pub(super) const MAX_BODY: usize = 8 * 1024 * 1024;
/// How long the body may take to come.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// So many faults are named; of the others there is a count.
const MOST_FAULTS: usize = 1000;

/// One job that cannot be taken, by its place in the array.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct JobFault {
    index: usize,
    message: String,
}

pub(super) async fn take(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let intake = &desk.state.intake;
    let (head, body) = request.into_parts();
    if !is_json(&head.headers) {
        return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the header Content-Type: application/json");
    }
    let body = match whole(body).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let jobs = match read(&body, intake) {
        Ok(jobs) => jobs,
        Err(faults) => return answer(StatusCode::BAD_REQUEST, &faults),
    };
    drop(body);
    let Some(entrance) = intake.door.entrance() else {
        return unavailable("the queue is away: nothing was taken");
    };
    match entrance.put_all(&jobs).await {
        Ok(()) => {
            let ids: Vec<&JobId> = jobs.iter().map(|job| &job.job_id).collect();
            answer(StatusCode::ACCEPTED, &json!({ "job_ids": ids }))
        }
        Err(error) => {
            tracing::warn!(%error, "jobs that came over HTTP could not be queued");
            let again = "the queue did not confirm all of it: send it again, with the same job_id in each job";
            match error {
                BrokerError::Blocked(reason) => unavailable(&format!("{again} ({reason})")),
                BrokerError::Lost(_)
                | BrokerError::Unanswered { .. }
                | BrokerError::QueueDown(_)
                | BrokerError::Unconfirmed(_)
                | BrokerError::Refused(_)
                | BrokerError::Unroutable(_) => unavailable(again),
            }
        }
    }
}

async fn whole(body: Body) -> Result<axum::body::Bytes, Response> {
    let read = tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, MAX_BODY)).await;
    let Ok(read) = read else {
        return Err(plain(StatusCode::REQUEST_TIMEOUT, "the request's body took too long to come"));
    };
    read.map_err(|error| {
        let source = std::error::Error::source(&error);
        match source.is_some_and(|source| source.is::<LengthLimitError>()) {
            true => plain(StatusCode::PAYLOAD_TOO_LARGE, "over 8 MiB: send the jobs in several requests"),
            false => plain(StatusCode::BAD_REQUEST, "the request's body did not come whole"),
        }
    })
}

fn read(body: &[u8], intake: &Intake) -> Result<Vec<DismissJob>, Vec<JobFault>> {
    let is_array = body.trim_ascii_start().starts_with(b"[");
    let bodies: Vec<&[u8]> = if is_array {
        let values: Result<Vec<&RawValue>, _> = serde_json::from_slice(body);
        let values = values.map_err(|error| {
            let message = format!("body: is not a JSON array: {error}");
            vec![JobFault { index: 0, message }]
        })?;
        values.into_iter().map(|value| value.get().as_bytes()).collect()
    } else {
        vec![body]
    };
    let mut jobs = Vec::with_capacity(bodies.len());
    let mut faults = Vec::new();
    for (index, body) in bodies.into_iter().enumerate() {
        match read_one(body, intake) {
            Ok(job) => jobs.push(job),
            Err(message) => faults.push((index, message)),
        }
    }
    if faults.is_empty() { Ok(jobs) } else { Err(named(faults)) }
}

fn read_one(body: &[u8], intake: &Intake) -> Result<DismissJob, String> {
    let fresh = JobId::parse(Uuid::now_v7().to_string()).expect("a UUID is a job ID");
    let job = decode(body, &fresh).map_err(|invalid| invalid.message)?;
    match intake.providers.contains(&job.provider) {
        true => Ok(job),
        false => Err(format!("provider: no provider {:?} is configured", job.provider.as_str())),
    }
}

fn named(mut faults: Vec<(usize, String)>) -> Vec<JobFault> {
    let more = faults.len().saturating_sub(MOST_FAULTS);
    faults.truncate(MOST_FAULTS);
    if more > 0
        && let Some((_, message)) = faults.last_mut()
    {
        message.push_str(&format!("; and {more} more are faulty"));
    }
    faults.into_iter().map(|(index, message)| JobFault { index, message }).collect()
}
