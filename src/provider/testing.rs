//! How the vendors' signing vectors are read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::signature::Signature;

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
}
