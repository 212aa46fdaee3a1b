//! What SQLite's error codes mean for us.

use std::time::Duration;

use super::place::Displaced;
use crate::ports::broker::BrokerError;
use crate::ports::ledger::LedgerError;

/// The kinds that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    Full,
    NotWritable,
    NotADatabase,
    /// Another process writes, or the disk does not answer: both pass.
    Busy,
    /// What was to be written is not what the table takes.
    Unfit,
    Other,
}

/// The file is not at its path any more: opened anew, there may be one that can be written.
const READONLY_DBMOVED: i32 = 1032;

/// <https://www.sqlite.org/rescode.html>: the low byte is the kind, the rest details.
pub fn code(error: &sqlx::Error) -> Code {
    let sqlx::Error::Database(error) = error else { return Code::Other };
    let number: Option<i32> = error.code().and_then(|code| code.parse().ok());
    if number == Some(READONLY_DBMOVED) {
        return Code::Other;
    }
    match number.map(|number| number & 0xff) {
        Some(13) => Code::Full,
        Some(8 | 14) => Code::NotWritable,
        Some(11 | 26) => Code::NotADatabase,
        Some(5 | 6 | 10) => Code::Busy,
        Some(18..=20) => Code::Unfit,
        Some(_) | None => Code::Other,
    }
}

/// Whether the file was not what SQLite took it for: nothing that is open on it can be relied on.
pub fn is_upset(error: &sqlx::Error) -> bool {
    let number = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    matches!(number.map(|number| number & 0xff), Some(10 | 11 | 26))
}

/// A file that takes no more is no lost connection: nothing is gained by opening it again.
pub fn broker(error: &sqlx::Error) -> BrokerError {
    match code(error) {
        Code::Full => BrokerError::Refused("the disk of the queue's file is full".into()),
        Code::NotWritable => BrokerError::Refused(format!("the queue's file cannot be written: {error}")),
        Code::NotADatabase | Code::Busy | Code::Unfit | Code::Other => {
            BrokerError::Lost(format!("the queue's file: {error}"))
        }
    }
}

/// Whatever the operator may mend passes, as seen from here.
pub fn ledger(error: &sqlx::Error) -> LedgerError {
    match code(error) {
        Code::Full => LedgerError::Away("the disk of its file is full".into()),
        Code::NotWritable => LedgerError::Away(format!("its file cannot be written: {error}")),
        Code::Busy | Code::NotADatabase | Code::Other => LedgerError::Away(format!("its file: {error}")),
        Code::Unfit => LedgerError::Refused(format!("its file: {error}")),
    }
}

/// What stands in the file is not what was written there.
pub fn unreadable(what: &str, error: &dyn std::fmt::Display) -> BrokerError {
    BrokerError::Lost(format!("the queue's file: {what}: {error}"))
}

/// Why a file did not do what it was asked, whoever asks.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("it is closed")]
    Closed,
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    #[error(transparent)]
    Displaced(#[from] Displaced),
    /// What stands in it, or should, is none of our words.
    #[error("{what}: {reason}")]
    Unreadable { what: &'static str, reason: String },
}

impl Broken {
    pub fn unreadable(what: &'static str, reason: &dyn std::fmt::Display) -> Self {
        Broken::Unreadable { what, reason: reason.to_string() }
    }
}

impl From<Broken> for BrokerError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Closed => BrokerError::Lost("the queue's file is closed".into()),
            Broken::Silent(_) | Broken::Displaced(_) => BrokerError::Lost(format!("the queue's file: {broken}")),
            Broken::Sql(error) => broker(&error),
            Broken::Unreadable { what, reason } => unreadable(what, &reason),
        }
    }
}

impl From<Broken> for LedgerError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Closed => LedgerError::Away("its file is closed".into()),
            Broken::Silent(_) | Broken::Displaced(_) => LedgerError::Away(format!("its file: {broken}")),
            Broken::Sql(error) => ledger(&error),
            Broken::Unreadable { what, reason } => LedgerError::Refused(format!("its file: {what}: {reason}")),
        }
    }
}
