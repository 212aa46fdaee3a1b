//! The ledger's line of `check`.

use super::Report;
use crate::app::cli::desk;
use crate::app::config::{Config, LedgerUrl, Queue};
use crate::ports::ledger::{LedgerError, Migrate, OpenError};

/// What was found, and what was done about it.
#[derive(Debug)]
enum Found {
    UpToDate,
    /// It was older, and is not any more.
    Migrated {
        from: i64,
        to: i64,
    },
    No(OpenError),
    /// It opens, and answers nothing.
    Broken(LedgerError),
}

pub async fn check(config: &Config, migrate: Migrate, report: &mut Report) {
    let Some(url) = config.ledger.as_ref().map(|ledger| &ledger.url) else {
        return report.ok("ledger", "none configured: batch, history, pause and resume need one");
    };
    match said(&place(url, &config.queue), look(url, migrate).await) {
        Ok(note) => report.ok("ledger", &note),
        Err(note) => report.fail("ledger", &note),
    }
}

async fn look(url: &LedgerUrl, migrate: Migrate) -> Found {
    let (ledger, before) = match (desk::open(url, Migrate::No).await, migrate) {
        (Ok(ledger), _) => (ledger, None),
        (Err(OpenError::Older { found, known }), Migrate::Yes) => match desk::open(url, Migrate::Yes).await {
            Ok(ledger) => (ledger, Some((found, known))),
            Err(error) => return Found::No(error),
        },
        (Err(error), _) => return Found::No(error),
    };
    let answered = ledger.controls().await;
    ledger.close().await;
    match (answered, before) {
        (Err(error), _) => Found::Broken(error),
        (Ok(_), None) => Found::UpToDate,
        (Ok(_), Some((from, to))) => Found::Migrated { from, to },
    }
}

/// Where it stands, in the words of an operator.
fn place(url: &LedgerUrl, queue: &Queue) -> String {
    match (url, queue) {
        (LedgerUrl::Sqlite(ledger), Queue::Sqlite { path }) if ledger == path => {
            format!("in the queue file {}", path.display())
        }
        (LedgerUrl::Sqlite(_) | LedgerUrl::Postgres(_), _) => url.to_string(),
    }
}

/// Ok is good news; Err tells what to do.
fn said(place: &str, found: Found) -> Result<String, String> {
    match found {
        Found::UpToDate => Ok(format!("{place}: its schema is up to date")),
        Found::Migrated { from, to } => Ok(format!("{place}: its schema was brought from {from} to {to}")),
        Found::No(OpenError::Away(reason)) => {
            Err(format!("{place}: {reason}; is it running, and are ledger.url's user and host right?"))
        }
        Found::No(error @ (OpenError::Older { .. } | OpenError::Newer { .. } | OpenError::Unusable(_))) => {
            Err(format!("{place}: {error}"))
        }
        Found::Broken(error) => Err(format!("{place}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn of_every_ledger_it_is_said_how_it_is_or_what_to_do() {
        let check = |found: Found, expected: Result<&str, &str>| {
            let said = said("postgres://db/rooms", found);
            let (Ok(note) | Err(note)) = &said;
            let (Ok(part) | Err(part)) = &expected;
            assert_eq!(said.is_ok(), expected.is_ok(), "{note}");
            assert!(note.starts_with("postgres://db/rooms: ") && note.contains(part), "{note}");
        };
        check(Found::UpToDate, Ok("up to date"));
        check(Found::Migrated { from: 0, to: 2 }, Ok("brought from 0 to 2"));
        check(Found::No(OpenError::Away("refused".into())), Err("refused; is it running"));
        check(Found::No(OpenError::Older { found: 1, known: 2 }), Err("roomsweep check --migrate"));
        check(Found::No(OpenError::Newer { found: 3, known: 2 }), Err("a later version"));
        check(Found::No(OpenError::Unusable("no such database".into())), Err("no such database"));
        check(Found::Broken(LedgerError::Refused("permission denied".into())), Err("permission denied"));
    }

    #[test]
    fn a_ledger_in_the_queues_file_is_called_that() {
        let (queue, other) = (Queue::Sqlite { path: PathBuf::from("q.db") }, PathBuf::from("l.db"));
        assert_eq!(place(&LedgerUrl::Sqlite("q.db".into()), &queue), "in the queue file q.db");
        assert_eq!(place(&LedgerUrl::Sqlite(other), &queue), "sqlite://l.db");
        let url = LedgerUrl::parse("postgres://u:hunter2@db/rooms?password=hunter2").unwrap();
        assert_eq!(place(&url, &queue), "postgres://db/rooms");
    }
}
