//! Who changes something and why, as a request's body tells it.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use serde::Deserialize;

use super::answers::Trouble;
use crate::model::ids::short;
use crate::model::job::MAX_NOTE;
use crate::model::ledger::Act;

/// Whoever does not give a name.
const SOMEBODY: &str = "somebody at the admin port";

/// The body may be left out, and so may each of its members.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    by: Option<String>,
    why: Option<String>,
}

/// What is to stand on record.
pub(super) fn act(headers: &HeaderMap, body: &[u8], at: Timestamp) -> Result<Act, Trouble> {
    let note = read(headers, body)?;
    let by = checked("by", note.by)?.unwrap_or_else(|| SOMEBODY.to_owned());
    Ok(Act { by, why: checked("why", note.why)?, at })
}

fn checked(field: &str, text: Option<String>) -> Result<Option<String>, Trouble> {
    let text = text.unwrap_or_default();
    short(&text, MAX_NOTE).map_err(|error| Trouble::Faulty(format!("{field}: {error}")))?;
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn read(headers: &HeaderMap, body: &[u8]) -> Result<Note, Trouble> {
    if body.trim_ascii().is_empty() {
        return Ok(Note::default());
    }
    if !is_json(headers) {
        return Err(Trouble::NotJson);
    }
    serde_json::from_slice(body).map_err(|error| Trouble::Faulty(format!("body: {error}")))
}

pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn told(body: &str) -> Result<(String, Option<String>), Trouble> {
        let headers =
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("Application/JSON; charset=utf-8"))]);
        act(&headers, body.as_bytes(), Timestamp::UNIX_EPOCH).map(|act| (act.by, act.why))
    }

    #[test]
    fn name_and_reason_may_be_left_out() {
        let somebody = || SOMEBODY.to_owned();
        for body in ["", " \n", "{}", r#"{"by":" ","why":""}"#, r#"{"by":null}"#] {
            assert_eq!(told(body), Ok((somebody(), None)), "{body}");
        }
        assert_eq!(
            told(r#"{"by":" mira ","why":"wrong list"}"#),
            Ok(("mira".to_owned(), Some("wrong list".to_owned())))
        );
    }

    #[test]
    fn what_cannot_be_kept_is_refused_by_name() {
        let check = |body: &str, expected: &str| match told(body) {
            Err(Trouble::Faulty(why)) => assert!(why.starts_with(expected), "{why}"),
            other => panic!("{body}: {other:?}"),
        };
        check(r#"{"by":"a\nb"}"#, "by: contains the control character");
        check(&format!(r#"{{"why":"{}"}}"#, "x".repeat(MAX_NOTE + 1)), "why: is 513 bytes long");
        check(r#"{"who":"me"}"#, "body: unknown field `who`");
        check("[]", "body: ");
        check("{", "body: ");
        assert_eq!(act(&HeaderMap::new(), b"{}", Timestamp::UNIX_EPOCH), Err(Trouble::NotJson));
    }
}
