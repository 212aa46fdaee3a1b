//! How fast a provider is sent to: down by a factor when it throttles, up by a step a second when it does not.

use std::time::Duration;

/// What is left of the rate after a throttle.
const DECREASE: f64 = 0.8;
/// Throttles within so long of a decrease are the same news.
const SAME_NEWS: Duration = Duration::from_secs(1);
/// Requests a second that a second without a throttle gives back, at least.
const LEAST_STEP: f64 = 2.0;
/// The same as a part of the quota, for large quotas.
const STEP_OF_QUOTA: f64 = 0.04;
/// The rate never falls below this, in requests a second.
const FLOOR: f64 = 0.5;

/// The adaptive rate of one provider.
#[derive(Debug, Clone)]
pub struct Pace {
    quota: f64,
    /// The rate at `since`; it has grown from there.
    rate: f64,
    since: Duration,
    last_decrease: Option<Duration>,
    hold_until: Duration,
}

impl Pace {
    /// Starts at the full quota, in requests a second.
    pub fn new(quota: u32) -> Self {
        let quota = f64::from(quota);
        Self { quota, rate: quota, since: Duration::ZERO, last_decrease: None, hold_until: Duration::ZERO }
    }

    /// The provider refused a request for its quota; `retry_after` is what it asked for.
    pub fn throttled(&mut self, now: Duration, retry_after: Option<Duration>) {
        if let Some(wait) = retry_after {
            self.hold_until = self.hold_until.max(now + wait);
        }
        if self.last_decrease.is_some_and(|last| now < last + SAME_NEWS) {
            return;
        }
        self.rate = (self.rate(now) * DECREASE).max(FLOOR.min(self.quota));
        self.since = now.max(self.hold_until);
        self.last_decrease = Some(now);
    }

    /// Requests a second that may be sent now.
    pub fn rate(&self, now: Duration) -> f64 {
        let step = (self.quota * STEP_OF_QUOTA).max(LEAST_STEP);
        let grown = self.rate + step * now.saturating_sub(self.since).as_secs_f64();
        grown.min(self.quota)
    }

    /// Nothing at all may be sent before this moment.
    pub fn hold_until(&self) -> Duration {
        self.hold_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_starts_at_the_quota_and_never_passes_it() {
        let pace = Pace::new(60);
        assert_eq!(pace.rate(s(0)), 60.0);
        assert_eq!(pace.rate(s(1000)), 60.0);
    }

    #[test]
    fn a_burst_of_throttles_is_one_piece_of_news() {
        let mut pace = Pace::new(60);
        for _ in 0..50 {
            pace.throttled(s(10), None);
        }
        assert_eq!(pace.rate(s(10)), 48.0);
    }

    #[test]
    fn it_is_back_at_the_quota_within_thirty_seconds_of_the_lowest_rate() {
        let mut pace = Pace::new(60);
        for second in 0..100 {
            pace.throttled(s(2 * second), None);
        }
        let end = s(2 * 99);
        assert!(pace.rate(end) < 20.0, "{}", pace.rate(end));
        assert_eq!(pace.rate(end + s(30)), 60.0);
    }

    #[test]
    fn retry_after_holds_everything_and_does_not_count_as_recovery() {
        let mut pace = Pace::new(60);
        pace.throttled(s(10), Some(s(5)));
        assert_eq!(pace.hold_until(), s(15));
        assert_eq!(pace.rate(s(15)), 48.0);
    }

    #[test]
    fn the_rate_never_falls_to_nothing() {
        let mut pace = Pace::new(1);
        for second in 0..100 {
            pace.throttled(s(second) + Duration::from_millis(second), None);
            assert!(pace.rate(s(second)) >= FLOOR);
        }
    }
}
