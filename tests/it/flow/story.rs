//! A scenario's evidence, brought before the checker.

use super::evidence::{Results, Seen, Settled};
use super::stage::Job;
use crate::checker::{self, Arrival, Case, Losses, Told};

impl Settled {
    /// For the checker.
    pub fn told(&self) -> Told {
        let log = &self.attempt_log;
        Told {
            job_id: self.job_id.clone(),
            provider: self.provider.clone(),
            run: self.run,
            outcome: self.outcome.clone(),
            attempts: self.attempts as u32,
            transient: log.iter().filter(|attempt| attempt.verdict == "transient").count() as u32,
            refused: log.iter().filter(|attempt| is_refusal(&attempt.verdict)).count() as u32,
            logged: log.len() as u32,
            omitted: self.attempts_omitted,
            request_ids: log.iter().filter_map(|attempt| attempt.request_id.clone()).collect(),
        }
    }
}

fn is_refusal(verdict: &str) -> bool {
    matches!(verdict, "unauthorized" | "misconfigured")
}

impl Seen {
    /// For the checker. What was never answered, or in no readable words, gave its ID to nobody.
    pub fn arrival(&self) -> Arrival {
        let request_id = Some(self.request_id.clone()).filter(|_| self.answered && self.kind != "garbage");
        Arrival { cloud: self.cloud.clone(), at_us: self.t_us, request_id }
    }
}

/// The whole story of `jobs`, judged; `logs` are those of its workers.
#[track_caller]
pub fn check(
    jobs: &[Job],
    results: &Results,
    seen: &[Seen],
    quotas: &[(&str, usize)],
    losses: Losses,
    logs: &[String],
) {
    let submitted: Vec<String> = jobs.iter().map(|job| job.id.clone()).collect();
    let results: Vec<Told> = results.values().flatten().map(Settled::told).collect();
    let arrivals: Vec<Arrival> = seen.iter().map(Seen::arrival).collect();
    let (submitted, results, arrivals) = (&submitted, &results, &arrivals);
    checker::check(&Case { submitted, results, arrivals, quotas, max_attempts: 8, losses, logs });
}
