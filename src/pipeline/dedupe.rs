//! Jobs whose ID already has a result: what a lane holds is looked up in the ledger, all of it in one question.
//!
//! What was settled [a moment ago](super::lately) is known without asking. Questions are asked ahead, so that the lane rarely waits for an answer; and while the ledger is away it does not wait
//! at all.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};

use super::account::Account;
use super::books::Repeats;
use super::lately::Lately;
use crate::model::decode;
use crate::model::ids::JobId;
use crate::model::result::DismissResult;
use crate::ports::broker::{JobSource, Message};
use crate::ports::clock::Clock;
use crate::ports::ledger::Ledger;

/// At most so many jobs are one question.
const MOST: usize = 1_000;
/// An answer is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(1);
/// A ledger that was away is not asked again sooner.
const REST: Duration = Duration::from_secs(5);
/// That a job has no result is good for so long: another copy of it may have been settled since.
const GOOD: Duration = Duration::from_secs(2);
/// How often what is at hand is looked through for jobs to ask about ahead.
const AHEAD: Duration = Duration::from_millis(200);
/// So many answers are kept.
const KEPT: usize = 4 * MOST;

/// What is known of a job before it is sent.
#[derive(Debug, Clone)]
pub enum Checked {
    /// Nobody asks: it has no ID of its own, or it is no job at all, or repeated jobs are to be sent.
    Needless,
    /// It has no result.
    Clear,
    Settled(Arc<DismissResult>),
    /// The ledger is away.
    Unchecked,
    /// It came just now: it goes back, and is looked up when it comes again.
    Missed,
}

/// The answers for one lane's jobs.
pub struct Dedupe {
    lately: Arc<Lately>,
    ledger: Arc<dyn Ledger>,
    clock: Clock,
    known: HashMap<JobId, Known>,
    /// At most one question.
    asking: JoinSet<Answer>,
    /// Jobs that went since it was asked: the answer is of no use to another copy, for they may be settled by now.
    gone: HashSet<JobId>,
    /// When what is at hand was last looked through.
    looked: Option<Duration>,
    trust: Trust,
}

/// When it was asked, and the result of the last run.
struct Known {
    at: Duration,
    result: Option<Arc<DismissResult>>,
}

struct Answer {
    asked: Vec<JobId>,
    at: Duration,
    found: Result<Vec<DismissResult>, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Its answers are waited for.
    Full,
    /// They are not, and it is not asked before this moment.
    None { until: Duration },
}

impl Dedupe {
    /// None where repeated jobs are to be sent.
    pub fn of(account: &Account) -> Option<Self> {
        let books = &account.common.books;
        let ledger = match books.repeats {
            Repeats::Sent => return None,
            Repeats::Answered => books.ledger.clone()?,
        };
        Some(Self {
            lately: account.lately.clone(),
            ledger,
            clock: account.common.clock.clone(),
            known: HashMap::new(),
            asking: JoinSet::new(),
            gone: HashSet::new(),
            looked: None,
            trust: Trust::Full,
        })
    }

    /// Waits until the job that goes next was looked up, or until nobody can tell. Cancel-safe.
    pub async fn ready(&mut self, source: &mut dyn JobSource) {
        loop {
            while let Some(done) = self.asking.try_join_next() {
                self.take(done);
            }
            let now = self.clock.elapsed();
            let is_known = self.knows_next(source, now);
            let is_time = self.looked.is_none_or(|looked| looked + AHEAD <= now);
            if self.may_ask(now) && (is_time || !is_known) {
                self.looked = Some(now);
                self.ask(self.unknown(source, GOOD / 2, now));
            }
            if is_known || self.trust != Trust::Full {
                return;
            }
            match self.asking.join_next().await {
                Some(done) => self.take(done),
                None => return,
            }
        }
    }

    /// Looks up a job that is in hand already. Cancel-safe.
    pub async fn ask_alone(&mut self, message: &Message) {
        let Some(id) = job_id(&message.body, message.message_id.as_deref()) else { return };
        self.asking.shutdown().await;
        if self.may_ask(self.clock.elapsed()) {
            self.ask(vec![id]);
            if let Some(done) = self.asking.join_next().await {
                self.take(done);
            }
        }
    }

    /// What is known of a job that is about to be sent. It is forgotten: another copy is looked up anew.
    pub fn check(&mut self, message: &Message) -> Checked {
        let Some(id) = job_id(&message.body, message.message_id.as_deref()) else { return Checked::Needless };
        let now = self.clock.elapsed();
        if let Some(result) = self.lately.of(&id, now) {
            return Checked::Settled(result);
        }
        let known = self.known.remove(&id);
        if !self.asking.is_empty() {
            self.gone.insert(id);
        }
        match (known, self.trust) {
            (Some(Known { result: Some(result), .. }), _) => Checked::Settled(result),
            (Some(known), _) if known.is_good(GOOD, now) => Checked::Clear,
            (_, Trust::None { .. }) => Checked::Unchecked,
            (_, Trust::Full) => Checked::Missed,
        }
    }

    fn may_ask(&self, now: Duration) -> bool {
        let trusted = match self.trust {
            Trust::Full => true,
            Trust::None { until } => until <= now,
        };
        trusted && self.asking.is_empty()
    }

    fn knows_next(&self, source: &mut dyn JobSource, now: Duration) -> bool {
        let mut is_known = true;
        source.look(&mut |body, id| {
            is_known = job_id(body, id).is_none_or(|id| self.knows(&id, GOOD, now));
            ControlFlow::Break(())
        });
        is_known
    }

    fn knows(&self, id: &JobId, good: Duration, now: Duration) -> bool {
        self.known.get(id).is_some_and(|known| known.is_good(good, now))
    }

    fn unknown(&self, source: &mut dyn JobSource, good: Duration, now: Duration) -> Vec<JobId> {
        let mut unknown = Vec::new();
        source.look(&mut |body, id| {
            unknown.extend(job_id(body, id).filter(|id| !self.knows(id, good, now)));
            if unknown.len() < MOST { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        unknown
    }

    fn ask(&mut self, asked: Vec<JobId>) {
        if asked.is_empty() {
            return;
        }
        self.gone.clear();
        let (ledger, at) = (self.ledger.clone(), self.clock.elapsed());
        self.asking.spawn(async move {
            let found = match tokio::time::timeout(PATIENCE, ledger.settled(&asked)).await {
                Ok(found) => found.map_err(|error| error.to_string()),
                Err(_) => Err(format!("no answer within {PATIENCE:?}")),
            };
            Answer { asked, at, found }
        });
    }

    fn take(&mut self, done: Result<Answer, JoinError>) {
        let now = self.clock.elapsed();
        let failed = match done {
            Ok(Answer { asked, at, found: Ok(results) }) => {
                if std::mem::replace(&mut self.trust, Trust::Full) != Trust::Full {
                    tracing::info!("the ledger answers: repeated jobs are recognised again");
                }
                return self.keep(asked, at, results);
            }
            Ok(Answer { found: Err(why), .. }) => why,
            Err(error) => error.to_string(),
        };
        if std::mem::replace(&mut self.trust, Trust::None { until: now + REST }) == Trust::Full {
            tracing::warn!(why = failed, "the ledger is away: jobs are sent without a look whether they were before");
        }
    }

    fn keep(&mut self, asked: Vec<JobId>, at: Duration, results: Vec<DismissResult>) {
        if self.known.len() + asked.len() > KEPT {
            self.known.retain(|_, known| known.is_good(GOOD, at));
        }
        if self.known.len() + asked.len() > KEPT {
            self.known.clear();
        }
        let stayed = asked.into_iter().filter(|id| !self.gone.contains(id));
        self.known.extend(stayed.map(|id| (id, Known { at, result: None })));
        for result in results {
            self.known.insert(result.job_id.clone(), Known { at, result: Some(Arc::new(result)) });
        }
    }
}

impl Known {
    fn is_good(&self, good: Duration, now: Duration) -> bool {
        self.result.is_some() || now < self.at + good
    }
}

/// The ID under which a job's result will be, if it has one of its own.
fn job_id(body: &[u8], message_id: Option<&str>) -> Option<JobId> {
    let given = message_id.and_then(|id| JobId::parse(id).ok());
    let none = JobId::parse("-").expect("a job ID");
    let job = decode::decode(body, given.as_ref().unwrap_or(&none)).ok()?;
    (given.is_some() || job.job_id != none).then_some(job.job_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::memory::MemoryQueue;
    use crate::adapters::memory_ledger::MemoryLedger;
    use crate::model::ids::ProviderName;
    use crate::model::job::Lane;
    use crate::model::progress::Progress;
    use crate::model::result::{Ending, Outcome};
    use crate::ports::broker::{Broker, LaneKey};

    const BODY: &[u8] = br#"{"provider":"p","app_id":"a","room_id":"r","job_id":"j"}"#;

    fn dedupe(ledger: &MemoryLedger, clock: &Clock) -> Dedupe {
        Dedupe {
            lately: Arc::default(),
            ledger: Arc::new(ledger.clone()),
            clock: clock.clone(),
            known: HashMap::new(),
            asking: JoinSet::new(),
            gone: HashSet::new(),
            looked: None,
            trust: Trust::Full,
        }
    }

    fn result(clock: &Clock) -> DismissResult {
        let job = decode::decode(BODY, &JobId::parse("-").unwrap()).unwrap();
        let ending = Ending { outcome: Outcome::Dismissed, error: None };
        DismissResult::of(&job, Progress::received(clock.now()), ending, clock.now(), "w")
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_after_its_job_went_says_nothing_of_another_copy() {
        let (clock, ledger) = (Clock::system(), MemoryLedger::default());
        let provider = ProviderName::parse("p").unwrap();
        let queue = MemoryQueue::new(vec![provider.clone()], clock.clone());
        let put = || queue.put(Some(LaneKey { provider: provider.clone(), lane: Lane::Bulk }), BODY.into(), None);
        let mut source = queue.connect().lanes(&provider, 10).await.unwrap();
        let mut dedupe = dedupe(&ledger, &clock);
        put();
        dedupe.ready(&mut *source).await;
        tokio::time::advance(GOOD * 3 / 4).await;
        dedupe.ready(&mut *source).await;
        assert!(!dedupe.asking.is_empty(), "it is asked anew, ahead of time");
        let first = source.best().unwrap();
        assert!(matches!(dedupe.check(&first.message), Checked::Clear));

        tokio::task::yield_now().await;
        ledger.record(&[result(&clock)]).await.unwrap();
        put();
        dedupe.ready(&mut *source).await;
        let second = source.best().unwrap();
        assert!(matches!(dedupe.check(&second.message), Checked::Settled(_)));
    }

    #[test]
    fn a_job_is_looked_up_by_the_id_under_which_its_result_will_be() {
        let check = |body: &[u8], given: Option<&str>, expected: Option<&str>| {
            assert_eq!(job_id(body, given).as_ref().map(JobId::as_str), expected);
        };
        let nameless = br#"{"provider":"p","app_id":"a","room_id":"r"}"#;
        check(BODY, None, Some("j"));
        check(BODY, Some("given"), Some("j"));
        check(nameless, Some("given"), Some("given"));
        check(nameless, None, None);
        check(nameless, Some(&"x".repeat(200)), None);
        check(b"garbage", Some("given"), None);
    }
}
