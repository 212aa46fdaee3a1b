//! How many arrivals fall into one second, exactly.
//!
//! The second is closed: two arrivals exactly one second apart stand in it together. Times are nanoseconds since any
//! fixed moment and never go back.

use std::collections::VecDeque;

const SECOND: u64 = 1_000_000_000;

/// The arrivals of the last closed second, and the most that any such second held.
#[derive(Debug, Clone, Default)]
pub struct Window {
    times: VecDeque<u64>,
    most: usize,
}

impl Window {
    /// How many arrivals the closed second that ends at `now` holds.
    pub fn count(&mut self, now: u64) -> usize {
        while self.times.front().is_some_and(|&time| now.saturating_sub(time) > SECOND) {
            self.times.pop_front();
        }
        self.times.len()
    }

    /// Adds an arrival; one that claims to be earlier than the last counts as simultaneous with it.
    pub fn note(&mut self, now: u64) {
        let now = self.times.back().map_or(now, |&last| now.max(last));
        self.most = self.most.max(self.count(now) + 1);
        self.times.push_back(now);
    }

    /// The most arrivals in any closed second. The fullest second can always be moved until it ends at an arrival,
    /// so looking at each arrival is enough.
    pub fn most(&self) -> usize {
        self.most
    }
}

/// Whether a request is within the quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Admitted,
    OverQuota,
}

/// At most `limit` admitted arrivals in any closed second; refused ones use nothing up.
#[derive(Debug, Clone)]
pub struct Quota {
    limit: Option<u32>,
    admitted: Window,
}

impl Quota {
    /// None admits all.
    pub fn new(limit: Option<u32>) -> Self {
        Self { limit, admitted: Window::default() }
    }

    pub fn admit(&mut self, now: u64) -> Admission {
        let Some(limit) = self.limit else { return Admission::Admitted };
        if self.admitted.count(now) >= limit as usize {
            return Admission::OverQuota;
        }
        self.admitted.note(now);
        Admission::Admitted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn most_by_hand(times: &[u64]) -> usize {
        let second_from = |start: u64| times.iter().filter(|&&time| (start..=start + SECOND).contains(&time)).count();
        times.iter().map(|&start| second_from(start)).max().unwrap_or(0)
    }

    #[test]
    fn arrivals_exactly_a_second_apart_share_it_and_a_nanosecond_more_parts_them() {
        let check = |gap: u64, expected: Admission| {
            let mut quota = Quota::new(Some(1));
            assert_eq!(quota.admit(5), Admission::Admitted);
            assert_eq!(quota.admit(5 + gap), expected, "{gap}");
        };
        check(0, Admission::OverQuota);
        check(SECOND, Admission::OverQuota);
        check(SECOND + 1, Admission::Admitted);
    }

    #[test]
    fn a_refused_arrival_uses_nothing_up() {
        let mut quota = Quota::new(Some(2));
        let answers = [0, 1, 2, SECOND, SECOND + 1].map(|time| quota.admit(time));
        use Admission::{Admitted as A, OverQuota as O};
        assert_eq!(answers, [A, A, O, O, A]);
    }

    #[test]
    fn a_quota_of_none_admits_all_and_one_of_zero_nothing() {
        assert!((0..1000).all(|_| Quota::new(None).admit(7) == Admission::Admitted));
        assert_eq!(Quota::new(Some(0)).admit(7), Admission::OverQuota);
    }

    /// Gaps around the border of a second, so that ties and near misses are common.
    fn times() -> impl Strategy<Value = Vec<u64>> {
        let gap = prop_oneof![Just(0), Just(1), 0..SECOND / 3, Just(SECOND - 1), Just(SECOND), Just(SECOND + 1)];
        proptest::collection::vec(gap, 0..80).prop_map(|gaps| {
            let later = |now: &mut u64, gap: u64| {
                *now += gap;
                Some(*now)
            };
            gaps.into_iter().scan(0, later).collect()
        })
    }

    proptest! {
        #[test]
        fn the_fullest_second_is_the_one_found_by_counting_all(times in times()) {
            let mut window = Window::default();
            times.iter().for_each(|&time| window.note(time));
            prop_assert_eq!(window.most(), most_by_hand(&times));
        }

        #[test]
        fn a_quota_is_never_exceeded_and_refuses_only_when_it_is_full(times in times(), limit in 1u32..6) {
            let mut quota = Quota::new(Some(limit));
            let mut admitted: Vec<u64> = Vec::new();
            for time in times {
                let full = admitted.iter().filter(|&&earlier| time - earlier <= SECOND).count() >= limit as usize;
                let expected = if full { Admission::OverQuota } else { Admission::Admitted };
                prop_assert_eq!(quota.admit(time), expected);
                if !full {
                    admitted.push(time);
                }
            }
            prop_assert!(most_by_hand(&admitted) <= limit as usize);
        }
    }
}
