//! When a batch is over: from its own pace, what waits ahead of it, and its providers' rates.

use std::time::Duration;

/// What is known of a batch's jobs at one provider.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// Jobs of the batch that are not settled.
    pub left: u64,
    /// All jobs that may be served before the last of them, these included: the lane's, and those of better lanes.
    pub ahead: u64,
    /// At most so many leave in a second, at present; 0 while nothing is sent.
    pub rate: f64,
    /// Jobs of the batch that were settled lately, and over how long.
    pub recent: (u64, Duration),
}

/// The least time over which a pace can be told from chance.
pub const LEAST: Duration = Duration::from_secs(3);
/// What is sent stays a little below the rate: round trips, second attempts.
const SLACK: f64 = 1.25;

impl Outlook {
    /// How long it takes until the last of them is settled, if all goes on as it does; None while nothing is sent.
    pub fn eta(&self) -> Option<Duration> {
        if self.left == 0 {
            return Some(Duration::ZERO);
        }
        if self.rate <= 0.0 {
            return None;
        }
        let (left, ahead) = (as_float(self.left), as_float(self.ahead.max(self.left)));
        let (jobs, over) = self.recent;
        let seconds = if jobs > 0 && over >= LEAST {
            // Its own pace is the best guess, unless others went first so far.
            let by_pace = left * over.as_secs_f64() / as_float(jobs);
            by_pace.min(SLACK * ahead / self.rate).max(left / self.rate)
        } else {
            ahead / self.rate
        };
        Duration::try_from_secs_f64(seconds).ok()
    }
}

#[expect(clippy::cast_precision_loss, reason = "jobs are far fewer than 2^52")]
fn as_float(jobs: u64) -> f64 {
    jobs as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check((left, ahead, rate): (u64, u64, f64), recent: (u64, u64), expected: Option<u64>) {
        let outlook = Outlook { left, ahead, rate, recent: (recent.0, Duration::from_secs(recent.1)) };
        assert_eq!(outlook.eta().map(|eta| eta.as_secs()), expected, "{outlook:?}");
    }

    #[test]
    fn a_batch_that_is_being_served_goes_on_at_its_pace() {
        check((5700, 5700, 60.0), (1710, 30), Some(100));
        check((3000, 6000, 60.0), (900, 30), Some(100));
    }

    #[test]
    fn a_batch_that_was_not_served_yet_waits_for_all_that_is_ahead() {
        check((600, 6000, 60.0), (0, 0), Some(100));
        check((600, 6000, 60.0), (2, 1), Some(100));
    }

    #[test]
    fn no_pace_is_taken_for_more_than_the_rate_or_for_less_than_the_queue_allows() {
        check((600, 600, 60.0), (6000, 30), Some(10));
        check((600, 1200, 60.0), (1, 30), Some(25));
    }

    #[test]
    fn what_is_over_takes_no_time_and_what_is_not_sent_has_no_end() {
        check((0, 5000, 0.0), (0, 0), Some(0));
        check((1, 1, 0.0), (500, 30), None);
    }
}
