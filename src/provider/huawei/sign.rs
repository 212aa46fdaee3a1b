//! Who asks: SDK-HMAC-SHA256, with the secret itself as the key.

use percent_encoding::percent_decode_str;

use crate::model::secret::Secret;
use crate::provider::encoding::{encode, hex, hmac_sha256, sha256_hex};
use crate::provider::signature::{self, Canonical};

pub use crate::provider::signature::{Request, Signature};

const ALGORITHM: &str = "SDK-HMAC-SHA256";

/// Signs the headers that `request` names, but none with `_` in its name. `date` is the value of `X-Sdk-Date`,
/// the one header that the vendor requires among them.
pub fn sign(request: &Request, access_key_id: &str, secret: &Secret, date: &str) -> Signature {
    let mut headers = signature::headers(request);
    headers.retain(|(name, _)| !name.contains('_'));
    let canonical = Canonical::new(request, &canonical_path(request.path), &canonical_query(request.query), &headers);

    let string_to_sign = format!("{ALGORITHM}\n{date}\n{}", sha256_hex(canonical.text.as_bytes()));
    let signature = hex(&hmac_sha256(secret.expose().as_bytes(), string_to_sign.as_bytes()));
    let authorization = format!(
        "{ALGORITHM} Access={access_key_id}, SignedHeaders={}, Signature={signature}",
        canonical.signed_headers
    );
    Signature {
        canonical_request: canonical.text,
        string_to_sign,
        signed_headers: canonical.signed_headers,
        signature,
        authorization,
    }
}

/// The path decoded as a whole and encoded again piece by piece, as the vendor's Python SDK does it: an encoded slash
/// becomes a real one. A slash at the end.
fn canonical_path(path: &str) -> String {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let mut canonical = decoded.split('/').map(encode).collect::<Vec<_>>().join("/");
    if !canonical.ends_with('/') {
        canonical.push('/');
    }
    canonical
}

/// The query sorted by name and then by value, both before encoding.
fn canonical_query(pairs: &[(String, String)]) -> String {
    let mut pairs: Vec<_> = pairs.iter().collect();
    pairs.sort();
    signature::query_string(pairs)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;
    use crate::provider::testing::{Expected, vectors};

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        ak: String,
        sk: String,
        x_sdk_date: String,
        method: String,
        #[serde(default)]
        query: Vec<(String, Value)>,
        body_utf8: String,
        expected: Expected,
    }

    impl Vector {
        /// The SDK takes lists and booleans too.
        fn query(&self) -> Vec<(String, String)> {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let values = |value: &Value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            self.query
                .iter()
                .flat_map(|(name, value)| values(value).into_iter().map(move |one| (name.clone(), text(&one))))
                .collect()
        }
    }

    #[test]
    fn every_vector_of_the_vendor_is_met_step_by_step() {
        for vector in vectors::<Vector>(include_str!("../../../tests/vectors/huawei.json"), 24) {
            let path = vector.expected.path_sent();
            let headers = vector.expected.headers_to_sign();
            let unsigned_body =
                headers.iter().find(|(name, _)| name == "X-Sdk-Content-Sha256").map(|(_, word)| word.clone());
            let query = vector.query();
            let request = Request {
                method: &vector.method,
                path,
                query: &query,
                headers: &headers,
                body_sha256: &unsigned_body.unwrap_or_else(|| sha256_hex(vector.body_utf8.as_bytes())),
            };
            let signature = sign(&request, &vector.ak, &Secret::new(vector.sk), &vector.x_sdk_date);
            vector.expected.check(&vector.name, &signature, &canonical_query(&query));
        }
    }

    #[test]
    fn a_header_with_an_underscore_is_left_out() {
        let headers = [("X_Skip".to_owned(), "1".to_owned()), ("Host".to_owned(), " h ".to_owned())];
        let request = Request { method: "POST", path: "/a", query: &[], headers: &headers, body_sha256: "" };
        let signature = sign(&request, "AK", &Secret::new("SK"), "20240115T083045Z");
        assert_eq!(signature.canonical_request, "POST\n/a/\n\nhost:h\n\nhost\n");
    }
}
