//! Who asks: HMAC-SHA256 with a key derived for day, region and service.

use crate::model::secret::Secret;
use crate::provider::encoding::{hex, hmac_sha256, sha256_hex};
use crate::provider::signature::{self, Canonical};

pub use crate::provider::signature::{Request, Signature};

const ALGORITHM: &str = "HMAC-SHA256";

/// What the key is derived for.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The value of `X-Date`.
    pub date: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

/// Signs the headers that `request` names; the vendor wants `host` and `x-date` among them.
pub fn sign(request: &Request, access_key_id: &str, secret: &Secret, scope: &Scope) -> Signature {
    let mut headers = signature::headers(request);
    for (name, value) in &mut headers {
        if name == "host" {
            *value = without_default_port(value).to_owned();
        }
    }
    let path = if request.path.is_empty() { "/" } else { request.path };
    let canonical = Canonical::new(request, path, &canonical_query(request.query), &headers);

    // A foreign date may be shorter, or break off inside a character; its signature is wrong in any case.
    let day = scope.date.get(..8).unwrap_or(scope.date);
    let credential_scope = format!("{day}/{}/{}/request", scope.region, scope.service);
    let string_to_sign =
        format!("{ALGORITHM}\n{}\n{credential_scope}\n{}", scope.date, sha256_hex(canonical.text.as_bytes()));

    let key = [day, scope.region, scope.service, "request"]
        .into_iter()
        .fold(secret.expose().as_bytes().to_vec(), |key, part| hmac_sha256(&key, part.as_bytes()).to_vec());
    let signature = hex(&hmac_sha256(&key, string_to_sign.as_bytes()));
    let authorization = format!(
        "{ALGORITHM} Credential={access_key_id}/{credential_scope}, SignedHeaders={}, Signature={signature}",
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

/// The query as it is signed, and sent: sorted by name before encoding; a repeated name keeps the order of its values.
pub fn canonical_query(pairs: &[(String, String)]) -> String {
    let mut pairs: Vec<_> = pairs.iter().collect();
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    signature::query_string(pairs)
}

/// The vendor signs a host without `:80` and `:443`, whatever the scheme.
fn without_default_port(host: &str) -> &str {
    host.strip_suffix(":80").or_else(|| host.strip_suffix(":443")).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::provider::testing::{Expected, vectors};

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        ak: String,
        sk: String,
        service: String,
        region: String,
        x_date: String,
        method: String,
        path: String,
        query: Vec<(String, String)>,
        body_utf8: String,
        expected: Expected,
    }

    #[test]
    fn every_vector_of_the_vendor_is_met_step_by_step() {
        for vector in vectors::<Vector>(include_str!("../../../tests/vectors/volcengine.json"), 30) {
            let headers = vector.expected.headers_to_sign();
            let request = Request {
                method: &vector.method,
                path: &vector.path,
                query: &vector.query,
                headers: &headers,
                body_sha256: &sha256_hex(vector.body_utf8.as_bytes()),
            };
            let scope = Scope { date: &vector.x_date, region: &vector.region, service: &vector.service };
            let signature = sign(&request, &vector.ak, &Secret::new(vector.sk), &scope);
            vector.expected.check(&vector.name, &signature, &canonical_query(&vector.query));
        }
    }

    #[test]
    fn no_foreign_date_makes_it_panic() {
        for date in ["", "2024", "2024011房5T083045Z"] {
            let request = Request { method: "POST", path: "", query: &[], headers: &[], body_sha256: "" };
            let scope = Scope { date, region: "r", service: "s" };
            assert!(sign(&request, "AK", &Secret::new(""), &scope).canonical_request.starts_with("POST\n/\n"));
        }
    }
}
