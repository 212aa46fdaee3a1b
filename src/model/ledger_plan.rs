//! What a group of results changes in the ledger.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::ids::{BatchId, JobId, ProviderName};
use super::result::{DismissResult, Outcome};

/// What is to be written, given what is there.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Each run of a job at most once; it replaces what is there of that run.
    pub write: Vec<DismissResult>,
    /// How the counts of batches change; never zero.
    pub tally: BTreeMap<(BatchId, Option<ProviderName>, Outcome), i64>,
    /// Of each batch, the first and the last time that a new result tells, be it one that another stands before: so that they
    /// are the same in whatever order results come.
    pub spans: BTreeMap<BatchId, (Timestamp, Timestamp)>,
}

type Runs = BTreeMap<JobId, BTreeMap<u32, DismissResult>>;

impl Plan {
    /// `known` holds every run that the ledger has of the jobs that are `new`.
    pub fn of(known: Vec<DismissResult>, new: &[DismissResult]) -> Self {
        let before = by_run(known);
        let mut after = before.clone();
        for result in new {
            let runs = after.entry(result.job_id.clone()).or_default();
            let joined = match runs.remove(&result.run) {
                Some(there) => there.joined(result.clone()),
                None => result.clone(),
            };
            runs.insert(result.run, joined);
        }
        let mut plan = Self::default();
        for (job, runs) in &after {
            let there = before.get(job);
            plan.count(there.and_then(last), -1);
            plan.count(last(runs), 1);
            let changed = runs.iter().filter(|(run, result)| there.and_then(|runs| runs.get(run)) != Some(result));
            plan.write.extend(changed.map(|(_, result)| result.clone()));
        }
        plan.tally.retain(|_, change| *change != 0);
        let is_there = |new: &DismissResult| before.get(&new.job_id).and_then(|runs| runs.get(&new.run)) == Some(new);
        for result in new.iter().filter(|new| !is_there(new)) {
            if let Some(batch) = &result.batch_id {
                let span = plan.spans.entry(batch.clone()).or_insert((result.settled_at, result.settled_at));
                *span = (span.0.min(result.settled_at), span.1.max(result.settled_at));
            }
        }
        plan
    }

    /// A job counts once, by its last run.
    fn count(&mut self, last: Option<&DismissResult>, change: i64) {
        if let Some((batch, result)) = last.and_then(|last| Some((last.batch_id.clone()?, last))) {
            *self.tally.entry((batch, result.provider.clone(), result.outcome)).or_default() += change;
        }
    }
}

fn by_run(results: Vec<DismissResult>) -> Runs {
    let mut runs = Runs::new();
    for result in results {
        runs.entry(result.job_id.clone()).or_default().insert(result.run, result);
    }
    runs
}

fn last(runs: &BTreeMap<u32, DismissResult>) -> Option<&DismissResult> {
    runs.last_key_value().map(|(_, result)| result)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::ids::RequestId;
    use crate::model::job::Lane;
    use crate::model::progress::AttemptRecord;
    use crate::model::verdict::VerdictLabel;

    fn result(job: &str, run: u32, outcome: Outcome, second: i64) -> DismissResult {
        let at = Timestamp::from_second(second).unwrap();
        DismissResult {
            job_id: JobId::parse(job).unwrap(),
            batch_id: Some(BatchId::parse("b").unwrap()),
            provider: Some(ProviderName::parse("p").unwrap()),
            app_id: None,
            room_id: None,
            lane: Some(Lane::Bulk),
            outcome,
            request_id: None,
            http_status: None,
            error: None,
            attempts: 1,
            run,
            attempt_log: vec![AttemptRecord {
                at,
                verdict: VerdictLabel::Dismissed,
                http_status: Some(200),
                request_id: Some(RequestId::parse(format!("{job}-{second}")).unwrap()),
                error: None,
                duration_ms: 1,
            }],
            attempts_omitted: 0,
            received_at: at,
            settled_at: at,
            reason: None,
            requested_by: None,
            labels: BTreeMap::new(),
            worker: "w".into(),
        }
    }

    fn counts(plan: &Plan) -> Vec<(Outcome, i64)> {
        plan.tally.iter().map(|((_, _, outcome), change)| (*outcome, *change)).collect()
    }

    fn last_of(spans: &BTreeMap<BatchId, (Timestamp, Timestamp)>) -> i64 {
        spans[&BatchId::parse("b").unwrap()].1.as_second()
    }

    #[test]
    fn new_results_are_written_and_counted() {
        let new = [result("a", 1, Outcome::Dismissed, 5), result("b", 1, Outcome::Rejected, 3)];
        let plan = Plan::of(vec![], &new);
        assert_eq!(plan.write, new);
        assert_eq!(counts(&plan), [(Outcome::Dismissed, 1), (Outcome::Rejected, 1)]);
        let (first, last) = plan.spans[&BatchId::parse("b").unwrap()];
        assert_eq!(last.duration_since(first).unsigned_abs(), Duration::from_secs(2));
    }

    #[test]
    fn a_result_that_comes_again_changes_nothing() {
        let one = result("a", 1, Outcome::Dismissed, 5);
        assert_eq!(Plan::of(vec![one.clone()], &[one.clone(), one.clone()]), Plan::default());
        assert_eq!(Plan::of(vec![], &[one.clone(), one.clone()]).write, [one]);
    }

    #[test]
    fn dismissed_stands_before_already_gone_and_keeps_the_attempts_of_both() {
        let (gone, done) = (result("a", 1, Outcome::AlreadyGone, 9), result("a", 1, Outcome::Dismissed, 5));
        let plan = Plan::of(vec![gone.clone()], std::slice::from_ref(&done));
        assert_eq!((plan.write[0].outcome, plan.write[0].attempts), (Outcome::Dismissed, 2));
        assert_eq!(counts(&plan), [(Outcome::Dismissed, 1), (Outcome::AlreadyGone, -1)]);
        let other_way = Plan::of(vec![done.clone()], std::slice::from_ref(&gone));
        assert_eq!(other_way.write, plan.write);
        assert_eq!(counts(&other_way), []);
        let both = Plan::of(vec![], &[gone.clone(), done.clone()]).spans;
        assert_eq!(both, Plan::of(vec![], &[done, gone]).spans);
        assert_eq!(last_of(&both), 9, "though the one that stands came before");
    }

    #[test]
    fn a_job_counts_by_its_last_run_whichever_comes_first() {
        let (first, second) = (result("a", 1, Outcome::Rejected, 5), result("a", 2, Outcome::Dismissed, 9));
        let redriven = Plan::of(vec![first.clone()], std::slice::from_ref(&second));
        assert_eq!(counts(&redriven), [(Outcome::Dismissed, 1), (Outcome::Rejected, -1)]);
        let late = Plan::of(vec![second], std::slice::from_ref(&first));
        assert_eq!((late.write, late.tally.len()), (vec![first], 0));
    }
}
