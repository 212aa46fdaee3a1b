//! The only place where a retry is decided.

use std::time::Duration;

use super::backoff;
use crate::model::progress::{AttemptRecord, Progress};
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
    /// It is tried again after this long, behind the jobs that wait in its lane by then.
    Behind(Duration),
    /// It waits like [`Next::Defer`], and the provider is not sent to meanwhile: the fault is not the job's.
    Suspend(Duration, SuspensionReason),
}

/// How long a throttled job waits when the provider did not say, at most; half of it at least.
const THROTTLE_WAIT: Duration = Duration::from_secs(2);
/// How long a job waits for a fresh signature or token, and for a suspended provider's queue to stop.
const FRESH_STAMP_WAIT: Duration = Duration::from_millis(500);
/// How long a job waits after its first refusal; the wait doubles with each one that follows.
const REFUSAL_WAIT: Duration = Duration::from_secs(5);
/// The longest wait after a refusal: one cloud locks a key that is tried too often.
const LONGEST_REFUSAL_WAIT: Duration = Duration::from_secs(30);
/// So many of a job's refusals are disproved by other jobs until it is rejected.
pub const DISPROVED_TO_REJECT: u32 = 3;

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
        Verdict::Unauthorized { .. } => Next::Suspend(refusal_wait(progress), SuspensionReason::Credentials),
        Verdict::Misconfigured(_) => Next::Suspend(refusal_wait(progress), SuspensionReason::Configuration),
    }
}

/// Decides after a refusal that other jobs have disproved, which `progress` counts: it is the job's own.
pub fn decide_own_refusal(verdict: &Verdict, progress: &Progress) -> Next {
    if progress.disproved >= DISPROVED_TO_REJECT {
        settle(Outcome::Rejected, verdict.fault())
    } else {
        Next::Behind(refusal_wait(progress))
    }
}

/// How long a job waits that was refused, by how many of its last attempts were.
fn refusal_wait(progress: &Progress) -> Duration {
    let is_refusal = |record: &&AttemptRecord| match record.verdict {
        VerdictLabel::Unauthorized | VerdictLabel::Misconfigured => true,
        VerdictLabel::Dismissed
        | VerdictLabel::AlreadyGone
        | VerdictLabel::Throttled
        | VerdictLabel::Transient
        | VerdictLabel::Rejected => false,
    };
    let refusals = progress.log.iter().rev().take_while(is_refusal).count();
    match u32::try_from(refusals) {
        // It was not even sent.
        Ok(0) => FRESH_STAMP_WAIT,
        Ok(refusals @ 1..=8) => (REFUSAL_WAIT * 2_u32.pow(refusals - 1)).min(LONGEST_REFUSAL_WAIT),
        Ok(9..) | Err(_) => LONGEST_REFUSAL_WAIT,
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
        check(unauthorized(Cure::Operator), &[], Next::Suspend(ms(5000), SuspensionReason::Credentials));
        check(unauthorized(Cure::FreshStamp), &[], Next::Defer(ms(500)));
        check(
            unauthorized(Cure::FreshStamp),
            &[VerdictLabel::Unauthorized],
            Next::Suspend(ms(10_000), SuspensionReason::Credentials),
        );
        check(
            unauthorized(Cure::FreshStamp),
            &[VerdictLabel::Unauthorized, VerdictLabel::Transient],
            Next::Defer(ms(500)),
        );
        check(Verdict::Misconfigured(fault()), &[], Next::Suspend(ms(5000), SuspensionReason::Configuration));
    }

    #[test]
    fn a_refused_job_waits_longer_each_time_and_half_a_minute_at_most() {
        let misconfigured = Verdict::Misconfigured(fault());
        let seconds = |refusals: usize| {
            let next = decide(
                &misconfigured,
                &after(&vec![VerdictLabel::Misconfigured; refusals]),
                &RetryPolicy::default(),
                0.5,
            );
            let Next::Suspend(wait, SuspensionReason::Configuration) = next else { panic!("{next:?}") };
            wait.as_secs_f64()
        };
        assert_eq!([0, 1, 2, 3, 4, 30].map(seconds), [0.5, 5.0, 10.0, 20.0, 30.0, 30.0]);
    }

    #[test]
    fn the_third_refusal_that_others_disprove_rejects_the_job_in_the_providers_words() {
        for verdict in [Verdict::Misconfigured(fault()), Verdict::Unauthorized { cure: Cure::Operator, fault: fault() }]
        {
            let mut progress = after(&[verdict.label()]);
            for disproved in 1..DISPROVED_TO_REJECT {
                progress.disproved = disproved;
                assert_eq!(decide_own_refusal(&verdict, &progress), Next::Behind(Duration::from_secs(5)));
            }
            progress.disproved = DISPROVED_TO_REJECT;
            assert_eq!(decide_own_refusal(&verdict, &progress), over(Outcome::Rejected, Some(fault())));
        }
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
