//! What the clouds have in common: a request is heard, judged and answered. How, is each cloud's own matter.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use percent_encoding::percent_decode_str;

use super::Sandbox;
use super::faults::Trouble;
use super::record::{Action, Cloud, Kind};

pub(super) type Reply = Response<Full<Bytes>>;

/// A request as one cloud understands it.
pub(super) trait Dialect: Send + Sync {
    fn cloud(&self) -> Cloud;

    /// None where the cloud knows no such action.
    fn action(&self) -> Option<Action>;

    /// Application and room, as far as they can be read.
    fn subject(&self, heard: &Heard) -> (Option<String>, Option<String>);

    /// Whether method, path and action exist, and whether the one who asks may.
    fn verify(&self, heard: &Heard, sandbox: &Sandbox) -> Result<(), Refusal>;

    /// Whether the parameters will do.
    fn check(&self, heard: &Heard) -> Result<(), Refusal>;

    /// What a request that meets no fault is answered.
    fn succeed(&self, heard: &Heard, sandbox: &Sandbox, request_id: &str) -> Success;

    /// How this cloud says that something went wrong.
    fn fail(&self, trouble: Trouble, sandbox: &Sandbox) -> Refusal;

    /// An error in the cloud's own shape.
    fn render(&self, refusal: &Refusal, request_id: &str) -> Reply;
}

/// A whole request.
pub(super) struct Heard<'a> {
    pub head: &'a Parts,
    pub body: &'a [u8],
    /// When it arrived.
    pub now: Timestamp,
}

pub(super) struct Success {
    pub kind: Kind,
    pub reply: Reply,
}

/// An error before it is put in a cloud's shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub kind: Kind,
    pub status: StatusCode,
    /// Volcengine's gateway numbers its errors; 0 where there is no number.
    pub number: u32,
    pub code: &'static str,
    pub message: String,
}

impl Refusal {
    pub(super) fn new(kind: Kind, status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, status, number: 0, code, message: message.into() }
    }
}

impl Heard<'_> {
    /// A header's text, trimmed; values of a repeated header are joined by commas.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        joined(&self.head.headers, name)
    }

    /// The headers of these names; Err names the first that is missing.
    pub(super) fn signed_headers(&self, names: &str) -> Result<Vec<(String, String)>, String> {
        let find = |name: &str| self.header(name).map(|value| (name.to_owned(), value)).ok_or(name.to_owned());
        names.split(';').map(find).collect()
    }

    pub(super) fn query(&self) -> Vec<(String, String)> {
        query(self.head)
    }
}

fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
    let values: Vec<_> = headers.get_all(name).iter().map(text).collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// Decoded names and values, in the order sent.
pub(super) fn query(head: &Parts) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pair = |piece: &str| {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        (decode(name), decode(value))
    };
    let query = head.uri.query().unwrap_or_default();
    query.split('&').filter(|piece| !piece.is_empty()).map(pair).collect()
}

/// The parts of `ALGORITHM A=…, B=…, C=…`, in the order of `names`; None if it is anything else.
pub(super) fn authorization<const N: usize>(text: &str, algorithm: &str, names: [&str; N]) -> Option<[String; N]> {
    let rest = text.strip_prefix(algorithm)?.strip_prefix(' ')?;
    let pairs: Vec<_> = rest.split(',').map(|part| part.trim().split_once('=')).collect::<Option<_>>()?;
    let find = |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned());
    let found = names.map(find);
    if pairs.len() != N || found.iter().any(Option::is_none) {
        return None;
    }
    Some(found.map(Option::unwrap_or_default))
}

/// How far the date of a signature (`YYYYMMDD'T'HHMMSS'Z'`) may be from now, either way.
const DATE_TOLERANCE_SECONDS: u64 = 15 * 60;

/// Whether the date of a signature is near enough; None if it is no date.
pub(super) fn is_fresh(date: &str, now: Timestamp) -> Option<bool> {
    let date = DateTime::strptime("%Y%m%dT%H%M%SZ", date).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(now.duration_since(date).unsigned_abs().as_secs_f64() <= DATE_TOLERANCE_SECONDS as f64)
}

/// A reply with a JSON body.
pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Reply {
    let mut reply = Response::new(Full::from(value.to_string()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

pub(super) fn set_header(reply: &mut Reply, name: &'static str, value: &str) {
    let value = HeaderValue::from_str(value).expect("the sandbox's own values are plain ASCII");
    reply.headers_mut().insert(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authorization_has_exactly_its_parts() {
        let parse = |text: &str| authorization(text, "ALG", ["A", "B"]);
        assert_eq!(parse("ALG A=1, B=2=3"), Some(["1".to_owned(), "2=3".to_owned()]));
        assert_eq!(parse("ALG B=2,A=1"), Some(["1".to_owned(), "2".to_owned()]));
        for text in ["ALG A=1", "ALG A=1, B=2, C=3", "OTHER A=1, B=2", "ALGA=1, B=2", "ALG A=1, B", "ALG A=1, A=2", ""]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_date_is_fresh_within_a_quarter_of_an_hour_either_way() {
        let now = "2024-03-01T00:10:00Z".parse().unwrap();
        let check = |date: &str, expected: Option<bool>| assert_eq!(is_fresh(date, now), expected, "{date}");
        check("20240229T235500Z", Some(true));
        check("20240229T235459Z", Some(false));
        check("20240301T002500Z", Some(true));
        check("20240301T002501Z", Some(false));
        check("2024-03-01T00:10:00Z", None);
        check("20240230T000000Z", None);
        check("", None);
    }
}
