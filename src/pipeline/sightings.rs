//! Batches that jobs name: the ledger is told of each one, behind the jobs' backs.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::model::ids::{BatchId, ProviderName};
use crate::model::job::{DismissJob, Lane};
use crate::model::ledger::{NewBatch, Part};
use crate::ports::ledger::{Ledger, LedgerError};

/// So many are remembered as told; those that were forgotten are told again.
const REMEMBERED: usize = 10_000;
/// So many may wait to be told; beyond it a batch is told when another job of it comes.
const WAITING: usize = 1_000;
/// Between two tries, at least and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
const PATIENCE: Duration = Duration::from_secs(10);

/// What was seen and is to be told; clones share one state. The default is that of a worker without a ledger: nothing is
/// noted.
#[derive(Clone, Default)]
pub struct Sightings(Option<Arc<Inner>>);

#[derive(Default)]
struct Inner {
    seen: Mutex<Seen>,
    news: Notify,
}

/// Jobs of one batch that go one way.
type Way = (BatchId, ProviderName, Lane);

#[derive(Default)]
struct Seen {
    /// With the size of the batch, where a job told it.
    told: HashMap<Way, Option<u64>>,
    /// The oldest first.
    order: VecDeque<Way>,
    waiting: VecDeque<NewBatch>,
}

impl Sightings {
    /// For a ledger to be told.
    pub fn noted() -> Self {
        Self(Some(Arc::default()))
    }

    /// A job was seen.
    pub fn seen(&self, job: &DismissJob, now: Timestamp) {
        let (Some(inner), Some(batch)) = (&self.0, &job.batch_id) else { return };
        let way = (batch.clone(), job.provider.clone(), job.lane);
        if inner.seen().note(way, job.batch_size, now) {
            inner.news.notify_one();
        }
    }

    /// Tells the ledger, for as long as the process lives.
    pub async fn tell(&self, ledger: &dyn Ledger) -> Infallible {
        let Some(inner) = &self.0 else { return std::future::pending().await };
        let mut pause = RETRY.0;
        loop {
            let next = inner.seen().waiting.front().cloned();
            let Some(batch) = next else {
                inner.news.notified().await;
                continue;
            };
            match tokio::time::timeout(PATIENCE, ledger.register(&batch)).await {
                Ok(Ok(())) => {}
                Ok(Err(LedgerError::Refused(why))) => {
                    tracing::warn!(batch_id = %batch.id, why, "a batch that the ledger does not take");
                }
                Ok(Err(LedgerError::Away(_))) | Err(_) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY.1);
                    continue;
                }
            }
            inner.seen().waiting.pop_front();
            pause = RETRY.0;
        }
    }
}

impl Inner {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Whether there is something to tell now.
    fn note(&mut self, way: Way, size: Option<u64>, now: Timestamp) -> bool {
        let told = self.told.get(&way);
        let is_known = told.is_some_and(|told| told.is_some() || size.is_none());
        if is_known || self.waiting.len() >= WAITING {
            return false;
        }
        let (id, provider, lane) = way.clone();
        self.waiting.push_back(NewBatch { id, size, parts: vec![Part { provider, lane, jobs: None }], at: now });
        if told.is_none() {
            self.order.push_back(way.clone());
        }
        self.told.insert(way, size);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.told.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(seen: &mut Seen, batch: &str, lane: Lane, size: Option<u64>) -> bool {
        let provider = ProviderName::parse("p").unwrap();
        seen.note((BatchId::parse(batch).unwrap(), provider, lane), size, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_batch_is_told_once_for_each_of_its_ways_and_again_for_its_size() {
        let mut seen = Seen::default();
        let check = |seen: &mut Seen, lane, size, expected| assert_eq!(note(seen, "b", lane, size), expected);
        check(&mut seen, Lane::Bulk, None, true);
        check(&mut seen, Lane::Bulk, None, false);
        check(&mut seen, Lane::Urgent, None, true);
        check(&mut seen, Lane::Bulk, Some(7), true);
        check(&mut seen, Lane::Bulk, Some(7), false);
        check(&mut seen, Lane::Bulk, None, false);
        let sizes: Vec<_> = seen.waiting.iter().map(|batch| (batch.parts[0].lane, batch.size)).collect();
        assert_eq!(sizes, [(Lane::Bulk, None), (Lane::Urgent, None), (Lane::Bulk, Some(7))]);
    }

    #[test]
    fn memory_is_bounded_and_what_did_not_fit_is_told_later() {
        let mut seen = Seen::default();
        for n in 0..2 * WAITING {
            note(&mut seen, &format!("b{n}"), Lane::Bulk, None);
        }
        assert_eq!((seen.waiting.len(), seen.told.len()), (WAITING, WAITING));
        for n in 0..2 * REMEMBERED {
            seen.waiting.clear();
            assert!(note(&mut seen, &format!("c{n}"), Lane::Bulk, None));
        }
        assert_eq!((seen.told.len(), seen.order.len()), (REMEMBERED, REMEMBERED));
        assert!(note(&mut seen, "b1999", Lane::Bulk, None));
    }
}
