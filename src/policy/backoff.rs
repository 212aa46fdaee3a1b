//! How long to wait before the next try: exponential backoff with full jitter.

use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

use super::decide::RetryPolicy;

/// The wait after `failures` failed attempts (1 or more): anything from nothing to the exponential interval, as
/// `jitter` (0 to 1) says. Full jitter spreads the retries of an outage best.
pub fn delay(retry: &RetryPolicy, failures: u32, jitter: f64) -> Duration {
    interval(retry, failures).mul_f64(jitter.clamp(0.0, 1.0))
}

/// The interval after `failures` failed attempts: `initial` × `multiplier`^(failures − 1), at most `max`.
pub fn interval(retry: &RetryPolicy, failures: u32) -> Duration {
    let mut intervals: ExponentialBackoff = ExponentialBackoffBuilder::new()
        .with_initial_interval(retry.initial)
        .with_multiplier(retry.multiplier)
        .with_max_interval(retry.max)
        .with_max_elapsed_time(None)
        .with_randomization_factor(0.0)
        .build();
    let mut interval = retry.initial;
    for _ in 0..failures.max(1) {
        interval = intervals.next_backoff().unwrap_or(retry.max).min(retry.max);
        if interval == retry.max {
            break;
        }
    }
    interval
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_doubles_up_to_its_maximum() {
        let retry = RetryPolicy::default();
        let check = |failures: u32, expected: u64| {
            assert_eq!(interval(&retry, failures), Duration::from_millis(expected), "after {failures}");
        };
        check(1, 500);
        check(2, 1000);
        check(3, 2000);
        check(7, 32_000);
        check(8, 60_000);
        check(1000, 60_000);
    }

    #[test]
    fn jitter_reaches_from_nothing_to_the_whole_interval() {
        let retry = RetryPolicy::default();
        assert_eq!(delay(&retry, 3, 0.0), Duration::ZERO);
        assert_eq!(delay(&retry, 3, 0.5), Duration::from_secs(1));
        assert_eq!(delay(&retry, 3, 1.0), Duration::from_secs(2));
    }

    #[test]
    fn an_initial_interval_above_the_maximum_is_cut() {
        let retry = RetryPolicy { initial: Duration::from_secs(90), ..RetryPolicy::default() };
        assert_eq!(interval(&retry, 1), Duration::from_secs(60));
    }

    proptest::proptest! {
        #[test]
        fn intervals_never_shrink_and_never_pass_the_maximum(
            initial in 1u64..5_000, multiplier in 1.0f64..5.0, max in 1u64..600_000, failures in 1u32..200
        ) {
            let retry = RetryPolicy {
                initial: Duration::from_millis(initial),
                multiplier,
                max: Duration::from_millis(max.max(initial)),
                max_attempts: 8,
            };
            let (this, next) = (interval(&retry, failures), interval(&retry, failures + 1));
            proptest::prop_assert!(this <= next && next <= retry.max);
            proptest::prop_assert!(this >= retry.initial);
        }
    }
}
