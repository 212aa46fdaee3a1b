//! The only place where a retry is decided.

use std::time::Duration;

use super::backoff;
use crate::model::progress::Progress;
use crate::model::result::{Ending, Outcome};
use crate::model::suspension::SuspensionReason;
use crate::model::verdict::{Cure, Fault, Verdict, VerdictLabel};

/// How often and how soon a job is tried again.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    pub initial: Duration,
    pub multiplier: f64,
    pub max: Duration,
    /// Attempts that failed and count; the job is exhausted at the last of them.
    pub max_attempts: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { initial: Duration::from_millis(500), multiplier: 2.0, max: Duration::from_secs(60), max_attempts: 8 }
    }
}

/// What becomes of a job after an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// It is over.
    Settle(Ending),
    /// It is tried again after this long.
    Defer(Duration),
    /// It waits like [`Next::Defer`], and the provider is not sent to meanwhile: the fault is not the job's.
    Suspend(Duration, SuspensionReason),
}

/// How long a throttled job waits when the provider did not say, at most; half of it at least.
const THROTTLE_WAIT: Duration = Duration::from_secs(2);
/// How long a job waits for a fresh signature or token, and for a suspended provider's queue to stop.
const FRESH_STAMP_WAIT: Duration = Duration::from_millis(500);

/// Decides from the verdict on the attempt that `progress` noted last. `jitter` is from 0 to 1.
pub fn decide(verdict: &Verdict, progress: &Progress, retry: &RetryPolicy, jitter: f64) -> Next {
    match verdict {
        Verdict::Dismissed => settle(Outcome::Dismissed, None),
        Verdict::AlreadyGone(_) => settle(Outcome::AlreadyGone, None),
        Verdict::Rejected(fault) => settle(Outcome::Rejected, Some(fault)),
        Verdict::Throttled { retry_after: Some(wait), .. } => Next::Defer(*wait),
        Verdict::Throttled { retry_after: None, .. } => Next::Defer(THROTTLE_WAIT.mul_f64(0.5 + jitter / 2.0)),
        Verdict::Transient(fault) if progress.transient >= retry.max_attempts => {
            settle(Outcome::Exhausted, Some(fault))
        }
        Verdict::Transient(_) => Next::Defer(backoff::delay(retry, progress.transient, jitter)),
        Verdict::Unauthorized { cure: Cure::FreshStamp, .. } if !refused_before(progress) => {
            Next::Defer(FRESH_STAMP_WAIT)
        }
        Verdict::Unauthorized { .. } => Next::Suspend(FRESH_STAMP_WAIT, SuspensionReason::Credentials),
        Verdict::Misconfigured(_) => Next::Suspend(FRESH_STAMP_WAIT, SuspensionReason::Configuration),
    }
}

fn settle(outcome: Outcome, error: Option<&Fault>) -> Next {
    Next::Settle(Ending { outcome, error: error.cloned() })
}

/// Whether the attempt before the last one was refused too: then a fresh stamp did not help.
fn refused_before(progress: &Progress) -> bool {
    let mut attempts = progress.log.iter().rev();
    attempts.next();
    attempts.next().is_some_and(|record| record.verdict == VerdictLabel::Unauthorized)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::progress::AttemptRecord;
    use jiff::Timestamp;

    fn fault() -> Fault {
        Fault::new("Code", "message")
    }

    fn after(labels: &[VerdictLabel]) -> Progress {
        let mut progress = Progress::received(Timestamp::UNIX_EPOCH);
        for &verdict in labels {
            progress.note(AttemptRecord {
                at: Timestamp::UNIX_EPOCH,
                verdict,
                http_status: Some(200),
                request_id: None,
                error: None,
                duration_ms: 1,
            });
        }
        progress
    }

    fn check(verdict: Verdict, log: &[VerdictLabel], expected: Next) {
        let mut log = log.to_vec();
        log.push(verdict.label());
        let next = decide(&verdict, &after(&log), &RetryPolicy::default(), 0.5);
        assert_eq!(next, expected, "{verdict:?} after {log:?}");
    }

    fn over(outcome: Outcome, error: Option<Fault>) -> Next {
        Next::Settle(Ending { outcome, error })
    }

    #[test]
    fn every_verdict_has_its_next_step() {
        let ms = Duration::from_millis;
        let unauthorized = |cure| Verdict::Unauthorized { cure, fault: fault() };
        check(Verdict::Dismissed, &[], over(Outcome::Dismissed, None));
        check(Verdict::AlreadyGone(fault()), &[], over(Outcome::AlreadyGone, None));
        check(Verdict::Rejected(fault()), &[], over(Outcome::Rejected, Some(fault())));
        check(Verdict::Transient(fault()), &[], Next::Defer(ms(250)));
        check(Verdict::Transient(fault()), &[VerdictLabel::Transient], Next::Defer(ms(500)));
        check(Verdict::Throttled { retry_after: Some(ms(3000)), fault: fault() }, &[], Next::Defer(ms(3000)));
        check(Verdict::Throttled { retry_after: None, fault: fault() }, &[], Next::Defer(ms(1500)));
        check(unauthorized(Cure::Operator), &[], Next::Suspend(ms(500), SuspensionReason::Credentials));
        check(unauthorized(Cure::FreshStamp), &[], Next::Defer(ms(500)));
        check(
            unauthorized(Cure::FreshStamp),
            &[VerdictLabel::Unauthorized],
            Next::Suspend(ms(500), SuspensionReason::Credentials),
        );
        check(
            unauthorized(Cure::FreshStamp),
            &[VerdictLabel::Unauthorized, VerdictLabel::Transient],
            Next::Defer(ms(500)),
        );
        check(Verdict::Misconfigured(fault()), &[], Next::Suspend(ms(500), SuspensionReason::Configuration));
    }

    #[test]
    fn the_last_attempt_exhausts_the_job() {
        let failed = [VerdictLabel::Transient; 8];
        check(Verdict::Transient(fault()), &failed[..6], Next::Defer(Duration::from_secs(16)));
        check(Verdict::Transient(fault()), &failed[..7], over(Outcome::Exhausted, Some(fault())));
    }

    #[test]
    fn a_throttle_costs_no_attempt() {
        let log = [VerdictLabel::Throttled; 30];
        check(Verdict::Transient(fault()), &log, Next::Defer(Duration::from_millis(250)));
    }
}
