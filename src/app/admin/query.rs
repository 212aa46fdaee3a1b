//! What is asked of `/api/results`, as the query of a URL tells it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use crate::model::ids::{AppId, BatchId, IdError, JobId, ProviderName, RequestId, RoomId};
use crate::model::ledger::{Cursor, HistoryFilter};
use crate::model::result::Outcome;

/// How many results a page holds unless told otherwise, and at most.
const LISTED: (u32, u32) = (50, 500);

/// One page of results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) filter: HistoryFilter,
    pub(super) after: Option<Cursor>,
    pub(super) most: u32,
}

impl Asked {
    /// An error names the parameter.
    pub(super) fn parse(pairs: &[(String, String)]) -> Result<Self, String> {
        let mut asked = Self { filter: HistoryFilter::default(), after: None, most: LISTED.0 };
        let filter = &mut asked.filter;
        for (index, (name, text)) in pairs.iter().enumerate() {
            let is_again = pairs[..index].iter().any(|(earlier, _)| earlier == name);
            if is_again && name != "outcome" {
                return Err(format!("{name}: stands there twice"));
            }
            match name.as_str() {
                "provider" => filter.provider = Some(id(name, ProviderName::parse(text.as_str()))?),
                "app" => filter.app = Some(id(name, AppId::parse(text.as_str()))?),
                "room" => filter.room = Some(id(name, RoomId::parse(text.as_str()))?),
                "batch" => filter.batch = Some(id(name, BatchId::parse(text.as_str()))?),
                "job" => filter.job = Some(id(name, JobId::parse(text.as_str()))?),
                "request_id" => filter.request_id = Some(id(name, RequestId::parse(text.as_str()))?),
                "outcome" => filter.outcomes.extend(outcomes(text)?),
                "since" => filter.since = Some(time(name, text)?),
                "until" => filter.until = Some(time(name, text)?),
                "limit" => asked.most = limit(text, LISTED.1)?,
                "next" => asked.after = Some(cursor(text).ok_or("next: is none that was given out here")?),
                _ => return Err(format!("{name}: is no parameter here; /api/openapi.json lists them")),
            }
        }
        filter.outcomes.sort_unstable();
        filter.outcomes.dedup();
        Ok(asked)
    }
}

/// A whole number from 1 to `most`.
pub(super) fn limit(text: &str, most: u32) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("limit: is to be a whole number from 1 to {most}"))
}

fn id<T>(name: &str, parsed: Result<T, IdError>) -> Result<T, String> {
    parsed.map_err(|error| format!("{name}: {error}"))
}

fn time(name: &str, text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| format!("{name}: is no RFC 3339 time like 2024-01-15T08:30:00Z (a + is written %2B)"))
}

fn outcomes(text: &str) -> Result<Vec<Outcome>, String> {
    let parse = |name: &str| {
        Outcome::parse(name).ok_or_else(|| {
            let known = Outcome::ALL.map(Outcome::as_str).join(", ");
            format!("outcome: {name:?} is none; there are {known}")
        })
    };
    text.split(',').map(parse).collect()
}

/// A place in the results, for clients to hand back unread.
pub(super) fn token(cursor: &Cursor) -> String {
    let parts = (cursor.settled_at, cursor.run, &cursor.job);
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&parts).expect("texts and numbers can be written as JSON"))
}

fn cursor(token: &str) -> Option<Cursor> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (settled_at, run, job) = serde_json::from_slice(&bytes).ok()?;
    Some(Cursor { settled_at, job, run })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Asked, String> {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Asked::parse(&pairs.map(|(name, text)| (name.to_owned(), text.to_owned())).collect::<Vec<_>>())
    }

    #[test]
    fn every_filter_is_understood() {
        let asked = parse(
            "provider=p&app=a&room=r&batch=b&job=j&request_id=q&outcome=rejected,exhausted&outcome=rejected\
             &since=2024-01-15T08:30:00Z&until=2024-01-15T10:00:00%2B01:00&limit=500",
        );
        // Percent signs are undone before.
        assert!(asked.is_err_and(|error| error.starts_with("until: ")));
        let asked = parse(
            "provider=p&app=a&room=r&batch=b&job=j&request_id=q&outcome=rejected,exhausted&outcome=rejected\
             &since=2024-01-15T08:30:00Z&until=2024-01-15T10:00:00+01:00&limit=500",
        );
        let expected = HistoryFilter {
            provider: ProviderName::parse("p").ok(),
            app: AppId::parse("a").ok(),
            room: RoomId::parse("r").ok(),
            batch: BatchId::parse("b").ok(),
            job: JobId::parse("j").ok(),
            request_id: RequestId::parse("q").ok(),
            outcomes: vec![Outcome::Rejected, Outcome::Exhausted],
            since: "2024-01-15T08:30:00Z".parse().ok(),
            until: "2024-01-15T09:00:00Z".parse().ok(),
        };
        assert_eq!(asked, Ok(Asked { filter: expected, after: None, most: 500 }));
        assert_eq!(parse(""), Ok(Asked { filter: HistoryFilter::default(), after: None, most: 50 }));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |query: &str, expected: &str| {
            let error = parse(query).unwrap_err();
            assert!(error.starts_with(expected), "{query}: {error}");
        };
        check("room=", "room: must not be empty");
        check("room=a&room=b", "room: stands there twice");
        check("provider=P", "provider: may hold only");
        check("outcome=done", "outcome: \"done\" is none; there are dismissed, ");
        check("outcome=", "outcome: \"\" is none");
        check("since=yesterday", "since: is no RFC 3339 time");
        for limit in ["0", "501", "-1", "x", ""] {
            check(&format!("limit={limit}"), "limit: is to be a whole number from 1 to 500");
        }
        check("next=abc", "next: is none that was given out here");
        check("rooom=a", "rooom: is no parameter here");
    }

    #[test]
    fn a_place_comes_back_as_it_was_given_out() {
        let cursor = Cursor {
            settled_at: "2024-01-15T08:30:00.123456789Z".parse().unwrap(),
            job: JobId::parse("job \"ü\" /?&=").unwrap(),
            run: 3,
        };
        let token = token(&cursor);
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
        assert_eq!(parse(&format!("next={token}")).unwrap().after, Some(cursor));
    }
}
