//! How the words of the queue stand in its tables.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::model::job::Lane;

/// Available at once.
pub const AT_ONCE: i64 = 0;
/// How long a job was deferred that was not.
pub const NO_WAIT: i64 = 0;

/// No job is left alone for longer, as on the wait ladder of a broker: its batch may be cancelled meanwhile.
const RUNG: SignedDuration = SignedDuration::from_secs(1024);

/// What is read first of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    Retried,
    New,
}

impl Rank {
    /// The lower, the sooner.
    pub fn number(self) -> i64 {
        match self {
            Rank::Retried => 0,
            Rank::New => 1,
        }
    }
}

/// When a job that waits for its own time and was not tried yet is handed out next, and with which rank: one that must wait on
/// after that does not queue up behind a long backlog.
pub fn turn(due: Option<Timestamp>, now: Timestamp) -> (i64, Rank) {
    let look = now.saturating_add(RUNG).unwrap_or(Timestamp::MAX);
    match due {
        None => (AT_ONCE, Rank::New),
        // It may lie before the first moment that the table holds.
        Some(due) if due <= now => (AT_ONCE, Rank::New),
        Some(due) if due <= look => (milliseconds(due), Rank::New),
        Some(_) => (milliseconds(look), Rank::Retried),
    }
}

/// For how long a job that is to wait so long is left alone now, and with which rank it is handed out
/// then.
pub fn rest(wait: Duration) -> (Duration, Rank) {
    let rung = RUNG.unsigned_abs();
    if wait <= rung { (wait, Rank::New) } else { (rung, Rank::Retried) }
}

/// In the order in which they are served.
pub const ORDER: [(Lane, Rank); 4] =
    [(Lane::Urgent, Rank::Retried), (Lane::Urgent, Rank::New), (Lane::Bulk, Rank::Retried), (Lane::Bulk, Rank::New)];

/// How urgent a lane is; the lower, the sooner.
pub fn number(lane: Lane) -> i64 {
    match lane {
        Lane::Urgent => 0,
        Lane::Bulk => 1,
    }
}

/// The first whole millisecond at which it is certainly over.
pub fn milliseconds(moment: Timestamp) -> i64 {
    let rounded = moment.as_millisecond();
    if moment.as_nanosecond() > i128::from(rounded) * 1_000_000 { rounded + 1 } else { rounded }
}

/// A wait in milliseconds.
pub fn whole(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}

/// As the ledger keeps a moment. What lies further off than three hundred years is kept as that.
pub fn nanoseconds(moment: Timestamp) -> i64 {
    let exact = moment.as_nanosecond();
    i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX })
}

/// The moment that [`nanoseconds`] tells.
pub fn timestamp(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).expect("whatever 64 bits hold is a moment")
}

/// A count as it stands in a table.
pub fn number_of(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_never_told_too_early() {
        let check = |nanoseconds: i128, expected: i64| {
            assert_eq!(milliseconds(Timestamp::from_nanosecond(nanoseconds).unwrap()), expected, "{nanoseconds}");
        };
        check(0, 0);
        check(1, 1);
        check(1_000_000, 1);
        check(1_000_001, 2);
        check(-1, 0);
        check(-1_500_000, -1);
    }

    #[test]
    fn a_moment_of_the_ledger_comes_back_as_it_was() {
        for moment in [Timestamp::UNIX_EPOCH, "2026-03-01T12:00:00.123456789Z".parse().unwrap()] {
            assert_eq!(timestamp(nanoseconds(moment)), moment);
        }
        let (first, last) = (nanoseconds(Timestamp::MIN), nanoseconds(Timestamp::MAX));
        assert_eq!((first, last), (i64::MIN, i64::MAX));
        assert!(timestamp(first) < timestamp(last));
    }
}
