//! Which dead letters are meant.

use std::time::Duration;

use crate::model::dead::Filter;
use crate::model::ids::{AppId, BatchId, JobId, ProviderName, RoomId};
use crate::model::result::Outcome;

#[derive(Debug, Clone, clap::Args)]
pub struct Filters {
    /// Only of this provider.
    #[arg(long, value_name = "NAME", value_parser = |text: &str| ProviderName::parse(text))]
    provider: Option<ProviderName>,
    /// Only those that ended so: rejected, exhausted or invalid.
    #[arg(long, value_parser = outcome)]
    outcome: Option<Outcome>,
    /// Only of this batch.
    #[arg(long, value_name = "ID", value_parser = |text: &str| BatchId::parse(text))]
    batch: Option<BatchId>,
    /// Only of this application.
    #[arg(long, value_name = "APP", value_parser = |text: &str| AppId::parse(text))]
    app: Option<AppId>,
    /// Only of this room.
    #[arg(long, value_name = "ROOM", value_parser = |text: &str| RoomId::parse(text))]
    room: Option<RoomId>,
    /// Only of this job.
    #[arg(long, value_name = "ID", value_parser = |text: &str| JobId::parse(text))]
    job: Option<JobId>,
    /// Only those that ended so long ago, or longer: 90s, 1h, 30d.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    older_than: Option<Duration>,
    /// Only those that ended less long ago.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    newer_than: Option<Duration>,
    /// Of those that match, only the first so many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

impl Filters {
    pub fn filter(&self) -> Filter {
        Filter {
            provider: self.provider.clone(),
            outcome: self.outcome,
            batch: self.batch.clone(),
            app: self.app.clone(),
            room: self.room.clone(),
            job: self.job.clone(),
            older_than: self.older_than,
            newer_than: self.newer_than,
        }
    }

    pub fn limit(&self) -> u64 {
        self.limit.unwrap_or(u64::MAX)
    }
}

fn outcome(text: &str) -> Result<Outcome, String> {
    let mut dead = Outcome::ALL.into_iter().filter(|outcome| outcome.is_dead_letter());
    dead.find(|outcome| outcome.as_str() == text).ok_or_else(|| "must be rejected, exhausted or invalid".to_owned())
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

    fn parse(line: &str) -> Result<Filters, String> {
        let words = std::iter::once("dead").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.filters).map_err(|error| error.to_string())
    }

    #[test]
    fn every_option_becomes_a_condition() {
        let line = "--provider volcengine --outcome exhausted --batch b --app a --room r --job j --older-than 1h \
                    --newer-than 30d --limit 5";
        let filters = parse(line).unwrap();
        let expected = Filter {
            provider: Some(ProviderName::parse("volcengine").unwrap()),
            outcome: Some(Outcome::Exhausted),
            batch: Some(BatchId::parse("b").unwrap()),
            app: Some(AppId::parse("a").unwrap()),
            room: Some(RoomId::parse("r").unwrap()),
            job: Some(JobId::parse("j").unwrap()),
            older_than: Some(Duration::from_secs(3600)),
            newer_than: Some(Duration::from_secs(30 * 86_400)),
        };
        assert_eq!((filters.filter(), filters.limit()), (expected, 5));
        let none = parse("").unwrap();
        assert_eq!((none.filter(), none.limit()), (Filter::default(), u64::MAX));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        let check = |line: &str, option: &str, why: &str| {
            let error = parse(line).expect_err(line);
            assert!(error.contains(option) && error.contains(why), "{line}: {error}");
        };
        check("--outcome dismissed", "--outcome", "must be rejected, exhausted or invalid");
        check("--provider Volc", "--provider", "may hold only");
        check("--older-than 5", "--older-than", "time unit needed");
        check("--newer-than soon", "--newer-than", "expected number");
        check("--limit 0", "--limit", "0 is not in 1..");
        check("--limit many", "--limit", "invalid digit");
    }
}
