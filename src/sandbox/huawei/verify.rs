//! Who asks: a token, or the signature of an access key.

use crate::model::secret::Secret;
use crate::provider::encoding::sha256_hex;
use crate::provider::huawei::sign::{Request, sign};
use crate::sandbox::Sandbox;
use crate::sandbox::dialect::{Heard, Refusal, authorization, is_fresh};
use crate::sandbox::iam::TokenState;

use super::reply::{bad_signature, no_project, token_expired};

/// A token, where there is one, is what counts; like the vendor's gateway, its own word first.
pub(super) fn verify(heard: &Heard, sandbox: &Sandbox) -> Result<(), Refusal> {
    if let Some(token) = heard.header("x-auth-token") {
        return match sandbox.tokens.state(&token, heard.now) {
            TokenState::Valid => Ok(()),
            TokenState::Expired => Err(token_expired()),
            TokenState::Unknown => Err(bad_signature("decrypt token fail")),
        };
    }
    let text = heard.header("authorization").ok_or_else(|| bad_signature("x-auth-token not found"))?;
    verify_key(heard, sandbox, &text)
}

fn verify_key(heard: &Heard, sandbox: &Sandbox, text: &str) -> Result<(), Refusal> {
    let keys = &sandbox.settings.huawei;
    let [access, signed, signature] = authorization(text, "SDK-HMAC-SHA256", ["Access", "SignedHeaders", "Signature"])
        .ok_or_else(|| bad_signature("Authorization is not SDK-HMAC-SHA256 Access=…, SignedHeaders=…, Signature=…"))?;
    if access != keys.access_key_id {
        return Err(bad_signature(format!("Get secretKey failed,ak:{access},err:ak not exist")));
    }
    if sandbox.lock.is_locked(heard.now) {
        return Err(bad_signature("AK access failed to reach the limit, forbidden"));
    }
    let checked = verify_signature(heard, sandbox, &signed, &signature);
    match &checked {
        Ok(()) => sandbox.lock.note_good(),
        Err(_) => sandbox.lock.note_bad(heard.now),
    }
    checked?;
    match heard.header("x-project-id") {
        Some(project) if project == sandbox.settings.project_id => Ok(()),
        Some(_) | None => Err(no_project()),
    }
}

fn verify_signature(heard: &Heard, sandbox: &Sandbox, signed: &str, signature: &str) -> Result<(), Refusal> {
    let keys = &sandbox.settings.huawei;
    let fail = || bad_signature("verify aksk signature fail");
    if !signed.split(';').any(|name| name == "x-sdk-date") {
        return Err(bad_signature("SignedHeaders must name x-sdk-date"));
    }
    let headers = heard.signed_headers(signed).map_err(|_| fail())?;
    let date = heard.header("x-sdk-date").ok_or_else(fail)?;
    if is_fresh(&date, heard.now) != Some(true) {
        return Err(bad_signature("x-sdk-date is not within 15 minutes of the time here"));
    }
    if heard.header("x-security-token").as_deref() != keys.session_token.as_ref().map(Secret::expose) {
        return Err(bad_signature("decrypt token fail"));
    }
    let request = Request {
        method: heard.head.method.as_str(),
        path: heard.head.uri.path(),
        query: &heard.query(),
        headers: &headers,
        body_sha256: &sha256_hex(heard.body),
    };
    let expected = sign(&request, &keys.access_key_id, &keys.secret_access_key, &date);
    if expected.signature == signature { Ok(()) } else { Err(fail()) }
}
