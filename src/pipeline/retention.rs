//! Results that are older than they are to be kept go, in small steps, by whichever replica comes first.

use std::convert::Infallible;
use std::time::Duration;

use jiff::SignedDuration;

use super::account::Common;
use crate::ports::ledger::{Horizon, Ledger};

/// Between two rounds, at most; each is drawn from the upper half, so that replicas do not go together.
const ROUND: Duration = Duration::from_secs(3600);
/// At a start there is other work.
const FIRST: Duration = Duration::from_secs(60);
/// So many go in one step, and then others have their turn.
const STEP: u32 = 1_000;
const REST: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(60);

/// That a batch was cancelled is known for at least so long, if nobody told how many jobs it has. They may lie in a queue for
/// longer than results are kept: in a lane that is not consumed, or put in by a producer that never heard of it.
const CANCELS: Duration = Duration::from_secs(30 * 24 * 3600);

/// A clock that was set further ahead since the last round may be wrong, and what is forgotten does not come back.
const LONGEST_JUMP: SignedDuration = SignedDuration::from_mins(1);

/// Has forgotten what was settled longer than `keep` ago, for as long as the process lives. A round after the clock was set
/// ahead is left out: so a wrong time that is put right within half an hour costs nothing.
pub async fn run(ledger: &dyn Ledger, common: &Common, keep: Duration) -> Infallible {
    let mut pause = FIRST;
    let mut set_by = common.clock.set_since();
    loop {
        tokio::time::sleep(pause.mul_f64(0.5 + (common.jitter)() / 2.0)).await;
        pause = ROUND;
        let ahead = common.clock.set_since().saturating_sub(std::mem::replace(&mut set_by, common.clock.set_since()));
        if ahead > LONGEST_JUMP {
            tracing::warn!("the clock was set {ahead:#} ahead: no result is deleted until the next round");
            continue;
        }
        let forgotten = round(ledger, common, keep).await;
        if forgotten > 0 {
            tracing::info!(forgotten, "what was older than ledger.keep");
        }
    }
}

/// Has all of it forgotten, in steps; tells how much.
pub async fn round(ledger: &dyn Ledger, common: &Common, keep: Duration) -> u64 {
    let now = common.clock.now();
    let horizon = Horizon { results: now - keep, cancels: now - keep.max(CANCELS) };
    let mut forgotten = 0;
    loop {
        match tokio::time::timeout(PATIENCE, ledger.forget(horizon, STEP)).await {
            Ok(Ok(step)) => {
                forgotten += step;
                if step < u64::from(STEP) {
                    return forgotten;
                }
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "nothing more is forgotten in this round");
                return forgotten;
            }
            Err(_) => return forgotten,
        }
        tokio::time::sleep(REST).await;
    }
}
