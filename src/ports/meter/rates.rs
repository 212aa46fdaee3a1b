//! How many requests went out lately, span by span.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::Meter;
use crate::model::ids::ProviderName;
use crate::model::ledger::RATE_SPAN;

/// So many spans are told.
const SPANS: i64 = 60;

/// Counts by span: its number since 1970, and how many requests went out in it.
#[derive(Debug, Default)]
pub(super) struct Rates(VecDeque<(i64, u32)>);

fn span(at: Timestamp) -> i64 {
    at.as_second().div_euclid(RATE_SPAN.as_secs())
}

impl Rates {
    pub fn note(&mut self, at: Timestamp) {
        let span = span(at);
        // Answers come in another order than requests went out.
        let place = self.0.partition_point(|(known, _)| *known < span);
        match self.0.get_mut(place) {
            Some((known, count)) if *known == span => *count = count.saturating_add(1),
            Some(_) | None => self.0.insert(place, (span, 1)),
        }
        while self.0.front().is_some_and(|(known, _)| *known < span - 2 * SPANS) {
            self.0.pop_front();
        }
    }

    /// Of the last whole spans, the oldest first; the one that is under way is left out.
    fn last(&self, now: Timestamp) -> Vec<u32> {
        let end = span(now);
        let count = |span| self.0.iter().find(|(known, _)| *known == span).map_or(0, |(_, count)| *count);
        (end - SPANS..end).map(count).collect()
    }
}

impl Meter {
    /// Requests of this replica in each of the last 60 whole spans of [`RATE_SPAN`], the oldest first.
    pub fn rates(&self, provider: &ProviderName, now: Timestamp) -> Vec<u32> {
        self.sent().get(provider).map_or_else(|| Rates::default().last(now), |rates| rates.last(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_in_the_span_in_which_they_went_out() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut rates = Rates::default();
        for second in [1000, 1004, 1005, 1003, 1011] {
            rates.note(at(second));
        }
        let last = rates.last(at(1011));
        assert_eq!((last.len(), &last[57..]), (60, &[0, 3, 1][..]));
        assert_eq!(rates.last(at(1015))[57..], [3, 1, 1]);
        assert_eq!(rates.last(at(1000 + 3600)), [0; 60]);
    }

    #[test]
    fn what_is_long_over_is_forgotten() {
        let mut rates = Rates::default();
        for second in 0..100_000 {
            rates.note(Timestamp::from_second(second).unwrap());
        }
        assert!(rates.0.len() <= 121, "{}", rates.0.len());
    }
}
