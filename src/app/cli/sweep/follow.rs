//! Follows the results of a run: writes them out, counts them, keeps a few to show.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;

use crate::adapters::sqlite::SqliteQueue;
use crate::app::cli::table::cut;
use crate::model::result::{DismissResult, Outcome};
use crate::ports::broker::BrokerError;

/// So many results are read at a time.
const PAGE: u32 = 500;
/// So many failures are shown.
const SHOWN: usize = 10;

/// What the results of a run say, as far as they were read.
pub struct Follow {
    after: i64,
    file: Option<BufWriter<File>>,
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Requests that were sent beyond the first one of each job.
    pub retries: u64,
    /// The first of those that ended badly.
    pub failures: Vec<DismissResult>,
    pub failed: u64,
}

impl Follow {
    /// Begins with the first result of the run, and the file, if any, anew: so it is whole after a resumption too.
    pub fn new(file: Option<&Path>) -> anyhow::Result<Self> {
        let create = |path: &Path| File::create(path).with_context(|| format!("--results: {}", path.display()));
        Ok(Self {
            after: 0,
            file: file.map(create).transpose()?.map(BufWriter::new),
            outcomes: BTreeMap::new(),
            retries: 0,
            failures: Vec::new(),
            failed: 0,
        })
    }

    /// Reads what has come since the last time.
    pub async fn catch_up(&mut self, queue: &SqliteQueue, tag: &str) -> anyhow::Result<()> {
        loop {
            let page = self.page(queue, tag).await?;
            for result in &page {
                self.note(result)?;
            }
            if page.len() < PAGE as usize {
                break;
            }
        }
        if let Some(file) = &mut self.file {
            file.flush().context("--results")?;
        }
        Ok(())
    }

    /// All that were read.
    pub fn settled(&self) -> u64 {
        self.outcomes.values().sum()
    }

    async fn page(&mut self, queue: &SqliteQueue, tag: &str) -> Result<Vec<DismissResult>, BrokerError> {
        let page = queue.results(tag, self.after, PAGE).await?;
        if let Some((last, _)) = page.last() {
            self.after = *last;
        }
        Ok(page.into_iter().map(|(_, result)| result).collect())
    }

    fn note(&mut self, result: &DismissResult) -> anyhow::Result<()> {
        *self.outcomes.entry(result.outcome.as_str()).or_default() += 1;
        self.retries += u64::from(result.attempts.saturating_sub(1));
        if !is_good(result.outcome) {
            self.failed += 1;
            if self.failures.len() < SHOWN {
                self.failures.push(result.clone());
            }
        }
        if let Some(file) = &mut self.file {
            serde_json::to_writer(&mut *file, result).context("--results")?;
            file.write_all(b"\n").context("--results")?;
        }
        Ok(())
    }
}

/// Whether the room is closed.
pub fn is_good(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Dismissed | Outcome::AlreadyGone => true,
        Outcome::Rejected | Outcome::Exhausted | Outcome::Expired | Outcome::Cancelled | Outcome::Invalid => false,
    }
}

/// What a provider says may be long.
const WIDEST: usize = 1_000;

/// One result on one line, for people.
pub fn line(result: &DismissResult) -> String {
    let provider = result.provider.as_ref().map_or("?", |name| name.as_str());
    let app = result.app_id.as_ref().map_or("?", |id| id.as_str());
    let room = result.room_id.as_ref().map_or("?", |id| id.as_str());
    let mut line = format!("{provider} {app} {room}: {}", result.outcome);
    if let Some(error) = &result.error {
        line.push_str(&format!(", {}: {}", error.code, error.message));
    }
    match &result.request_id {
        Some(id) => line.push_str(&format!(", request {id}")),
        None => line.push_str(", no request ID"),
    }
    cut(&line, WIDEST)
}
