//! The token bucket that paces: governor's arithmetic on moments that the caller tells.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// Tokens that may gather while the sender is late: a timer that wakes 1.4 ms late then loses nothing.
const BURST: NonZeroU32 = NonZeroU32::new(3).unwrap();

/// A token bucket whose time is told to it. At a reduced rate its time runs slower: so the rate may change at every
/// moment, and no change ever yields a token or takes one back.
pub struct Bucket {
    rate: f64,
    seen: Duration,
    told: Told,
    limiter: RateLimiter<NotKeyed, InMemoryState, Told, NoOpMiddleware<Nanos>>,
}

impl Bucket {
    /// A bucket that yields `rate` tokens a second at the most.
    pub fn new(rate: f64) -> Self {
        let told = Told::default();
        let limiter = RateLimiter::direct_with_clock(quota(rate), told.clone());
        Self { rate, seen: Duration::ZERO, told, limiter }
    }

    /// Takes a token, or says when there may be one. Since the last call the bucket filled at `rate` tokens a second.
    pub fn take(&mut self, now: Duration, rate: f64) -> Result<(), Duration> {
        let speed = (rate / self.rate).clamp(0.001, 1.0);
        self.told.advance(now.saturating_sub(self.seen).mul_f64(speed));
        self.seen = self.seen.max(now);
        self.limiter.check().map_err(|not_until| now + not_until.wait_time_from(self.told.now()).div_f64(speed))
    }
}

fn quota(rate: f64) -> Quota {
    let period = Duration::from_secs_f64(1.0 / rate.max(0.001));
    Quota::with_period(period.max(Duration::from_nanos(1))).expect("a period above zero").allow_burst(BURST)
}

/// A clock that shows what it was told last.
#[derive(Clone, Default)]
struct Told(Arc<AtomicU64>);

impl Told {
    fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl Clock for Told {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.load(Ordering::Relaxed).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes tokens for `seconds`, waking up to `late` after each moment the bucket names; counts them.
    fn tokens(bucket: &mut Bucket, seconds: u64, late: Duration, rate: impl Fn(Duration) -> f64) -> usize {
        let (start, end) = (Duration::from_secs(10), Duration::from_secs(10 + seconds));
        let mut now = start;
        let mut had = 0;
        while now < end {
            match bucket.take(now, rate(now - start)) {
                Ok(()) => had += 1,
                Err(until) => now = until + late,
            }
        }
        had
    }

    #[test]
    fn late_timers_cost_no_rate() {
        let had = tokens(&mut Bucket::new(60.0), 100, Duration::from_micros(1400), |_| 60.0);
        assert!((5999..=6003).contains(&had), "{had}");
    }

    #[test]
    fn no_more_than_a_small_burst_comes_at_once() {
        let mut bucket = Bucket::new(60.0);
        let now = Duration::from_secs(5000);
        let at_once = std::iter::from_fn(|| bucket.take(now, 60.0).ok()).count();
        assert_eq!(at_once, BURST.get() as usize);
    }

    #[test]
    fn a_rate_that_changes_all_the_time_neither_bursts_nor_starves() {
        // From 20 to 60 over 20 seconds: 800 tokens, and the burst at the start.
        let had = tokens(&mut Bucket::new(60.0), 20, Duration::ZERO, |since| 20.0 + 2.0 * since.as_secs_f64());
        assert!((795..=805).contains(&had), "{had}");
    }

    #[test]
    fn a_reduced_rate_is_kept() {
        let had = tokens(&mut Bucket::new(60.0), 100, Duration::from_micros(1400), |_| 7.0);
        assert!((699..=704).contains(&had), "{had}");
    }
}
