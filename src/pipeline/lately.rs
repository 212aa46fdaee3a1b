//! What was settled a moment ago: the ledger learns of it behind the jobs' backs, and another copy may be here before.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::ids::JobId;
use crate::model::result::DismissResult;

/// So many results are remembered: what the fastest provider settles in that time.
const CAPACITY: usize = 10_000;
/// Far longer than a result takes into a ledger that is there.
const LIFETIME: Duration = Duration::from_secs(60);

/// The last results of one provider. `now` is the clock's `elapsed`, here and below.
#[derive(Default)]
pub struct Lately(Mutex<Results>);

#[derive(Default)]
struct Results {
    by_job: HashMap<JobId, (Duration, Arc<DismissResult>)>,
    /// In the order in which they came; a job may stand there more than once.
    order: VecDeque<(Duration, JobId)>,
}

impl Lately {
    pub fn note(&self, result: &DismissResult, now: Duration) {
        let mut results = self.results();
        results.forget(now);
        results.order.push_back((now, result.job_id.clone()));
        results.by_job.insert(result.job_id.clone(), (now, Arc::new(result.clone())));
    }

    /// The result that this job had last.
    pub fn of(&self, job: &JobId, now: Duration) -> Option<Arc<DismissResult>> {
        let results = self.results();
        let (at, result) = results.by_job.get(job)?;
        (now < *at + LIFETIME).then(|| result.clone())
    }

    fn results(&self) -> MutexGuard<'_, Results> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Results {
    /// Makes room for one more.
    fn forget(&mut self, now: Duration) {
        while let Some((at, _)) = self.order.front()
            && (self.order.len() >= CAPACITY || now >= *at + LIFETIME)
            && let Some((at, job)) = self.order.pop_front()
        {
            if self.by_job.get(&job).is_some_and(|(last, _)| *last == at) {
                self.by_job.remove(&job);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::decode;
    use crate::model::progress::Progress;
    use crate::model::result::{Ending, Outcome};

    fn result(id: &str, outcome: Outcome) -> DismissResult {
        let body = br#"{"provider":"p","app_id":"a","room_id":"r"}"#;
        let job = decode::decode(body, &JobId::parse(id).unwrap()).unwrap();
        let at = Timestamp::UNIX_EPOCH;
        DismissResult::of(&job, Progress::received(at), Ending { outcome, error: None }, at, "w")
    }

    fn known(lately: &Lately, id: &str, second: u64) -> Option<Outcome> {
        lately.of(&JobId::parse(id).unwrap(), Duration::from_secs(second)).map(|result| result.outcome)
    }

    #[test]
    fn the_last_result_of_a_job_is_known_for_a_minute() {
        let lately = Lately::default();
        lately.note(&result("a", Outcome::Rejected), Duration::ZERO);
        lately.note(&result("a", Outcome::Dismissed), Duration::from_secs(30));
        lately.note(&result("b", Outcome::Dismissed), Duration::from_secs(70));
        assert_eq!((known(&lately, "a", 89), known(&lately, "a", 90)), (Some(Outcome::Dismissed), None));
        assert_eq!((known(&lately, "b", 90), known(&lately, "c", 90)), (Some(Outcome::Dismissed), None));
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for() {
        let lately = Lately::default();
        for n in 0..CAPACITY + 5 {
            lately.note(&result(&format!("j{n}"), Outcome::Dismissed), Duration::from_secs(1));
        }
        let results = lately.results();
        assert_eq!((results.by_job.len(), results.order.len()), (CAPACITY, CAPACITY));
        assert!(!results.by_job.contains_key(&JobId::parse("j4").unwrap()));
    }
}
