//! How fast a provider is sent to: down to what it was just seen to take when it throttles, then up again by a step a
//! second.

use std::collections::VecDeque;
use std::time::Duration;

/// What is left of the rate that was just seen to pass. A little less than all of it: whoever stays at the very edge
/// meets it with every jitter of the way.
const DECREASE: f64 = 0.92;
/// The least that one decrease leaves of the rate, for what passed may be few only because few were sent.
const LEAST_LEFT: f64 = 0.5;
/// The window in which a provider counts. It takes so long until a slower rate shows: throttles of requests that went out
/// within so long of a decrease are the same news.
const WINDOW: Duration = Duration::from_secs(1);
/// How long the rate stays where it passes before it is tried whether more does. Each try costs a throttle or two, so that
/// trying all the time would cost a small quota every tenth request.
const REST: Duration = Duration::from_secs(10);
/// Requests a second that each second of recovery gives back, at least.
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
    /// When requests were seen to pass, over the last window.
    passed: VecDeque<Duration>,
}

impl Pace {
    /// Starts at the full quota, in requests a second.
    pub fn new(quota: u32) -> Self {
        let quota = f64::from(quota);
        Self {
            quota,
            rate: quota,
            since: Duration::ZERO,
            last_decrease: None,
            hold_until: Duration::ZERO,
            passed: VecDeque::new(),
        }
    }

    /// Changes the quota. A rate that throttles had brought down goes on growing from where it is.
    pub fn reconfigure(&mut self, now: Duration, quota: u32) {
        let (rate, new) = (self.rate(now), f64::from(quota));
        self.rate = if rate < self.quota { rate.min(new) } else { new };
        self.since = self.since.max(now);
        self.quota = new;
    }

    /// The provider took a request.
    pub fn passed(&mut self, now: Duration) {
        self.passed.push_back(now);
        self.forget_before(now);
    }

    /// The provider refused a request for its quota, which went out at `sent`; `retry_after` is what it asked for.
    pub fn throttled(&mut self, now: Duration, sent: Duration, retry_after: Option<Duration>) {
        if let Some(wait) = retry_after {
            self.hold_until = self.hold_until.max(now + wait);
        }
        if self.last_decrease.is_some_and(|last| sent < last + WINDOW) {
            return;
        }
        self.forget_before(now);
        let rate = self.rate(now);
        #[expect(clippy::cast_precision_loss, reason = "a second's requests are far below 2^52")]
        let passed = self.passed.len() as f64 / WINDOW.as_secs_f64();
        let left = passed.min(rate) * DECREASE;
        self.rate = left.max(rate * LEAST_LEFT).max(FLOOR.min(self.quota));
        self.since = now.max(self.hold_until) + REST;
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

    fn forget_before(&mut self, now: Duration) {
        while self.passed.front().is_some_and(|&moment| moment + WINDOW < now) {
            self.passed.pop_front();
        }
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
