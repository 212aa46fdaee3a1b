//! What the demo came to, counted twice: by the results, and by the sandbox.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::adapters::sqlite::SqliteQueue;
use crate::app::cli::sweep::follow;
use crate::app::config::Config;
use crate::model::job::DismissJob;
use crate::model::result::{DismissResult, Outcome};
use crate::ports::broker::BrokerError;
use crate::ports::meter::{Exposition, Meter};
use crate::provider::catalog::ProviderSettings;
use crate::sandbox::Sandbox;
use crate::sandbox::record::{Cloud, Kind};

const PAGE: u32 = 1000;
/// So many results are shown.
const SHOWN: usize = 5;

/// All results of a tag.
pub async fn all(queue: &SqliteQueue, tag: &str) -> Result<Vec<DismissResult>, BrokerError> {
    let mut results = Vec::new();
    let mut after = 0;
    loop {
        let page = queue.results(tag, after, PAGE).await?;
        match page.last() {
            Some((last, _)) => after = *last,
            None => return Ok(results),
        }
        results.extend(page.into_iter().map(|(_, result)| result));
    }
}

/// How many jobs the metrics say are settled.
pub fn settled_by_metrics(meter: &Meter) -> u64 {
    let text = meter.render(Exposition::PrometheusText);
    let values = text.lines().filter(|line| line.starts_with("roomsweep_jobs_settled_total{"));
    values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}

/// Both counts.
pub struct Report {
    providers: Vec<Side>,
    /// What the two counts do not agree on.
    differences: Vec<String>,
    shown: Vec<String>,
}

/// One provider.
struct Side {
    name: String,
    quota: u32,
    jobs: usize,
    outcomes: BTreeMap<&'static str, u64>,
    retries: u64,
    /// Requests a second.
    rate: f64,
    busiest: usize,
}

impl Report {
    pub fn of(config: &Config, jobs: &[DismissJob], results: &[DismissResult], sandbox: &Sandbox) -> Self {
        let mut differences = one_result_each(jobs, results);
        let mut providers = Vec::new();
        for provider in &config.providers {
            let cloud = match &provider.settings {
                ProviderSettings::Volcengine(_) => Cloud::Volcengine,
                ProviderSettings::Huawei(_) => Cloud::Huawei,
            };
            let mine: Vec<&DismissResult> =
                results.iter().filter(|result| result.provider.as_ref() == Some(&provider.name)).collect();
            let mut side = Side::of(provider.name.as_str(), provider.qps, &mine);
            side.arrived(cloud, sandbox, &mine, &mut differences);
            providers.push(side);
        }
        Self { providers, differences, shown: shown(results) }
    }

    /// Whether the sandbox saw what we say.
    pub fn agrees(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Every job has one result, and no result is of another job.
fn one_result_each(jobs: &[DismissJob], results: &[DismissResult]) -> Vec<String> {
    let mut counts: HashMap<&str, usize> = jobs.iter().map(|job| (job.job_id.as_str(), 0)).collect();
    let strange = results.iter().filter(|result| match counts.get_mut(result.job_id.as_str()) {
        Some(count) => {
            *count += 1;
            false
        }
        None => true,
    });
    let strange = strange.count();
    let wrong = counts.values().filter(|count| **count != 1).count();
    let mut differences = Vec::new();
    differences.extend((strange > 0).then(|| format!("{strange} results are of no job")));
    differences.extend((wrong > 0).then(|| format!("{wrong} jobs have none or several results")));
    differences
}

impl Side {
    fn of(name: &str, quota: u32, results: &[&DismissResult]) -> Self {
        let mut outcomes = BTreeMap::new();
        for result in results {
            *outcomes.entry(result.outcome.as_str()).or_default() += 1;
        }
        let retries = results.iter().map(|result| u64::from(result.attempts.saturating_sub(1))).sum();
        Self { name: name.to_owned(), quota, jobs: results.len(), outcomes, retries, rate: 0.0, busiest: 0 }
    }

    /// Lays what the sandbox saw beside it.
    fn arrived(&mut self, cloud: Cloud, sandbox: &Sandbox, results: &[&DismissResult], differences: &mut Vec<String>) {
        let stats = sandbox.stats();
        let Some(seen) = stats.clouds.get(&cloud).map(|stats| &stats.all) else {
            return differences.push(format!("{}: the sandbox knows no such cloud", self.name));
        };
        let count = |outcome: Outcome| self.outcomes.get(outcome.as_str()).copied().unwrap_or_default();
        let sent: u64 = results.iter().map(|result| u64::from(result.attempts)).sum();
        let gone = seen.replies.get(&Kind::Gone).copied().unwrap_or_default();
        let records: HashMap<String, (String, Kind)> = sandbox
            .requests(0)
            .into_iter()
            .filter(|record| record.cloud == cloud)
            .map(|record| (record.request_id, (record.room_id.unwrap_or_default(), record.kind)))
            .collect();
        let unknown = results.iter().filter(|result| !is_known(result, &records)).count() as u64;
        let mut same = |what: &str, ours: u64, theirs: u64| {
            if ours != theirs {
                differences.push(format!("{}: {what}: {ours} by us, {theirs} by the sandbox", self.name));
            }
        };
        same("requests", sent, seen.arrived);
        same("dismissed", count(Outcome::Dismissed), seen.accepted);
        same("already gone", count(Outcome::AlreadyGone), gone);
        same("request IDs that are not those of the room", unknown, 0);
        same("requests over the quota", 0, seen.over_quota);
        same("bad signatures", 0, seen.refused_signatures);
        self.busiest = seen.busiest_second.arrived;
        if self.busiest > self.quota as usize {
            differences.push(format!("{}: {} in one second, {} are allowed", self.name, self.busiest, self.quota));
        }
        let times = sandbox.requests(0).into_iter().filter(|record| record.cloud == cloud).map(|record| record.t_us);
        self.rate = in_whole_seconds(&times.collect::<Vec<_>>());
    }
}

/// How many arrived a second, from the first one on in whole seconds: no last one that was not full makes it look other
/// than it was.
fn in_whole_seconds(times: &[u64]) -> f64 {
    const SECOND: u64 = 1_000_000;
    let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else { return 0.0 };
    let seconds = ((last - first) / SECOND).max(1);
    let counted = times.iter().filter(|time| **time < first + seconds * SECOND).count();
    counted as f64 / seconds as f64
}

/// The sandbox gave this request ID to a request for this room, and meant by it what we say.
fn is_known(result: &DismissResult, records: &HashMap<String, (String, Kind)>) -> bool {
    let Some((room, kind)) = result.request_id.as_ref().and_then(|id| records.get(id.as_str())) else { return false };
    let meant = match result.outcome {
        Outcome::Dismissed => *kind == Kind::Accepted,
        Outcome::AlreadyGone => *kind == Kind::Gone,
        Outcome::Rejected => *kind == Kind::Rejected,
        Outcome::Exhausted | Outcome::Expired | Outcome::Cancelled | Outcome::Invalid => true,
    };
    meant && result.room_id.as_ref().is_some_and(|id| id.as_str() == room)
}

/// One of each kind first, retried ones too; then whatever comes.
fn shown(results: &[DismissResult]) -> Vec<String> {
    let mut kinds = Vec::new();
    let mut chosen: Vec<&DismissResult> = Vec::new();
    for result in results {
        let kind = (result.outcome, result.attempts > 1);
        if chosen.len() < SHOWN && !kinds.contains(&kind) {
            kinds.push(kind);
            chosen.push(result);
        }
    }
    let others = results.iter().filter(|result| !chosen.iter().any(|one| one.job_id == result.job_id));
    let others: Vec<&DismissResult> = others.take(SHOWN - chosen.len()).collect();
    chosen.extend(others);
    let attempts = |result: &DismissResult| if result.attempts == 1 { "attempt" } else { "attempts" };
    chosen.iter().map(|one| format!("{} ({} {})", follow::line(one), one.attempts, attempts(one))).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<12}{:>6}{:>11}{:>14}{:>10}{:>9}{:>18}{:>21}",
            "provider", "rooms", "dismissed", "already_gone", "rejected", "retries", "rate (quota)", "busiest second"
        )?;
        for side in &self.providers {
            let count = |outcome: Outcome| side.outcomes.get(outcome.as_str()).copied().unwrap_or_default();
            writeln!(
                f,
                "{:<12}{:>6}{:>11}{:>14}{:>10}{:>9}{:>18}{:>21}",
                side.name,
                side.jobs,
                count(Outcome::Dismissed),
                count(Outcome::AlreadyGone),
                count(Outcome::Rejected),
                side.retries,
                format!("{:.1}/s ({})", side.rate, side.quota),
                format!("{} of {} allowed", side.busiest, side.quota),
            )?;
        }
        writeln!(f, "\nsome of the results, each with the cloud's own request ID:")?;
        for line in &self.shown {
            writeln!(f, "  {line}")?;
        }
        match &self.differences[..] {
            [] => write!(f, "\nthe sandbox saw the same: yes"),
            differences => {
                write!(f, "\nthe sandbox saw the same: no")?;
                differences.iter().try_for_each(|difference| write!(f, "\n  {difference}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_seconds_make_a_rate() {
        let check = |times: &[u64], expected: f64| assert_eq!(in_whole_seconds(times), expected, "{times:?}");
        check(&[], 0.0);
        check(&[5, 6, 7], 3.0);
        check(&[0, 500_000, 1_000_000, 1_500_000, 2_000_000, 2_000_001], 2.0);
    }
}
