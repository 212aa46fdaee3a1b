//! Who asks: the signature of a Volcengine request, judged in the order in which the gateway must look at it.

use http::StatusCode;
use http::request::Parts;

use crate::model::secret::Secret;
use crate::provider::encoding::sha256_hex;
use crate::provider::volcengine::sign::{Request, Scope, sign};
use crate::sandbox::dialect::{Heard, Refusal, authorization, is_fresh};
use crate::sandbox::record::Kind;
use crate::sandbox::settings::Keys;

use super::reply::gateway;

const ALGORITHM: &str = "HMAC-SHA256";
const SERVICE: &str = "rtc";

/// `AK/date/region/service/request`.
struct Credential<'a> {
    access_key_id: &'a str,
    day: &'a str,
    region: &'a str,
}

pub(super) fn verify(heard: &Heard, keys: &Keys) -> Result<(), Refusal> {
    let text = heard
        .header("authorization")
        .ok_or_else(|| refused(401, 100_003, "MissingAuthenticationToken", "The header Authorization is missing"))?;
    if !text.contains("Signature=") {
        return Err(refused(401, 100_005, "MissingSignature", "The header Authorization holds no signature"));
    }
    let invalid = |why: &str| refused(400, 100_024, "InvalidAuthorization", format!("Authorization is invalid: {why}"));
    let [credential, signed, signature] = authorization(&text, ALGORITHM, ["Credential", "SignedHeaders", "Signature"])
        .ok_or_else(|| invalid("it must be HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…"))?;
    let names: Vec<_> = signed.split(';').collect();
    for name in ["host", "x-date"] {
        if !names.contains(&name) {
            return Err(invalid(&format!("SignedHeaders must name {name}")));
        }
    }
    let headers = heard.signed_headers(&signed).map_err(|name| invalid(&format!("there is no header {name}")))?;

    let date = heard.header("x-date").unwrap_or_default();
    match is_fresh(&date, heard.now) {
        Some(true) => {}
        Some(false) => return Err(stale("X-Date is more than 15 minutes from the time here")),
        None => return Err(stale("X-Date is not a date like 20240115T083045Z")),
    }
    let credential = Credential::parse(&credential)
        .ok_or_else(|| refused(400, 100_025, "InvalidCredential", "Credential must be AK/day/region/rtc/request"))?;
    if credential.access_key_id != keys.access_key_id {
        return Err(refused(401, 100_009, "InvalidAccessKey", "The access key is unknown"));
    }
    if heard.header("x-security-token").as_deref() != keys.session_token.as_ref().map(Secret::expose) {
        return Err(refused(401, 100_026, "InvalidSecretToken", "X-Security-Token does not belong to the access key"));
    }
    verify_signature(heard, keys, &credential, &headers, &date, &signature)
}

fn verify_signature(
    heard: &Heard,
    keys: &Keys,
    credential: &Credential,
    headers: &[(String, String)],
    date: &str,
    signature: &str,
) -> Result<(), Refusal> {
    let differs = |what: &str| refused(401, 100_010, "SignatureDoesNotMatch", format!("The {what} does not match"));
    if !date.starts_with(credential.day) {
        return Err(differs("day in Credential"));
    }
    let body_sha256 = sha256_hex(heard.body);
    if heard.header("x-content-sha256").is_some_and(|claimed| claimed != body_sha256) {
        return Err(differs("hash in X-Content-Sha256"));
    }
    let request = Request {
        method: heard.head.method.as_str(),
        path: heard.head.uri.path(),
        query: &heard.query(),
        headers,
        body_sha256: &body_sha256,
    };
    let scope = Scope { date, region: credential.region, service: SERVICE };
    let expected = sign(&request, &keys.access_key_id, &keys.secret_access_key, &scope);
    if expected.signature != signature { Err(differs("signature")) } else { Ok(()) }
}

/// The region that a request claims to be signed for, or the vendor's first.
pub(super) fn region(head: &Parts) -> String {
    let header = head.headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let parts = header.and_then(|text| authorization(text, ALGORITHM, ["Credential", "SignedHeaders", "Signature"]));
    let region = parts.and_then(|[credential, ..]| Credential::parse(&credential).map(|c| c.region.to_owned()));
    region.unwrap_or_else(|| "cn-north-1".to_owned())
}

impl<'a> Credential<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        match text.split('/').collect::<Vec<_>>()[..] {
            [access_key_id, day, region, SERVICE, "request"] if day.len() == 8 => {
                Some(Self { access_key_id, day, region })
            }
            _ => None,
        }
    }
}

fn stale(why: &str) -> Refusal {
    refused(400, 100_006, "InvalidTimestamp", why)
}

fn refused(status: u16, number: u32, code: &'static str, message: impl Into<String>) -> Refusal {
    let status = StatusCode::from_u16(status).expect("a status from the vendor's list");
    gateway(Kind::Refused, status, number, code, message)
}
