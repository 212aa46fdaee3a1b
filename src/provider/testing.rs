//! What the tests of both clouds need: jobs, replies, and the vendors' signing vectors.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Reply;
use super::signature::{Signature, pairs};
use crate::model::decode::decode;
use crate::model::ids::JobId;
use crate::model::job::DismissJob;
use crate::model::verdict::{Cure, Verdict};

pub fn job(app: &str, room: &str) -> DismissJob {
    let body = serde_json::json!({ "provider": "p", "app_id": app, "room_id": room }).to_string();
    decode(body.as_bytes(), &JobId::parse("j").unwrap()).unwrap()
}

pub fn reply(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let header = |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers: headers.iter().map(header).collect(),
        body: body.to_vec().into(),
    }
}

/// A verdict in a word: its label, but `stale` where a new signature or token is the cure.
pub fn meaning(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Unauthorized { cure: Cure::FreshStamp, .. } => "stale",
        other => other.label().as_str(),
    }
}

/// A header of a call; panics where there is none.
pub fn header_text(headers: &HeaderMap, name: &str) -> String {
    headers[name].to_str().unwrap().to_owned()
}

/// The headers that `Authorization` says are signed.
pub fn signed_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let authorization = header_text(headers, "authorization");
    let (_, names) = authorization.split_once("SignedHeaders=").unwrap();
    let (names, _) = names.split_once(',').unwrap();
    names.split(';').map(|name| (name.to_owned(), header_text(headers, name))).collect()
}

/// The vectors of one file; panics unless there are exactly as many as the file is known to hold.
pub fn vectors<V: DeserializeOwned>(file: &str, count: usize) -> Vec<V> {
    #[derive(Deserialize)]
    struct File<V> {
        vectors: Vec<V>,
    }
    let file: File<V> = serde_json::from_str(file).unwrap();
    assert_eq!(file.vectors.len(), count, "vectors are missing or new");
    file.vectors
}

/// What the vendor's SDK made of a request.
#[derive(Deserialize)]
pub struct Expected {
    request_path_sent: Option<String>,
    canonical_request: String,
    canonical_query: String,
    string_to_sign: String,
    signed_headers: String,
    signature: String,
    authorization: String,
    headers: BTreeMap<String, String>,
}

impl Expected {
    /// The path as sent, without its query.
    pub fn path_sent(&self) -> &str {
        let sent = self.request_path_sent.as_deref().unwrap();
        sent.split_once('?').map_or(sent, |(path, _)| path)
    }

    /// Of the headers sent, those that the SDK signed; and those with `_`, to see that they are left out.
    pub fn headers_to_sign(&self) -> Vec<(String, String)> {
        let signed: Vec<_> = self.signed_headers.split(';').collect();
        let wanted = |name: &str| name.contains('_') || signed.contains(&name.to_ascii_lowercase().as_str());
        self.headers
            .iter()
            .filter(|(name, _)| wanted(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Compares in the order in which a signature is made, so that the first step that differs is named.
    pub fn check(&self, name: &str, signature: &Signature, canonical_query: &str) {
        assert_eq!(canonical_query, self.canonical_query, "{name}");
        assert_eq!(signature.canonical_request, self.canonical_request, "{name}");
        assert_eq!(signature.signed_headers, self.signed_headers, "{name}");
        assert_eq!(signature.string_to_sign, self.string_to_sign, "{name}");
        assert_eq!(signature.signature, self.signature, "{name}");
        assert_eq!(signature.authorization, self.authorization, "{name}");
    }

    /// A call's headers are those that the SDK sends, with the same `Authorization`; an `Accept` may come along.
    pub fn check_headers(&self, name: &str, sent: &HeaderMap) {
        let mut sent: BTreeMap<_, _> = pairs(sent).into_iter().collect();
        sent.remove("accept");
        let mut expected: BTreeMap<_, _> =
            self.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        expected.insert("authorization".into(), self.authorization.clone());
        assert_eq!(sent, expected, "{name}");
    }
}
