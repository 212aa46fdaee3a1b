//! The way out to one provider: what the quota, the pace and the token bucket say, as one wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::policy::bucket::Bucket;
use crate::policy::pace::Pace;
use crate::policy::quota::{Admit, SlotId, Slots};
use crate::ports::clock::Clock;

/// Admits requests of one provider; outlives every connection to the queue.
pub struct Gate {
    clock: Clock,
    limits: Mutex<Limits>,
    /// A slot or the quota has changed: whoever waits looks again.
    news: Notify,
}

struct Limits {
    qps: u32,
    slots: Slots,
    bucket: Bucket,
    pace: Pace,
    not_before: Duration,
}

impl Gate {
    /// `qps`: requests a second; `transit`: the longest that one may be on its way and still count.
    pub fn new(qps: u32, transit: Duration, clock: Clock) -> Self {
        let limits = Limits {
            qps,
            slots: Slots::new(qps, transit),
            bucket: Bucket::default(),
            pace: Pace::new(qps),
            not_before: Duration::ZERO,
        };
        Self { clock, limits: Mutex::new(limits), news: Notify::new() }
    }

    /// Changes what [`Gate::new`] was told, for all that is not admitted yet.
    pub fn reconfigure(&self, qps: u32, transit: Duration) {
        let mut limits = self.limits();
        limits.qps = qps;
        limits.slots.reconfigure(qps, transit);
        limits.pace.reconfigure(self.clock.elapsed(), qps);
        drop(limits);
        self.news.notify_one();
    }

    /// The configured quota, requests a second.
    pub fn qps(&self) -> u32 {
        self.limits().qps
    }

    /// For how long a request that is written now may still count.
    pub fn window(&self) -> Duration {
        self.limits().slots.window()
    }

    /// Requests a second that the provider lets us have at present.
    pub fn effective_qps(&self) -> f64 {
        self.limits().pace.rate(self.clock.elapsed())
    }

    /// Nothing goes out for this long: a predecessor's requests may still be on their way.
    pub fn hold_for(&self, wait: Duration) {
        let mut limits = self.limits();
        limits.not_before = limits.not_before.max(self.clock.elapsed() + wait);
    }

    /// Waits for a token and a slot. Cancel-safe; meant for one dispatcher.
    pub async fn pass(self: &Arc<Self>) -> Permit {
        loop {
            match self.try_pass(self.clock.elapsed()) {
                Admit::Go(slot) => return Permit { gate: self.clone(), slot, granted: self.clock.elapsed() },
                Admit::WaitForNews => self.news.notified().await,
                Admit::WaitUntil(moment) => {
                    tokio::select! {
                        biased;
                        () = self.clock.sleep_until(moment) => {}
                        () = self.news.notified() => {}
                    }
                }
            }
        }
    }

    fn try_pass(&self, now: Duration) -> Admit {
        let mut limits = self.limits();
        let held = limits.not_before.max(limits.pace.hold_until());
        if now < held {
            return Admit::WaitUntil(held);
        }
        let slot = match limits.slots.admit(now) {
            Admit::Go(slot) => slot,
            wait @ (Admit::WaitUntil(_) | Admit::WaitForNews) => return wait,
        };
        let rate = limits.pace.rate(now);
        match limits.bucket.take(now, rate) {
            Ok(()) => Admit::Go(slot),
            Err(until) => {
                limits.slots.gone(slot, now);
                Admit::WaitUntil(until)
            }
        }
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to send one request. Dropped without a word it frees its slot as the fate of its request allows.
pub struct Permit {
    gate: Arc<Gate>,
    slot: SlotId,
    granted: Duration,
}

impl Permit {
    /// The request was handed to the kernel.
    pub fn written(&self) {
        self.gate.limits().slots.written(self.slot, self.gate.clock.elapsed());
        self.gate.news.notify_one();
    }

    /// The reply is there.
    pub fn answered(&self) {
        self.gate.limits().slots.answered(self.slot, self.gate.clock.elapsed());
        self.gate.news.notify_one();
    }

    /// The provider took the request as one within its quota.
    pub fn passed(&self) {
        self.gate.limits().pace.passed(self.gate.clock.elapsed());
    }

    /// The provider refused the request for its quota.
    pub fn throttled(&self, retry_after: Option<Duration>) {
        let mut limits = self.gate.limits();
        limits.pace.throttled(self.gate.clock.elapsed(), self.granted, retry_after);
        let hold = limits.pace.hold_until();
        limits.bucket.rest_until(hold);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.limits().slots.gone(self.slot, self.gate.clock.elapsed());
        self.gate.news.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    fn gate(qps: u32, max_transit: u64) -> Arc<Gate> {
        Arc::new(Gate::new(qps, Duration::from_millis(max_transit), Clock::system()))
    }

    #[tokio::test(start_paused = true)]
    async fn sixty_a_second_pass_and_no_more() {
        let gate = gate(60, 500);
        let start = Instant::now();
        let mut passed = 0;
        while start.elapsed() < Duration::from_secs(60) {
            let permit = gate.pass().await;
            permit.written();
            permit.answered();
            passed += 1;
        }
        assert!((3_580..=3_600).contains(&passed), "{passed}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_that_was_not_used_gives_its_slot_back() {
        let gate = gate(1, 500);
        drop(gate.pass().await);
        let start = Instant::now();
        drop(gate.pass().await);
        assert!(start.elapsed() <= Duration::from_secs(1), "only the token bucket may make it wait");
    }

    #[tokio::test(start_paused = true)]
    async fn an_unwritten_request_holds_its_slot_until_there_is_news() {
        let gate = gate(1, 500);
        let first = gate.pass().await;
        let second = tokio::spawn({
            let gate = gate.clone();
            async move { gate.pass().await }
        });
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!(!second.is_finished());
        first.written();
        drop(first);
        let start = Instant::now();
        second.await.unwrap();
        let waited = start.elapsed();
        assert!((1501..1510).contains(&waited.as_millis()), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_hears_of_a_new_quota() {
        let gate = gate(1, 500);
        let _unwritten = gate.pass().await;
        let second = tokio::spawn({
            let gate = gate.clone();
            async move { gate.pass().await }
        });
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!(!second.is_finished());
        gate.reconfigure(2, Duration::from_millis(700));
        let permit = second.await.unwrap();
        permit.written();
        assert_eq!((gate.qps(), gate.effective_qps(), gate.window()), (2, 2.0, Duration::from_millis(1701)));
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_holds_the_whole_provider() {
        let gate = gate(60, 500);
        gate.pass().await.throttled(Some(Duration::from_secs(7)));
        let start = Instant::now();
        gate.pass().await;
        assert!(start.elapsed() >= Duration::from_secs(7));
        assert!(gate.effective_qps() < 60.0);
    }
}
