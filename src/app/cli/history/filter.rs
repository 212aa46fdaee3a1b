//! Which results are meant.

use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;

use crate::model::decode::parse_time;
use crate::model::ids::{AppId, BatchId, JobId, ProviderName, RequestId, RoomId};
use crate::model::ledger::HistoryFilter;
use crate::model::result::Outcome;

#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = true)]
pub struct Filters {
    /// Only of this room.
    #[arg(long, value_name = "ROOM", value_parser = |text: &str| RoomId::parse(text))]
    room: Option<RoomId>,
    /// Only of this application.
    #[arg(long, value_name = "APP", value_parser = |text: &str| AppId::parse(text))]
    app: Option<AppId>,
    /// Only of this provider.
    #[arg(long, value_name = "NAME", value_parser = |text: &str| ProviderName::parse(text))]
    provider: Option<ProviderName>,
    /// Only of this batch.
    #[arg(long, value_name = "ID", value_parser = |text: &str| BatchId::parse(text))]
    batch: Option<BatchId>,
    /// Only of this job: each of its runs.
    #[arg(long, value_name = "ID", value_parser = |text: &str| JobId::parse(text))]
    job: Option<JobId>,
    /// Only those of which an attempt had this request ID.
    #[arg(long, value_name = "ID", value_parser = |text: &str| RequestId::parse(text))]
    request_id: Option<RequestId>,
    /// Only those that ended so; may be given again and again.
    #[arg(long, value_parser = outcome)]
    outcome: Vec<Outcome>,
    /// Only those settled then or later: an RFC 3339 time, or an age like 90s, 2h, 30d.
    #[arg(long, value_name = "TIME", value_parser = when)]
    since: Option<When>,
    /// Only those settled before.
    #[arg(long, value_name = "TIME", value_parser = when)]
    until: Option<When>,
}

/// A moment as it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    At(Timestamp),
    Ago(Duration),
}

impl When {
    fn moment(self, now: Timestamp) -> anyhow::Result<Timestamp> {
        match self {
            When::At(at) => Ok(at),
            When::Ago(age) => now.checked_sub(age).context("so long ago there was no time"),
        }
    }
}

impl Filters {
    /// Ages are those of `now`.
    pub fn filter(&self, now: Timestamp) -> anyhow::Result<HistoryFilter> {
        Ok(HistoryFilter {
            provider: self.provider.clone(),
            app: self.app.clone(),
            room: self.room.clone(),
            batch: self.batch.clone(),
            job: self.job.clone(),
            request_id: self.request_id.clone(),
            outcomes: self.outcome.clone(),
            since: self.since.map(|when| when.moment(now)).transpose()?,
            until: self.until.map(|when| when.moment(now)).transpose()?,
        })
    }
}

fn outcome(text: &str) -> Result<Outcome, String> {
    Outcome::parse(text).ok_or_else(|| format!("must be one of {}", Outcome::ALL.map(Outcome::as_str).join(", ")))
}

fn when(text: &str) -> Result<When, String> {
    if let Ok(age) = humantime::parse_duration(text) {
        return Ok(When::Ago(age));
    }
    let fault = |_| "must be an RFC 3339 time like 2026-01-31T18:00:00Z, or an age like 90s, 2h, 30d".to_owned();
    parse_time(text).map(When::At).map_err(fault)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        filters: Filters,
    }

    fn now() -> Timestamp {
        "2026-02-01T00:00:00Z".parse().unwrap()
    }

    fn parse(line: &str) -> Result<HistoryFilter, String> {
        let words = std::iter::once("history").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        line.filters.filter(now()).map_err(|error| error.to_string())
    }

    #[test]
    fn every_option_becomes_a_condition() {
        let line = "--room r --app a --provider volcengine --batch b --job j --request-id q --outcome exhausted \
                    --outcome rejected --since 2026-01-31T18:00:00+08:00 --until 2h";
        let expected = HistoryFilter {
            provider: Some(ProviderName::parse("volcengine").unwrap()),
            app: Some(AppId::parse("a").unwrap()),
            room: Some(RoomId::parse("r").unwrap()),
            batch: Some(BatchId::parse("b").unwrap()),
            job: Some(JobId::parse("j").unwrap()),
            request_id: Some(RequestId::parse("q").unwrap()),
            outcomes: vec![Outcome::Exhausted, Outcome::Rejected],
            since: Some("2026-01-31T10:00:00Z".parse().unwrap()),
            until: Some("2026-01-31T22:00:00Z".parse().unwrap()),
        };
        assert_eq!(parse(line).unwrap(), expected);
        let since = Some("2025-12-31T23:58:30Z".parse().unwrap());
        let day = HistoryFilter { since, ..HistoryFilter::default() };
        assert_eq!(parse("--since 31d1m30s").unwrap(), HistoryFilter { since, ..day });
    }

    #[test]
    fn any_one_filter_will_do_and_none_is_refused_with_all_that_exist() {
        for filter in ["--room r", "--app a", "--provider p", "--batch b", "--job j", "--request-id q"] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
        assert!(parse("--outcome cancelled").is_ok() && parse("--since 1h").is_ok() && parse("--until 1h").is_ok());
        let refused = parse("").unwrap_err();
        for filter in ["room", "app", "provider", "batch", "job", "request-id", "outcome", "since", "until"] {
            assert!(refused.contains(&format!("--{filter} ")), "{filter}: {refused}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        let check = |line: &str, option: &str, why: &str| {
            let error = parse(line).expect_err(line);
            assert!(error.contains(option) && error.contains(why), "{line}: {error}");
        };
        check("--outcome done", "--outcome", "must be one of dismissed, already_gone");
        check("--provider Volc", "--provider", "may hold only");
        check("--since yesterday", "--since", "must be an RFC 3339 time");
        check("--until 2026-01-31", "--until", "must be an RFC 3339 time");
        check("--since 20000years", "", "so long ago");
    }
}
