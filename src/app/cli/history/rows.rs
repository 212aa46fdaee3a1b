//! Results on paper: JSON lines, CSV, or a table for people.

use std::io;

use crate::app::cli::table::{Table, cut, or_dash};
use crate::model::ids::RequestId;
use crate::model::progress::AttemptRecord;
use crate::model::result::DismissResult;
use crate::model::verdict::Fault;

/// How results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Json,
    Csv,
    Table,
}

const TITLES: [&str; 9] = ["SETTLED", "OUTCOME", "PROVIDER", "APP", "ROOM", "JOB", "REQUEST ID", "ATTEMPTS", "REASON"];
/// No column is wider, but for the last.
const WIDEST: usize = 64;
/// Up to so many results are shown with their attempts.
const FEW: usize = 10;
const WIDEST_ERROR: usize = 160;

const COLUMNS: [&str; 20] = [
    "settled_at",
    "outcome",
    "provider",
    "app_id",
    "room_id",
    "job_id",
    "batch_id",
    "lane",
    "request_id",
    "http_status",
    "error_code",
    "error_message",
    "attempts",
    "run",
    "request_ids",
    "received_at",
    "reason",
    "requested_by",
    "labels",
    "worker",
];

/// Lays results out as they come, page by page.
pub struct Sheet {
    look: Look,
    /// Of the first page.
    table: Option<Table<9>>,
    begun: bool,
}

impl Sheet {
    pub fn new(look: Look) -> Self {
        Self { look, table: None, begun: false }
    }

    /// The lines of one page.
    pub fn lines(&mut self, page: &[DismissResult]) -> io::Result<Vec<u8>> {
        let text = match self.look {
            Look::Json => json(page)?,
            Look::Csv => self.csv(page)?,
            Look::Table => self.table(page),
        };
        self.begun = true;
        Ok(text)
    }

    /// The header stands there although nothing matches.
    fn csv(&self, page: &[DismissResult]) -> io::Result<Vec<u8>> {
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        if !self.begun {
            writer.write_record(COLUMNS)?;
        }
        for result in page {
            writer.write_record(fields(result)?)?;
        }
        writer.into_inner().map_err(csv::IntoInnerError::into_error)
    }

    fn table(&mut self, page: &[DismissResult]) -> Vec<u8> {
        if page.is_empty() {
            return Vec::new();
        }
        let rows: Vec<[String; 9]> = page.iter().map(cells).collect();
        let mut lines = Vec::new();
        let few = !self.begun && page.len() <= FEW;
        let table = self.table.get_or_insert_with(|| {
            let table = Table::fit(TITLES, WIDEST, &rows);
            lines.push(table.title());
            table
        });
        for (result, row) in page.iter().zip(&rows) {
            lines.push(table.line(row));
            if few {
                lines.extend(attempts(result));
            }
        }
        lines.push(String::new());
        lines.join("\n").into_bytes()
    }
}

fn json(page: &[DismissResult]) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for result in page {
        serde_json::to_writer(&mut lines, result)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

fn cells(result: &DismissResult) -> [String; 9] {
    [
        format!("{:.0}", result.settled_at),
        result.outcome.to_string(),
        or_dash(result.provider.as_ref()),
        or_dash(result.app_id.as_ref()),
        or_dash(result.room_id.as_ref()),
        result.job_id.to_string(),
        or_dash(result.request_id.as_ref()),
        result.attempts.to_string(),
        why(result),
    ]
}

/// Why it was asked for, and what was wrong with it.
fn why(result: &DismissResult) -> String {
    let reason = result.reason.clone().filter(|reason| !reason.is_empty());
    let parts: Vec<String> = reason.into_iter().chain(result.error.as_ref().map(fault)).collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join("; ") }
}

fn fault(fault: &Fault) -> String {
    format!("{}: {}", fault.code, fault.message)
}

/// A line for each attempt that is on record.
fn attempts(result: &DismissResult) -> impl Iterator<Item = String> {
    let omitted = (result.attempts_omitted > 0).then(|| format!("  {} attempts before these", result.attempts_omitted));
    let numbers = u64::from(result.attempts_omitted) + 1..;
    omitted.into_iter().chain(numbers.zip(&result.attempt_log).map(|(number, record)| attempt(number, record)))
}

fn attempt(number: u64, record: &AttemptRecord) -> String {
    let status = record.http_status.map_or_else(|| "no reply".to_owned(), |status| format!("HTTP {status}"));
    let error = record.error.as_ref().map(|error| format!(", {}", fault(error))).unwrap_or_default();
    let line = format!(
        "  attempt {number} at {:.3}: {} ({status}, {} ms), request ID {}{error}",
        record.at,
        record.verdict.as_str(),
        record.duration_ms,
        or_dash(record.request_id.as_ref())
    );
    cut(&line, WIDEST_ERROR)
}

/// In the order of the columns; what is absent is empty.
fn fields(result: &DismissResult) -> io::Result<[String; 20]> {
    fn text<T: ToString>(value: Option<&T>) -> String {
        value.map(ToString::to_string).unwrap_or_default()
    }
    let ids = result.attempt_log.iter().filter_map(|record| record.request_id.as_ref());
    let ids: Vec<&str> = ids.map(RequestId::as_str).collect();
    Ok([
        result.settled_at.to_string(),
        result.outcome.to_string(),
        text(result.provider.as_ref()),
        text(result.app_id.as_ref()),
        text(result.room_id.as_ref()),
        result.job_id.to_string(),
        text(result.batch_id.as_ref()),
        text(result.lane.as_ref()),
        text(result.request_id.as_ref()),
        text(result.http_status.as_ref()),
        result.error.as_ref().map(|error| error.code.clone()).unwrap_or_default(),
        result.error.as_ref().map(|error| error.message.clone()).unwrap_or_default(),
        result.attempts.to_string(),
        result.run.to_string(),
        ids.join(" "),
        result.received_at.to_string(),
        text(result.reason.as_ref()),
        text(result.requested_by.as_ref()),
        if result.labels.is_empty() { String::new() } else { serde_json::to_string(&result.labels)? },
        result.worker.clone(),
    ])
}

#[cfg(test)]
mod tests;
