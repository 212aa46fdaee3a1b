//! Tells the ledger of the batches that are about to be published.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::app::cli::Context;
use crate::app::cli::desk;
use crate::app::cli::out::tell;
use crate::app::config;
use crate::model::ids::{BatchId, JobId, ProviderName};
use crate::model::job::{DismissJob, Lane};
use crate::model::ledger::{NewBatch, Part};
use crate::ports::clock::Clock;
use crate::ports::ledger::{Ledger, Migrate};

/// A ledger that takes longer than that is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Registers every batch of these jobs where a ledger is configured. Nothing hangs on it: the jobs carry the size of their
/// batch themselves. What went wrong is said.
pub async fn register(context: &Context, jobs: &[DismissJob]) {
    let batches = batches(jobs, Clock::system().now());
    if batches.is_empty() {
        return;
    }
    let told = tokio::time::timeout(PATIENCE, tell(context, &batches)).await;
    let why = match told {
        Ok(Ok(())) => return,
        Ok(Err(why)) => why,
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    let names: Vec<&str> = batches.iter().map(|batch| batch.id.as_str()).take(3).collect();
    tell!(
        "roomsweep: warning: the ledger was not told of batch {}: {why}; it learns of it from the first of its jobs",
        names.join(", ")
    );
}

async fn tell(context: &Context, batches: &[NewBatch]) -> Result<(), String> {
    let config = config::load_ledger(context.file.as_deref(), &context.env).map_err(|faults| faults.to_string())?;
    let Some(url) = config.url else { return Ok(()) };
    let ledger = desk::open(&url, Migrate::No).await.map_err(|error| error.to_string())?;
    let told = tell_each(ledger.as_ref(), batches).await;
    ledger.close().await;
    told
}

async fn tell_each(ledger: &dyn Ledger, batches: &[NewBatch]) -> Result<(), String> {
    for batch in batches {
        ledger.register(batch).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The batches of these jobs with the size that they tell, and how many go which way: that only where these jobs are all
/// that the batch has. Jobs of one ID count once, as their results do.
fn batches(jobs: &[DismissJob], at: Timestamp) -> Vec<NewBatch> {
    let mut found: BTreeMap<&BatchId, Found<'_>> = BTreeMap::new();
    for job in jobs {
        let Some(id) = &job.batch_id else { continue };
        let batch = found.entry(id).or_default();
        batch.size = batch.size.max(job.batch_size);
        if batch.jobs.insert(&job.job_id) {
            *batch.parts.entry((&job.provider, job.lane)).or_default() += 1;
        }
    }
    found.into_iter().map(|(id, batch)| batch.registration(id, at)).collect()
}

#[derive(Default)]
struct Found<'j> {
    size: Option<u64>,
    jobs: HashSet<&'j JobId>,
    parts: BTreeMap<(&'j ProviderName, Lane), u64>,
}

impl Found<'_> {
    fn registration(self, id: &BatchId, at: Timestamp) -> NewBatch {
        let whole = self.size == Some(self.jobs.len() as u64);
        let part = |((provider, lane), jobs): ((&ProviderName, Lane), u64)| Part {
            provider: provider.clone(),
            lane,
            jobs: whole.then_some(jobs),
        };
        NewBatch { id: id.clone(), size: self.size, parts: self.parts.into_iter().map(part).collect(), at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::decode::decode;

    fn job(id: &str, members: &str) -> DismissJob {
        let body = format!(r#"{{"app_id":"a","room_id":"r","job_id":"{id}",{members}}}"#);
        decode(body.as_bytes(), &JobId::parse("-").unwrap()).unwrap()
    }

    /// What the only batch of these jobs is told with.
    fn registered(jobs: &[DismissJob]) -> (String, Option<u64>, Vec<Part>) {
        let [batch] = batches(jobs, Timestamp::UNIX_EPOCH).try_into().expect("one batch");
        (batch.id.to_string(), batch.size, batch.parts)
    }

    fn part(provider: &str, lane: Lane, jobs: Option<u64>) -> Part {
        Part { provider: ProviderName::parse(provider).unwrap(), lane, jobs }
    }

    #[test]
    fn a_batch_is_told_with_its_size_and_how_many_go_which_way() {
        let jobs = [
            job("1", r#""provider":"p","batch_id":"b","batch_size":3"#),
            job("2", r#""provider":"p","batch_id":"b","batch_size":3,"lane":"urgent""#),
            job("2", r#""provider":"p","batch_id":"b","batch_size":3,"lane":"urgent""#),
            job("3", r#""provider":"q","batch_id":"b","batch_size":3"#),
            job("4", r#""provider":"q""#),
        ];
        let bulk = |provider| part(provider, Lane::Bulk, Some(1));
        let parts = vec![part("p", Lane::Urgent, Some(1)), bulk("p"), bulk("q")];
        assert_eq!(registered(&jobs), ("b".to_owned(), Some(3), parts));
        assert_eq!(batches(&jobs[4..], Timestamp::UNIX_EPOCH), []);
    }

    #[test]
    fn what_is_only_a_part_of_a_batch_tells_no_numbers() {
        let some = vec![part("p", Lane::Bulk, None)];
        let unknown = job("1", r#""provider":"p","batch_id":"b""#);
        assert_eq!(registered(&[unknown]), ("b".to_owned(), None, some.clone()));
        let of_nine = job("1", r#""provider":"p","batch_id":"b","batch_size":9"#);
        assert_eq!(registered(&[of_nine]), ("b".to_owned(), Some(9), some));
    }
}
