//! Reads the jobs of a file: JSON lines, CSV, or plain lines of room IDs. One bad row, and nothing is returned.

mod csv_rows;
mod format;
mod lines;
mod row;

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use jiff::Timestamp;
use uuid::Uuid;

use crate::model::ids::{AppId, BatchId, JobId, ProviderName, RoomId};
use crate::model::job::{DismissJob, Lane};
use format::Format;
use row::Rows;

/// How many bad rows an error shows.
const SHOWN: usize = 20;

/// Under this the IDs of jobs in a batch are derived. A change of it makes a repeated run send everything again.
const JOB_ID_NAMESPACE: Uuid = Uuid::from_u128(0x3f1b_7d0e_52c4_5a86_9b0e_c1a7_64d2_8e95);

/// What is filled in where a row leaves it out.
#[derive(Debug, Clone, Default)]
pub struct Fill {
    pub provider: Option<ProviderName>,
    pub app_id: Option<AppId>,
    pub batch_id: Option<BatchId>,
    pub lane: Option<Lane>,
    pub reason: Option<String>,
    pub requested_by: Option<String>,
    pub not_before: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
}

/// What rows are held against, besides the rules of a job.
pub struct Terms<'t> {
    pub fill: &'t Fill,
    /// The configured providers; None where any name will do.
    pub known: Option<&'t [ProviderName]>,
    /// Makes the ID of a job that has neither an ID nor a batch.
    pub fresh_id: &'t mut dyn FnMut() -> JobId,
}

/// One row that is no job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// From 1; of `--room` values it is the place among them.
    pub line: u64,
    pub message: String,
}

impl fmt::Display for RowFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// Why nothing of an input is taken.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("{name} cannot be read")]
    Read { name: String, source: io::Error },
    #[error("{name}: {message}")]
    Format { name: String, message: String },
    #[error("{name}: {}", listed(faults, *total))]
    Rows {
        name: String,
        /// The first of them.
        faults: Vec<RowFault>,
        /// All that are bad.
        total: usize,
    },
}

fn listed(faults: &[RowFault], total: usize) -> String {
    let rows = if total == 1 { "1 bad row" } else { &format!("{total} bad rows") };
    let mut text = format!("{rows}, so nothing of it is taken");
    for fault in faults {
        text.push_str(&format!("\n  {fault}"));
    }
    if total > faults.len() {
        text.push_str(&format!("\n  … and {} more", total - faults.len()));
    }
    text
}

/// Reads the file at `path`, or standard input where that is `-`.
pub fn read_file(path: &Path, terms: Terms<'_>) -> Result<Vec<DismissJob>, InputError> {
    if path == Path::new("-") {
        return read(io::stdin().lock(), "standard input", terms);
    }
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => read(BufReader::new(file), &name, terms),
        Err(source) => Err(InputError::Read { name, source }),
    }
}

/// Reads a whole file; `name` is its path (its extension tells the format) or what else errors are to call it.
///
/// In a batch that `fill` names, rows without a size get the number of jobs that the file has for it.
pub fn read(mut source: impl BufRead, name: &str, terms: Terms<'_>) -> Result<Vec<DismissJob>, InputError> {
    let broken = |source| InputError::Read { name: name.to_owned(), source };
    let head = format::head(&mut source).map_err(broken)?;
    if head.is_blank() {
        return Ok(Vec::new());
    }
    let format = format::detect(name, &head, terms.fill)
        .map_err(|message| InputError::Format { name: name.to_owned(), message })?;
    let batch = terms.fill.batch_id.clone();
    let mut rows = Rows::new(terms);
    let whole = io::Cursor::new(head.bytes).chain(source);
    match format {
        Format::JsonLines => lines::json(whole, &mut rows),
        Format::Plain => lines::plain(whole, &mut rows),
        Format::Csv => csv_rows::read(whole, &mut rows),
    }
    .map_err(broken)?;
    let mut jobs = rows.finish(name)?;
    if let Some(batch) = batch {
        row::fill_batch_size(&mut jobs, &batch);
    }
    Ok(jobs)
}

/// Makes jobs of room IDs that were given one by one, for the provider and application of the fill.
pub fn rooms(rooms: &[String], terms: Terms<'_>) -> Result<Vec<DismissJob>, InputError> {
    let mut rows = Rows::new(terms);
    for (place, room) in (1..).zip(rooms) {
        rows.room(place, room);
    }
    rows.finish("--room")
}

/// The ID that a job has in a batch: the same in every run, another one for every other room.
pub fn derived_id(batch: &BatchId, provider: &ProviderName, app: &AppId, room: &RoomId) -> JobId {
    let mut name = Vec::with_capacity(128);
    for part in [batch.as_str(), provider.as_str(), app.as_str(), room.as_str()] {
        // The length keeps ("ab", "c") apart from ("a", "bc").
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    let id = Uuid::new_v5(&JOB_ID_NAMESPACE, &name).simple().to_string();
    JobId::parse(id).expect("32 hex digits are a job ID")
}

#[cfg(test)]
mod tests;
