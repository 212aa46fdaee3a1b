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

/// The bucket's own time for one token.
const PERIOD: Duration = Duration::from_millis(1);
/// Slower than this no bucket fills, in tokens a second.
const SLOWEST: f64 = 0.001;

/// A token bucket whose time is told to it, and runs as fast as the rate says: so the rate may change at every moment,
/// and no change ever yields a token or takes one back.
pub struct Bucket {
    seen: Duration,
    told: Told,
    limiter: RateLimiter<NotKeyed, InMemoryState, Told, NoOpMiddleware<Nanos>>,
}

impl Default for Bucket {
    fn default() -> Self {
        let told = Told::default();
        let quota = Quota::with_period(PERIOD).expect("a period above zero").allow_burst(BURST);
        let limiter = RateLimiter::direct_with_clock(quota, told.clone());
        Self { seen: Duration::ZERO, told, limiter }
    }
}

impl Bucket {
    /// Nothing gathers until then: whoever was told to wait does not come back with a burst.
    pub fn rest_until(&mut self, moment: Duration) {
        self.seen = self.seen.max(moment);
    }

    /// Takes a token, or says when there may be one. Since the last call the bucket filled at `rate` tokens a second.
    pub fn take(&mut self, now: Duration, rate: f64) -> Result<(), Duration> {
        let speed = rate.max(SLOWEST) * PERIOD.as_secs_f64();
        self.told.advance(now.saturating_sub(self.seen).mul_f64(speed));
        self.seen = self.seen.max(now);
        self.limiter.check().map_err(|not_until| {
            // Rounded up: a moment that is a nanosecond early would be asked for again and again.
            now + not_until.wait_time_from(self.told.now()).div_f64(speed) + Duration::from_nanos(1)
        })
    }
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
        let had = tokens(&mut Bucket::default(), 100, Duration::from_micros(1400), |_| 60.0);
        assert!((5999..=6003).contains(&had), "{had}");
    }

    #[test]
    fn no_more_than_a_small_burst_comes_at_once() {
        let mut bucket = Bucket::default();
        let now = Duration::from_secs(5000);
        let at_once = std::iter::from_fn(|| bucket.take(now, 60.0).ok()).count();
        assert_eq!(at_once, BURST.get() as usize);
    }

    #[test]
    fn a_rate_that_changes_all_the_time_neither_bursts_nor_starves() {
        // From 20 to 60 over 20 seconds: 800 tokens, and the burst at the start.
        let had = tokens(&mut Bucket::default(), 20, Duration::ZERO, |since| 20.0 + 2.0 * since.as_secs_f64());
        assert!((795..=805).contains(&had), "{had}");
    }

    #[test]
    fn a_reduced_rate_is_kept() {
        let had = tokens(&mut Bucket::default(), 100, Duration::from_micros(1400), |_| 7.0);
        assert!((699..=704).contains(&had), "{had}");
    }

    proptest::proptest! {
        #[test]
        fn no_change_of_the_rate_yields_more_than_the_rate_and_one_burst(
            rates in proptest::collection::vec((10u64..3_000, 1u32..10_000), 1..12)
        ) {
            let (mut bucket, mut now, mut had) = (Bucket::default(), Duration::ZERO, 0.0);
            let mut allowed = f64::from(BURST.get());
            for (millis, rate) in rates {
                let end = now + Duration::from_millis(millis);
                allowed += Duration::from_millis(millis).as_secs_f64() * f64::from(rate);
                while now < end {
                    match bucket.take(now, f64::from(rate)) {
                        Ok(()) => had += 1.0,
                        Err(until) => now = until.min(end),
                    }
                }
                // What came in until now came in at this rate.
                had += bucket.take(end, f64::from(rate)).map_or(0.0, |()| 1.0);
                proptest::prop_assert!(had <= allowed + 0.1, "{had} of {allowed}");
            }
            proptest::prop_assert!(had >= allowed - f64::from(BURST.get()) - 2.0, "{had} of {allowed}");
        }
    }
}
