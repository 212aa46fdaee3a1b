//! What PostgreSQL's errors mean for us.

use std::time::Duration;

use sqlx::migrate::MigrateError;

use crate::ports::ledger::{LedgerError, OpenError};

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("it was closed")]
    Closed,
    /// What stands there is not what was written.
    #[error("{0} cannot be read: {1}")]
    Unreadable(&'static str, String),
}

/// Whose it is to do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// May pass by itself.
    Passes,
    /// Goes on until the operator does something.
    Operator,
    /// This statement with these values fails however often it is tried.
    Values,
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>: the first two characters are the class.
fn meaning_of_code(code: &str) -> Meaning {
    match code.get(..2) {
        // Cardinality, data, integrity, and too large for an index.
        Some("21" | "22" | "23" | "54") => Meaning::Values,
        // No such user or password, no such database, and no right or no such table.
        Some("28" | "3D" | "42") => Meaning::Operator,
        Some(_) | None => Meaning::Passes,
    }
}

impl Trouble {
    fn meaning(&self) -> Meaning {
        match self {
            Trouble::Silent(_) | Trouble::Closed => Meaning::Passes,
            Trouble::Unreadable(..) => Meaning::Values,
            Trouble::Sql(sqlx::Error::Database(error)) => {
                error.code().map_or(Meaning::Passes, |code| meaning_of_code(&code))
            }
            Trouble::Sql(sqlx::Error::Configuration(_)) => Meaning::Operator,
            Trouble::Sql(
                sqlx::Error::Encode(_)
                | sqlx::Error::Decode(_)
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::InvalidArgument(_),
            ) => Meaning::Values,
            // Of the rest all has to do with the connection, or with us.
            Trouble::Sql(_) => Meaning::Passes,
        }
    }
}

/// What only the operator can mend while it is in use is away, too: nobody's results are wrong, and none may be given up.
impl From<Trouble> for LedgerError {
    fn from(trouble: Trouble) -> Self {
        match trouble.meaning() {
            Meaning::Passes | Meaning::Operator => LedgerError::Away(trouble.to_string()),
            Meaning::Values => LedgerError::Refused(trouble.to_string()),
        }
    }
}

impl From<Trouble> for OpenError {
    fn from(trouble: Trouble) -> Self {
        match trouble.meaning() {
            Meaning::Passes => OpenError::Away(trouble.to_string()),
            Meaning::Operator | Meaning::Values => OpenError::Unusable(trouble.to_string()),
        }
    }
}

/// Why the schema was not brought up to `known`.
pub fn not_migrated(error: MigrateError, known: i64) -> OpenError {
    match error {
        MigrateError::VersionMissing(found) => OpenError::Newer { found, known },
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Trouble::Sql(error).into(),
        other => OpenError::Unusable(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_never_fits_is_refused() {
        let check = |code: &str, expected: Meaning| assert_eq!(meaning_of_code(code), expected, "{code}");
        for (code, _what) in [
            ("57P01", "shut down by the administrator"),
            ("57P02", "a crash"),
            ("57P03", "not up yet"),
            ("57014", "took too long"),
            ("53300", "too many connections"),
            ("53100", "the disk is full"),
            ("40001", "serialization"),
            ("40P01", "a deadlock"),
            ("25006", "a standby"),
            ("55P03", "a lock was not to be had"),
            ("08006", "the connection"),
            ("XX000", "an internal error"),
            ("", "no code"),
        ] {
            check(code, Meaning::Passes);
        }
        for code in ["28P01", "28000", "3D000", "42501", "42P01"] {
            check(code, Meaning::Operator);
        }
        for code in ["22021", "22001", "23505", "21000", "54000"] {
            check(code, Meaning::Values);
        }
    }

    #[test]
    fn a_result_is_not_given_up_for_what_the_operator_can_mend() {
        let trouble = || Trouble::Sql(sqlx::Error::Configuration("no such mode".into()));
        assert!(matches!(LedgerError::from(trouble()), LedgerError::Away(_)));
        assert!(matches!(OpenError::from(trouble()), OpenError::Unusable(_)));
        let silent = || Trouble::Silent(Duration::from_secs(8));
        assert!(matches!(LedgerError::from(silent()), LedgerError::Away(why) if why == "no answer within 8s"));
        assert!(matches!(OpenError::from(silent()), OpenError::Away(_)));
        let encode = Trouble::Sql(sqlx::Error::Encode("no".into()));
        assert!(matches!(LedgerError::from(encode), LedgerError::Refused(_)));
    }

    #[test]
    fn a_schema_that_nobody_here_knows_is_newer() {
        let found = not_migrated(MigrateError::VersionMissing(9), 1);
        assert!(matches!(found, OpenError::Newer { found: 9, known: 1 }));
        let closed = not_migrated(MigrateError::Execute(sqlx::Error::PoolTimedOut), 1);
        assert!(matches!(closed, OpenError::Away(_)));
        assert!(matches!(not_migrated(MigrateError::Dirty(1), 1), OpenError::Unusable(_)));
    }
}
