//! One judge over every scenario: what was submitted, what results came, what the clouds saw.

use std::collections::{BTreeMap, BTreeSet};

/// A result, as far as the rules look at it.
#[derive(Debug, Clone)]
pub struct Told {
    pub job_id: String,
    pub provider: String,
    pub run: u32,
    pub outcome: String,
    /// Requests that it speaks of, and how many of them count towards the bound.
    pub attempts: u32,
    pub transient: u32,
    /// Refusals of credentials or configuration in its log.
    pub refused: u32,
    /// Attempts in its log, and how many are left out of it.
    pub logged: u32,
    pub omitted: u32,
    /// The request IDs in its log.
    pub request_ids: Vec<String>,
}

/// One request that a cloud saw.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub cloud: String,
    /// By the cloud's own clock, in microseconds.
    pub at_us: u64,
    /// What it gave back; None if it gave nothing that could be read.
    pub request_id: Option<String>,
}

/// Whether a sender lost what it knew on the way: killed, frozen or cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Losses {
    /// Each job has exactly one result, and each request ID is in one.
    None,
    /// Results may come twice; what was on the wire of a lost sender may be missing: at most so many request IDs.
    Senders { unknown_ids: usize },
}

/// A whole scenario.
pub struct Case<'a> {
    pub submitted: &'a [String],
    pub results: &'a [Told],
    pub arrivals: &'a [Arrival],
    /// Requests in any closed second, by cloud.
    pub quotas: &'a [(&'a str, usize)],
    /// `retry.max_attempts`.
    pub max_attempts: u32,
    pub losses: Losses,
    /// What the workers logged, as text.
    pub logs: &'a [String],
}

/// Panics with the first violations of each rule.
#[track_caller]
pub fn check(case: &Case<'_>) {
    let faults = violations(case);
    assert!(faults.is_empty(), "{} violations, like\n{}", faults.len(), faults[..faults.len().min(10)].join("\n"));
}

/// Everything that is wrong, in words.
pub fn violations(case: &Case<'_>) -> Vec<String> {
    [
        missing(case),
        repeated(case),
        disagreeing(case),
        over_quota(case),
        attempts(case),
        request_ids(case),
        suspended(case),
    ]
    .concat()
}

fn missing(case: &Case<'_>) -> Vec<String> {
    let submitted: BTreeSet<&str> = case.submitted.iter().map(String::as_str).collect();
    let told: BTreeSet<&str> = case.results.iter().map(|result| result.job_id.as_str()).collect();
    let lost = submitted.difference(&told).map(|id| format!("{id} has no result"));
    let invented = told.difference(&submitted).map(|id| format!("{id} was never submitted"));
    lost.chain(invented).collect()
}

fn by_run<'a>(case: &Case<'a>) -> BTreeMap<(&'a str, u32), Vec<&'a Told>> {
    let mut runs = BTreeMap::<_, Vec<_>>::new();
    for result in case.results {
        runs.entry((result.job_id.as_str(), result.run)).or_default().push(result);
    }
    runs
}

fn repeated(case: &Case<'_>) -> Vec<String> {
    match case.losses {
        Losses::Senders { .. } => Vec::new(),
        Losses::None => {
            let runs = by_run(case);
            let many = runs.iter().filter(|(_, results)| results.len() > 1);
            many.map(|((id, run), results)| format!("{id}, run {run}, has {} results", results.len())).collect()
        }
    }
}

fn disagreeing(case: &Case<'_>) -> Vec<String> {
    let meaning = |result: &&Told| match result.outcome.as_str() {
        "already_gone" => "dismissed".to_owned(),
        other => other.to_owned(),
    };
    let mut faults = Vec::new();
    for ((id, run), results) in by_run(case) {
        let outcomes: BTreeSet<String> = results.iter().map(meaning).collect();
        if outcomes.len() > 1 {
            faults.push(format!("{id}, run {run}, ended as {outcomes:?}"));
        }
    }
    faults
}

fn over_quota(case: &Case<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for &(cloud, quota) in case.quotas {
        let mine = case.arrivals.iter().filter(|arrival| arrival.cloud == cloud);
        let mut times: Vec<u64> = mine.map(|arrival| arrival.at_us).collect();
        times.sort_unstable();
        for window in times.windows(quota + 1) {
            let span = window[quota] - window[0];
            if span <= 1_000_000 {
                faults.push(format!("{cloud}: {} requests within {span} us from {}", quota + 1, window[0]));
            }
        }
    }
    faults
}

fn attempts(case: &Case<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for result in case.results {
        let (id, attempts) = (&result.job_id, result.attempts);
        if result.transient > case.max_attempts {
            faults.push(format!("{id}: {} failed attempts of {}", result.transient, case.max_attempts));
        }
        if attempts != result.logged + result.omitted {
            faults.push(format!("{id}: {attempts} attempts, {} logged, {} omitted", result.logged, result.omitted));
        }
    }
    faults
}

fn request_ids(case: &Case<'_>) -> Vec<String> {
    let given: BTreeSet<&str> = case.arrivals.iter().filter_map(|arrival| arrival.request_id.as_deref()).collect();
    let told: BTreeSet<&str> = case.results.iter().flat_map(|r| &r.request_ids).map(String::as_str).collect();
    let unknown: Vec<&str> = given.difference(&told).copied().collect();
    let omitted: usize = case.results.iter().map(|result| result.omitted as usize).sum();
    let allowed = omitted
        + match case.losses {
            Losses::None => 0,
            Losses::Senders { unknown_ids } => unknown_ids,
        };
    let mut faults: Vec<String> = told.difference(&given).map(|id| format!("no cloud ever gave {id}")).collect();
    if unknown.len() > allowed {
        faults.push(format!("{} request IDs are in no result, like {}; {allowed} may", unknown.len(), unknown[0]));
    }
    faults
}

/// No provider is suspended for the refusal of one job while it takes others. Where no job was refused, the provider gave
/// no token.
fn suspended(case: &Case<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for line in case.logs.iter().flat_map(|log| log.lines()).filter(|line| line.contains(" suspended: ")) {
        let value = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name)).unwrap_or_default();
        let (provider, reason) = (value("provider="), value("reason="));
        let refused = case.results.iter().filter(|told| told.provider == provider && told.refused > 0);
        let jobs: BTreeSet<&str> = refused.map(|told| told.job_id.as_str()).collect();
        if matches!(reason, "credentials" | "configuration") && jobs.len() == 1 {
            faults.push(format!("{provider} was suspended for {reason} though it refused only {jobs:?}"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(job_id: &str, outcome: &str, ids: &[&str]) -> Told {
        let attempts = ids.len() as u32;
        Told {
            job_id: job_id.into(),
            provider: "c".into(),
            run: 1,
            outcome: outcome.into(),
            attempts,
            transient: attempts.saturating_sub(1),
            refused: 0,
            logged: attempts,
            omitted: 0,
            request_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        }
    }

    fn arrival(at_us: u64, id: &str) -> Arrival {
        Arrival { cloud: "c".into(), at_us, request_id: Some(id.into()) }
    }

    #[track_caller]
    fn finds(results: &[Told], arrivals: &[Arrival], losses: Losses, expected: &[&str]) {
        let submitted = ["a".to_owned(), "b".to_owned()];
        let quotas = &[("c", 1)];
        let case = Case { submitted: &submitted, results, arrivals, quotas, max_attempts: 2, losses, logs: &[] };
        let found = violations(&case);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (fault, expected) in found.iter().zip(expected) {
            assert!(fault.contains(expected), "{fault}");
        }
    }

    #[test]
    fn every_broken_rule_is_found() {
        let lost = Losses::Senders { unknown_ids: 1 };
        let seen = [arrival(0, "1"), arrival(1_000_001, "2")];
        let (a, b) = (told("a", "dismissed", &["1"]), told("b", "already_gone", &["2"]));
        finds(&[a.clone(), b.clone()], &seen, Losses::None, &[]);
        finds(std::slice::from_ref(&a), &seen[..1], Losses::None, &["b has no result"]);
        finds(&[a.clone(), b.clone(), told("x", "expired", &[])], &seen, Losses::None, &["x was never submitted"]);
        finds(&[a.clone(), a.clone(), b.clone()], &seen, Losses::None, &["a, run 1, has 2 results"]);
        finds(&[a.clone(), a.clone(), b.clone()], &seen, lost, &[]);
        finds(&[a.clone(), b.clone(), told("b", "dismissed", &[])], &seen, lost, &[]);
        finds(&[a.clone(), b.clone(), told("b", "rejected", &[])], &seen, lost, &["b, run 1, ended as"]);
        let crowd = [arrival(0, "1"), arrival(1_000_000, "2")];
        finds(&[a.clone(), b.clone()], &crowd, Losses::None, &["c: 2 requests within 1000000 us"]);
        finds(&[a.clone(), told("b", "dismissed", &[])], &seen, Losses::None, &["1 request IDs are in no result"]);
        finds(&[a.clone(), told("b", "dismissed", &[])], &seen, lost, &[]);
        finds(&[a.clone(), told("b", "dismissed", &["2", "3"])], &seen, lost, &["no cloud ever gave 3"]);
        let four = [a.clone(), told("b", "exhausted", &["2", "2", "2", "2"])];
        finds(&four, &seen, Losses::None, &["b: 3 failed attempts of 2"]);
        finds(&[a, Told { attempts: 2, ..b }], &seen, Losses::None, &["b: 2 attempts, 1 logged, 0 omitted"]);
    }
    #[test]
    fn a_suspension_for_one_job_is_found() {
        let results = ["a", "b"].map(|id| Told { refused: 1, ..told(id, "rejected", &[]) });
        let found = |results: &[Told], reason: &str| {
            let log = format!("… ERROR x: suspended: its jobs stay queued provider=c reason={reason}");
            let case = Case {
                submitted: &[],
                results,
                arrivals: &[],
                quotas: &[],
                max_attempts: 2,
                losses: Losses::None,
                logs: &[log],
            };
            suspended(&case).len()
        };
        assert_eq!((found(&results[..1], "credentials"), found(&results[..1], "configuration")), (1, 1));
        assert_eq!((found(&results, "credentials"), found(&[], "credentials")), (0, 0));
        assert_eq!(found(&results[..1], "results"), 0);
    }
}
