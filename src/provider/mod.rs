//! Floor 1: the dialects. Each provider builds signed requests and reads replies; none of them sends.
//!
//! A provider is a folder with four files: `mod.rs` (settings and the trait), `request.rs` (what is asked),
//! `sign.rs` (who asks), `response.rs` (what the answer means).

pub mod catalog;
pub mod encoding;
pub mod endpoint;
pub mod huawei;
#[cfg(test)]
mod properties;
pub mod signature;
#[cfg(test)]
mod testing;
mod trouble;
pub mod volcengine;
mod withheld;

pub use withheld::withheld;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::Timestamp;

use crate::model::ids::{AppId, RequestId};
use crate::model::job::DismissJob;
use crate::model::secret::Secret;
use crate::model::verdict::{Fault, Verdict};

/// All that differs between two signings of the same job.
#[derive(Debug, Clone)]
pub struct Stamp {
    pub now: Timestamp,
    /// Present where the provider asks for one by [`Provider::token_call`].
    pub token: Option<Token>,
}

/// A token that the provider issued.
#[derive(Debug, Clone)]
pub struct Token {
    pub value: Secret,
    /// How long it is used from now on; then a new one is fetched, some time before it expires.
    pub lifetime: Duration,
}

/// One request, complete and signed: to be sent byte for byte. Its headers are secrets.
#[derive(Clone)]
pub struct Call {
    pub method: Method,
    /// Absolute, already percent-encoded; the transport refuses one that its URL library would change.
    pub url: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// One whole reply.
#[derive(Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Why no request could be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The provider signs with a token and the stamp has none.
    #[error("no token to sign with")]
    NoToken,
    /// A value that cannot stand in an HTTP header, by the name of the header.
    #[error("the value of {0} cannot stand in an HTTP header")]
    Header(&'static str),
}

/// One account at one cloud.
pub trait Provider: Send + Sync {
    /// Refuses, before anything is sent, what this provider cannot have: room IDs, applications not allowed.
    fn admit(&self, job: &DismissJob) -> Result<(), Fault>;

    /// Builds and signs the dismiss request.
    fn build(&self, job: &DismissJob, stamp: &Stamp) -> Result<Call, BuildError>;

    /// Says what a reply means, and under which request ID the provider knows the request.
    fn classify(&self, reply: &Reply) -> (Verdict, Option<RequestId>);

    /// What no message may repeat: see [`withheld()`].
    fn secrets(&self) -> Vec<&Secret>;

    /// The request that fetches a token, if this provider signs with one.
    fn token_call(&self) -> Option<Call> {
        None
    }

    /// Reads the reply to [`Provider::token_call`].
    fn read_token(&self, reply: &Reply, _now: Timestamp) -> Result<Token, Verdict> {
        Err(Verdict::Misconfigured(Fault::new("NoTokens", format!("unexpected token reply {}", reply.status))))
    }
}

/// The allow-list that every provider has; an empty one allows all.
pub(crate) fn admit_app(allowed: &[AppId], job: &DismissJob) -> Result<(), Fault> {
    if allowed.is_empty() || allowed.contains(&job.app_id) {
        return Ok(());
    }
    Err(Fault::new("app_not_allowed", format!("app_id: {} is not in app_ids of {}", job.app_id, job.provider)))
}

/// A provider may hold us up for this long at a time; what it asks beyond that is looked at again then.
const LONGEST_RETRY_AFTER: u64 = 3600;

/// `Retry-After` in seconds, as throttled replies carry it; its form as a date is not used by these clouds.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(LONGEST_RETRY_AFTER)))
}

/// A request ID as it stands in a header or a body; None where it is empty, too long or unprintable.
pub(crate) fn request_id(text: &str) -> Option<RequestId> {
    RequestId::parse(text.trim()).ok()
}

/// The value of a header of ours, by the header's name.
pub(crate) fn header(name: &'static str, value: &str) -> Result<HeaderValue, BuildError> {
    HeaderValue::from_str(value).map_err(|_| BuildError::Header(name))
}

/// Like [`header`], for a value that nothing may show.
pub(crate) fn secret_header(name: &'static str, value: &str) -> Result<HeaderValue, BuildError> {
    let mut value = header(name, value)?;
    value.set_sensitive(true);
    Ok(value)
}
