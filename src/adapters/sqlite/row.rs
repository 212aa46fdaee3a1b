//! How the words of the queue stand in its tables.

use jiff::Timestamp;

use crate::model::job::Lane;

/// Available at once.
pub const AT_ONCE: i64 = 0;

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
}
