//! However results of one run come, and however often, they become one within bounds.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::model::progress::MAX_LOG;

/// One of the attempts that there may be; few, so that two logs have many in common.
fn record(n: u32) -> AttemptRecord {
    AttemptRecord {
        at: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(i64::from(n / 2)),
        verdict: VerdictLabel::Transient,
        http_status: None,
        request_id: (!n.is_multiple_of(3)).then(|| RequestId::parse(format!("q-{n}")).unwrap()),
        error: None,
        duration_ms: u64::from(n),
    }
}

/// What a worker may have written at this second: the last attempts of those that it knew.
fn result(second: i64) -> impl Strategy<Value = DismissResult> {
    let numbers = prop::collection::btree_set(0_u32..90, 0..=60);
    let outcome = prop::sample::select(Outcome::ALL.to_vec());
    (numbers, outcome, 1..=MAX_LOG).prop_map(move |(numbers, outcome, most)| {
        let at = Timestamp::from_second(second).unwrap();
        let mut progress = Progress::received(at);
        for n in numbers {
            progress.note(record(n));
        }
        progress.shorten(most);
        let id = JobId::parse("j").unwrap();
        DismissResult::of_readable(id, Readable::default(), progress, Ending { outcome, error: None }, at, "w")
    })
}

fn ids(result: &DismissResult) -> Vec<u64> {
    result.attempt_log.iter().map(|record| record.duration_ms).collect()
}

proptest! {
    #[test]
    fn a_joined_log_is_bounded_and_counts_what_it_does_not_hold(one in result(1_001), other in result(1_002)) {
        let joined = one.clone().joined(other.clone());
        prop_assert!(joined.attempt_log.len() <= MAX_LOG);
        prop_assert_eq!(joined.attempts as usize, joined.attempt_log.len() + joined.attempts_omitted as usize);
        prop_assert!(joined.attempts >= one.attempts.max(other.attempts));
        let all: BTreeSet<u64> = ids(&one).into_iter().chain(ids(&other)).collect();
        let last: Vec<u64> = all.iter().copied().skip(all.len().saturating_sub(MAX_LOG)).collect();
        prop_assert_eq!(ids(&joined), last);
        prop_assert!(joined.attempts as usize >= all.len());
        prop_assert!(joined.attempts <= one.attempts + other.attempts);
    }

    #[test]
    fn what_comes_again_changes_nothing_and_neither_does_the_order(one in result(1_001), other in result(1_002)) {
        prop_assert_eq!(&one.clone().joined(one.clone()), &one);
        let joined = one.clone().joined(other.clone());
        for again in [&one, &other, &joined] {
            prop_assert_eq!(&joined.clone().joined(again.clone()), &joined);
            prop_assert_eq!(&again.clone().joined(joined.clone()), &joined);
        }
        let turned = other.clone().joined(one.clone());
        prop_assert_eq!((ids(&turned), turned.attempts), (ids(&joined), joined.attempts));
    }
}
