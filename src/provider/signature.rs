//! What both clouds' signatures share: a request put in canonical form. How that form is signed is each cloud's own.

use std::fmt;

use http::{HeaderMap, HeaderValue};

use super::encoding::encode;

/// The part of a request that is signed.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub method: &'a str,
    /// As sent: percent-encoded, without query.
    pub path: &'a str,
    /// Names and values before encoding, in any order.
    pub query: &'a [(String, String)],
    /// Those to sign, in any order and any case.
    pub headers: &'a [(String, String)],
    /// Lower-case hex, or the word that stands for it where the body is not signed.
    pub body_sha256: &'a str,
}

/// A signature and the steps to it, for comparing them one by one. `Debug` shows none of it but the header names,
/// because the canonical request can hold a session token.
pub struct Signature {
    pub canonical_request: String,
    pub string_to_sign: String,
    /// Lower-case names, joined by `;`.
    pub signed_headers: String,
    /// Lower-case hex.
    pub signature: String,
    /// The value of the `Authorization` header.
    pub authorization: String,
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signature").field("signed_headers", &self.signed_headers).finish_non_exhaustive()
    }
}

/// A request in canonical form.
pub(super) struct Canonical {
    pub(super) text: String,
    pub(super) signed_headers: String,
}

impl Canonical {
    /// `headers` as [`headers`] gives them; `query` and `path` already canonical.
    pub(super) fn new(request: &Request, path: &str, query: &str, headers: &[(String, String)]) -> Self {
        let signed_headers = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let (method, body) = (request.method, request.body_sha256);
        let text = format!("{method}\n{path}\n{query}\n{lines}\n{signed_headers}\n{body}");
        Self { text, signed_headers }
    }
}

/// The headers to sign: names in lower case and sorted, values without the spaces around them.
pub(super) fn headers(request: &Request) -> Vec<(String, String)> {
    let mut headers: Vec<_> =
        request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    headers.sort_by(|(a, _), (b, _)| a.cmp(b));
    headers
}

/// The headers of a call so far, as a [`Request`] takes them.
pub(super) fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

/// A query string in the given order.
pub(super) fn query_string<'a>(pairs: impl IntoIterator<Item = &'a (String, String)>) -> String {
    let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_signature_nor_token() {
        let signature = Signature {
            canonical_request: "x-security-token:hunter2".into(),
            string_to_sign: "hunter2".into(),
            signed_headers: "host".into(),
            signature: "hunter2".into(),
            authorization: "hunter2".into(),
        };
        let shown = format!("{signature:?}");
        assert!(shown.contains("host") && !shown.contains("hunter2"), "{shown}");
    }
}
