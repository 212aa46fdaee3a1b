//! What SQLite's error codes mean for us.

use crate::ports::broker::BrokerError;

/// The kinds that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    Full,
    NotWritable,
    NotADatabase,
    Other,
}

/// <https://www.sqlite.org/rescode.html>: the low byte is the kind, the rest details.
pub fn code(error: &sqlx::Error) -> Code {
    let sqlx::Error::Database(error) = error else { return Code::Other };
    let number: Option<i32> = error.code().and_then(|code| code.parse().ok());
    match number.map(|number| number & 0xff) {
        Some(13) => Code::Full,
        Some(8 | 14) => Code::NotWritable,
        Some(11 | 26) => Code::NotADatabase,
        Some(_) | None => Code::Other,
    }
}

/// A file that takes no more is no lost connection: nothing is gained by opening it again.
pub fn broker(error: &sqlx::Error) -> BrokerError {
    match code(error) {
        Code::Full => BrokerError::Refused("the disk of the queue's file is full".into()),
        Code::NotWritable => BrokerError::Refused(format!("the queue's file cannot be written: {error}")),
        Code::NotADatabase | Code::Other => BrokerError::Lost(format!("the queue's file: {error}")),
    }
}

/// What stands in the file is not what was written there.
pub fn unreadable(what: &str, error: &dyn std::fmt::Display) -> BrokerError {
    BrokerError::Lost(format!("the queue's file: {what}: {error}"))
}
