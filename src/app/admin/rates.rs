//! Requests of the last minutes, as this replica sent them.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::model::ids::ProviderName;
use crate::model::ledger::RATE_SPAN;
use crate::ports::meter::Meter;

/// So many spans are kept: five minutes.
pub(super) const SPANS: usize = 60;

/// Counts by provider, one for each [`RATE_SPAN`].
#[derive(Default)]
pub(super) struct Rates(Mutex<BTreeMap<ProviderName, Counted>>);

#[derive(Default)]
struct Counted {
    total: u64,
    spans: VecDeque<u32>,
}

impl Rates {
    /// Looks at the meter once a span.
    pub(super) async fn follow(&self, meter: &Meter) -> Infallible {
        let span = RATE_SPAN.unsigned_abs();
        let mut spans = interval_at(Instant::now() + span, span);
        spans.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            spans.tick().await;
            for status in meter.providers() {
                self.note(&status.name, meter.requests(&status.name));
            }
        }
    }

    /// `total` requests were sent so far.
    fn note(&self, provider: &ProviderName, total: u64) {
        let mut all = self.all();
        let counted = all.entry(provider.clone()).or_default();
        let more = total.saturating_sub(std::mem::replace(&mut counted.total, total));
        counted.spans.push_back(u32::try_from(more).unwrap_or(u32::MAX));
        if counted.spans.len() > SPANS {
            counted.spans.pop_front();
        }
    }

    /// The oldest span first; the one that is under way is not among them.
    pub(super) fn of(&self, provider: &ProviderName) -> Vec<u32> {
        self.all().get(provider).map(|counted| counted.spans.iter().copied().collect()).unwrap_or_default()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<ProviderName, Counted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_span_has_what_came_in_it_and_the_oldest_go() {
        let (rates, provider) = (Rates::default(), ProviderName::parse("p").unwrap());
        assert!(rates.of(&provider).is_empty());
        for total in [0, 300, 300, 590] {
            rates.note(&provider, total);
        }
        assert_eq!(rates.of(&provider), [0, 300, 0, 290]);
        for total in 0..SPANS as u64 {
            rates.note(&provider, 590 + total);
        }
        let kept = rates.of(&provider);
        assert_eq!((kept.len(), kept[0], kept[1]), (SPANS, 0, 1));
    }
}
