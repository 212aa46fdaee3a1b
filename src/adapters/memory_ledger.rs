//! A ledger in memory, for tests and simulations: the rules of the others, without a file or a server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::model::ids::{BatchId, JobId, ProviderName};
use crate::model::job::Lane;
use crate::model::ledger::{Act, Batch, Controls, Cursor, HistoryFilter, NewBatch, Part, RECENT, SenderReport};
use crate::model::ledger_plan::Plan;
use crate::model::result::{DismissResult, Outcome};
use crate::ports::ledger::{Heard, Horizon, Ledger, LedgerError};

/// What all its clones share.
#[derive(Clone, Default)]
pub struct MemoryLedger(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    away: Option<String>,
    entries: BTreeMap<(JobId, u32), DismissResult>,
    batches: BTreeMap<BatchId, Told>,
    paused: BTreeMap<ProviderName, Act>,
    reports: BTreeMap<ProviderName, SenderReport>,
}

/// What is known of a batch.
struct Told {
    created_at: Timestamp,
    size: Option<u64>,
    parts: BTreeMap<(ProviderName, Lane), Option<u64>>,
    cancelled: Option<Act>,
    tally: BTreeMap<(Option<ProviderName>, Outcome), i64>,
    /// From the first to the last that was settled.
    span: Option<(Timestamp, Timestamp)>,
}

impl MemoryLedger {
    /// From now on it answers that it is away, and why.
    pub fn leave(&self, why: &str) {
        self.lock().away = Some(why.to_owned());
    }

    /// It is back, with all that it had.
    pub fn come_back(&self) {
        self.lock().away = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn there(&self) -> Result<MutexGuard<'_, State>, LedgerError> {
        let state = self.lock();
        match &state.away {
            Some(why) => Err(LedgerError::Away(why.clone())),
            None => Ok(state),
        }
    }
}

impl State {
    fn runs(&self, job: &JobId) -> impl DoubleEndedIterator<Item = &DismissResult> {
        self.entries.range((job.clone(), 0)..=(job.clone(), u32::MAX)).map(|(_, result)| result)
    }

    fn told(&mut self, id: &BatchId, at: Timestamp) -> &mut Told {
        self.batches.entry(id.clone()).or_insert_with(|| Told {
            created_at: at,
            size: None,
            parts: BTreeMap::new(),
            cancelled: None,
            tally: BTreeMap::new(),
            span: None,
        })
    }

    fn write(&mut self, plan: Plan) {
        for (id, (first, last)) in plan.spans {
            let told = self.told(&id, first);
            let (earliest, latest) = told.span.unwrap_or((first, last));
            told.span = Some((earliest.min(first), latest.max(last)));
        }
        for ((id, provider, outcome), change) in plan.tally {
            if let Some(told) = self.batches.get_mut(&id) {
                *told.tally.entry((provider, outcome)).or_default() += change;
            }
        }
        for result in plan.write {
            self.entries.insert((result.job_id.clone(), result.run), result);
        }
    }

    fn show(&self, id: &BatchId, told: &Told) -> Batch {
        let mut batch = Batch {
            id: id.clone(),
            size: told.size,
            parts: Vec::new(),
            created_at: told.created_at,
            cancelled: told.cancelled.clone(),
            settled: BTreeMap::new(),
            settled_by_provider: BTreeMap::new(),
            first_settled_at: told.span.map(|(first, _)| first),
            last_settled_at: told.span.map(|(_, last)| last),
            recent: 0,
        };
        for ((provider, lane), jobs) in &told.parts {
            batch.parts.push(Part { provider: provider.clone(), lane: *lane, jobs: *jobs });
        }
        for ((provider, outcome), jobs) in &told.tally {
            let Some(jobs) = u64::try_from(*jobs).ok().filter(|jobs| *jobs > 0) else { continue };
            *batch.settled.entry(*outcome).or_default() += jobs;
            if let Some(provider) = provider {
                *batch.settled_by_provider.entry(provider.clone()).or_default() += jobs;
            }
        }
        if let Some((_, last)) = told.span {
            let recent = |entry: &&DismissResult| {
                entry.batch_id.as_ref() == Some(id) && last.duration_since(entry.settled_at) < RECENT
            };
            batch.recent = self.entries.values().filter(recent).count() as u64;
        }
        batch
    }

    /// Whether a batch is over, nothing of it is left, and nothing happened to it since.
    fn is_old(&self, id: &BatchId, told: &Told, horizon: Horizon) -> bool {
        let over: i64 = told.tally.values().sum();
        let runs = told.size.is_some_and(|size| u64::try_from(over).unwrap_or_default() < size);
        let has_entries = self.entries.values().any(|entry| entry.batch_id.as_ref() == Some(id));
        let before = match (&told.cancelled, told.size) {
            (Some(_), None) if !self.paused.is_empty() => return false,
            (Some(_), None) => horizon.cancels,
            (Some(_) | None, _) => horizon.results,
        };
        let cancelled_at = told.cancelled.as_ref().map(|act| act.at);
        let happened = [Some(told.created_at), told.span.map(|(_, last)| last), cancelled_at];
        !runs && !has_entries && happened.into_iter().flatten().all(|at| at < before)
    }
}

/// Where an entry stands in the history.
fn place(result: &DismissResult) -> (Timestamp, &JobId, u32) {
    (result.settled_at, &result.job_id, result.run)
}

fn agrees<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
    wanted.is_none() || wanted == found
}

fn is_asked_for(filter: &HistoryFilter, entry: &DismissResult) -> bool {
    let HistoryFilter { provider, app, room, batch, job, request_id, outcomes, since, until } = filter;
    agrees(provider.as_ref(), entry.provider.as_ref())
        && agrees(app.as_ref(), entry.app_id.as_ref())
        && agrees(room.as_ref(), entry.room_id.as_ref())
        && agrees(batch.as_ref(), entry.batch_id.as_ref())
        && agrees(job.as_ref(), Some(&entry.job_id))
        && (request_id.is_none() || entry.attempt_log.iter().any(|attempt| attempt.request_id == *request_id))
        && (outcomes.is_empty() || outcomes.contains(&entry.outcome))
        && since.is_none_or(|since| entry.settled_at >= since)
        && until.is_none_or(|until| entry.settled_at < until)
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn record(&self, results: &[DismissResult]) -> Result<(), LedgerError> {
        let mut state = self.there()?;
        let jobs: BTreeSet<&JobId> = results.iter().map(|result| &result.job_id).collect();
        let known = jobs.into_iter().flat_map(|job| state.runs(job)).cloned().collect();
        state.write(Plan::of(known, results));
        Ok(())
    }

    async fn settled(&self, jobs: &[JobId]) -> Result<Vec<DismissResult>, LedgerError> {
        let state = self.there()?;
        let jobs: BTreeSet<&JobId> = jobs.iter().collect();
        Ok(jobs.into_iter().filter_map(|job| state.runs(job).next_back()).cloned().collect())
    }

    async fn register(&self, batch: &NewBatch) -> Result<(), LedgerError> {
        let mut state = self.there()?;
        let told = state.told(&batch.id, batch.at);
        told.size = told.size.or(batch.size);
        for part in &batch.parts {
            let jobs = told.parts.entry((part.provider.clone(), part.lane)).or_default();
            *jobs = jobs.or(part.jobs);
        }
        Ok(())
    }

    async fn batches(&self, most: u32) -> Result<Vec<Batch>, LedgerError> {
        let state = self.there()?;
        let mut batches: Vec<(&BatchId, &Told)> = state.batches.iter().collect();
        batches.sort_by_key(|(id, told)| std::cmp::Reverse((told.created_at, *id)));
        batches.truncate(most as usize);
        Ok(batches.into_iter().map(|(id, told)| state.show(id, told)).collect())
    }

    async fn batch(&self, id: &BatchId) -> Result<Option<Batch>, LedgerError> {
        let state = self.there()?;
        Ok(state.batches.get(id).map(|told| state.show(id, told)))
    }

    async fn cancel(&self, id: &BatchId, act: &Act) -> Result<Heard, LedgerError> {
        let mut state = self.there()?;
        let heard = if state.batches.contains_key(id) { Heard::Before } else { Heard::Never };
        state.told(id, act.at).cancelled.get_or_insert_with(|| act.clone());
        Ok(heard)
    }

    async fn controls(&self) -> Result<Controls, LedgerError> {
        let state = self.there()?;
        let cancelled = state.batches.iter().filter(|(_, told)| told.cancelled.is_some());
        Ok(Controls { cancelled: cancelled.map(|(id, _)| id.clone()).collect(), paused: state.paused.clone() })
    }

    async fn pause(&self, provider: &ProviderName, act: &Act) -> Result<(), LedgerError> {
        self.there()?.paused.entry(provider.clone()).or_insert_with(|| act.clone());
        Ok(())
    }

    async fn resume(&self, provider: &ProviderName) -> Result<Option<Act>, LedgerError> {
        Ok(self.there()?.paused.remove(provider))
    }

    async fn report(&self, report: &SenderReport) -> Result<(), LedgerError> {
        self.there()?.reports.insert(report.provider.clone(), report.clone());
        Ok(())
    }

    async fn reports(&self) -> Result<Vec<SenderReport>, LedgerError> {
        Ok(self.there()?.reports.values().cloned().collect())
    }

    async fn history(
        &self,
        filter: &HistoryFilter,
        after: Option<&Cursor>,
        most: u32,
    ) -> Result<Vec<DismissResult>, LedgerError> {
        let state = self.there()?;
        let behind =
            |entry: &&DismissResult| after.is_none_or(|after| place(entry) < (after.settled_at, &after.job, after.run));
        let asked_for = state.entries.values().filter(|entry| is_asked_for(filter, entry));
        let mut found: Vec<&DismissResult> = asked_for.filter(behind).collect();
        found.sort_by(|a, b| place(b).cmp(&place(a)));
        found.truncate(most as usize);
        Ok(found.into_iter().cloned().collect())
    }

    async fn forget(&self, horizon: Horizon, most: u32) -> Result<u64, LedgerError> {
        let mut state = self.there()?;
        let is_old = |entry: &&DismissResult| entry.settled_at < horizon.results;
        let mut old: Vec<&DismissResult> = state.entries.values().filter(is_old).collect();
        old.sort_by_key(|entry| place(entry));
        old.truncate(most as usize);
        let old: Vec<(JobId, u32)> = old.into_iter().map(|entry| (entry.job_id.clone(), entry.run)).collect();
        for entry in &old {
            state.entries.remove(entry);
        }
        if old.len() >= most as usize {
            return Ok(old.len() as u64);
        }
        let batches = state.batches.iter().filter(|(id, told)| state.is_old(id, told, horizon));
        let batches: Vec<BatchId> = batches.take(most as usize).map(|(id, _)| id.clone()).collect();
        state.batches.retain(|id, _| !batches.contains(id));
        Ok(old.len().max(batches.len()) as u64)
    }

    async fn close(&self) {}
}
