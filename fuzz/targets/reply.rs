//! What both clouds' targets share: a reply out of bytes, and what holds for every verdict.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use roomsweep::model::ids::RequestId;
use roomsweep::model::verdict::{MAX_MESSAGE, Verdict};
use roomsweep::provider::Reply;

pub const SECRET: &str = "SKFUZZ";

/// Two bytes of status, a line for each header, the rest is the body.
pub fn read(data: &[u8], names: [&'static str; 2]) -> Option<Reply> {
    let (status, mut rest) = data.split_first_chunk::<2>()?;
    let status = match u16::from_be_bytes(*status) {
        // Those that mean something come often.
        number @ 0..0x8000 => [200, 201, 202, 400, 401, 403, 404, 429, 500, 503][usize::from(number % 10)],
        number => 100 + number % 900,
    };
    let mut headers = HeaderMap::new();
    for name in names {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        if let Ok(value) = HeaderValue::from_bytes(&rest[..end]) {
            headers.insert(HeaderName::from_static(name), value);
        }
        rest = &rest[end + 1..];
    }
    Some(Reply { status: StatusCode::from_u16(status).ok()?, headers, body: rest.to_vec().into() })
}

pub fn check(verdict: &Verdict, id: Option<&RequestId>) {
    if let Some(fault) = verdict.fault() {
        assert!(!fault.code.is_empty() && fault.code.len() <= 128 && fault.message.len() <= MAX_MESSAGE, "{fault:?}");
    }
    if let Verdict::Throttled { retry_after: Some(wait), .. } = verdict {
        assert!(wait.as_secs() <= 3600);
    }
    if let Some(id) = id {
        assert!((1..=256).contains(&id.as_str().len()) && !id.as_str().chars().any(char::is_control));
    }
}
