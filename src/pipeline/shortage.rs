//! A request that could not be sent for want of something on this machine: told now and then, and nobody's failure.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::account::Account;

/// A job waits so long for a descriptor, a port or memory to come free, before it is tried again.
pub const JOB_WAIT: Duration = Duration::from_secs(1);
/// So long no request is tried: the next one would fare no better.
const SENDER_REST: Duration = Duration::from_millis(500);
/// How often it is told.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// What was put off for a shortage, and when that was told.
#[derive(Default)]
pub struct Shortages(Mutex<Untold>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Untold {
    requests: u64,
    told_at: Option<Duration>,
}

impl Untold {
    /// How many requests were put off, if that is to be told now.
    fn note(&mut self, now: Duration) -> Option<u64> {
        self.requests += 1;
        if self.told_at.is_some_and(|told| now < told + TELL_INTERVAL) {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.requests))
    }
}

/// Has the sender rest, and tells what this machine is short of.
pub fn observe(account: &Account, reason: &str) {
    let now = account.common.clock.elapsed();
    account.gate.hold_for(SENDER_REST);
    account.common.meter.shortage(now, reason);
    let told = account.shortages.0.lock().unwrap_or_else(PoisonError::into_inner).note(now);
    if let Some(requests) = told {
        tracing::warn!(
            provider = %account.name,
            reason,
            requests,
            "this machine has nothing left to open a connection with: jobs wait, and no attempt is counted"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_once_and_then_now_and_then() {
        let mut untold = Untold::default();
        let told: Vec<Option<u64>> = (0..25).map(|second| untold.note(Duration::from_secs(second))).collect();
        let expected = [(0, 1), (10, 10), (20, 10)];
        let lines = told.iter().enumerate().filter_map(|(second, told)| Some((second, (*told)?)));
        assert!(lines.eq(expected), "{told:?}");
    }
}
