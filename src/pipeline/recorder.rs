//! The queue of results → the ledger, in groups: every replica records, and nothing on a job's way waits for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::account::Common;
use super::stop::Stop;
use crate::model::result::DismissResult;
use crate::ports::broker::{Broker, BrokerError};
use crate::ports::ledger::{Ledger, LedgerError};
use crate::ports::outcomes::{OutcomeSource, Unkept};
use crate::ports::readiness::PartState;

/// Between two tries to reach the ledger, at least and at most; each is drawn from the upper half.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// A ledger that has not kept a group by then is away.
const PATIENCE: Duration = Duration::from_secs(30);

/// Records until asked to stop, or until the queue fails. Ends at once where the queue keeps nothing for a ledger.
pub async fn run(
    broker: Arc<dyn Broker>,
    common: Common,
    ledger: Arc<dyn Ledger>,
    mut stop: Stop,
    state: &PartState,
) -> Result<(), BrokerError> {
    let mut outage = Outage::None;
    let mut pause = RETRY.0;
    while !stop.is_asked() {
        let source = broker.outcomes().await?;
        state.works();
        let Some(mut source) = source else { return Ok(()) };
        let ended = tokio::select! {
            biased;
            () = stop.asked() => None,
            ended = keep(&mut *source, &*ledger, &common, &mut outage) => Some(ended),
        };
        // What is in hand goes back: other replicas may reach the ledger.
        let obstacle = match ended {
            None => return source.stop().await,
            Some(Ok(never)) => match never {},
            Some(Err(Trouble::Ledger(why))) => Obstacle::Ledger(why),
            // Of all that it is asked for it refuses only that.
            Some(Err(Trouble::Broker(BrokerError::Refused(why) | BrokerError::Unroutable(why)))) => {
                Obstacle::DeadLetters(why)
            }
            Some(Err(Trouble::Broker(error))) => return Err(error),
        };
        source.stop().await?;
        if outage == Outage::None {
            pause = RETRY.0;
        }
        outage = outage.goes_on(common.clock.elapsed(), &obstacle);
        let wait = pause.mul_f64(0.5 + (common.jitter)() / 2.0);
        tokio::select! {
            biased;
            () = stop.asked() => {}
            () = tokio::time::sleep(wait) => {}
        }
        pause = (pause * 2).min(RETRY.1);
    }
    Ok(())
}

/// What recording waits for, and why.
enum Obstacle {
    Ledger(String),
    /// For a result that the ledger does not take.
    DeadLetters(String),
}

impl Obstacle {
    fn tell(&self) {
        match self {
            Obstacle::Ledger(why) => {
                tracing::warn!(why, "the ledger is away: results wait in their queue, sending goes on");
            }
            Obstacle::DeadLetters(why) => {
                tracing::warn!(
                    why,
                    "the dead letters do not take a result that the ledger does not take: results wait in their queue, \
                     sending goes on"
                );
            }
        }
    }
}

/// Whether recording stands still: the second failure in a row is told, and then the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outage {
    None,
    Suspected { since: Duration },
    Told { since: Duration },
}

impl Outage {
    fn goes_on(self, now: Duration, obstacle: &Obstacle) -> Self {
        match self {
            Outage::None => Outage::Suspected { since: now },
            Outage::Suspected { since } => {
                obstacle.tell();
                Outage::Told { since }
            }
            told @ Outage::Told { .. } => told,
        }
    }

    fn over(self, now: Duration) -> Self {
        match self {
            Outage::None | Outage::Suspected { .. } => {}
            Outage::Told { since } => {
                tracing::info!("recording again after {:.1?}", now.saturating_sub(since));
            }
        }
        Outage::None
    }
}

/// Why recording stops for now.
enum Trouble {
    Ledger(String),
    Broker(BrokerError),
}

impl From<BrokerError> for Trouble {
    fn from(error: BrokerError) -> Self {
        Trouble::Broker(error)
    }
}

async fn keep(
    source: &mut dyn OutcomeSource,
    ledger: &dyn Ledger,
    common: &Common,
    outage: &mut Outage,
) -> Result<std::convert::Infallible, Trouble> {
    loop {
        let bodies = source.next().await?;
        let (results, mut unkept) = read(&bodies);
        let refused = record(ledger, &results).await.map_err(Trouble::Ledger)?;
        unkept.extend(refused);
        source.kept(&unkept).await?;
        *outage = outage.over(common.clock.elapsed());
        for Unkept { place, why } in &unkept {
            let job_id = results.iter().find(|(of, _)| of == place).map(|(_, result)| result.job_id.as_str());
            tracing::error!(job_id, why, "a result that the ledger does not take: put to the dead letters");
        }
    }
}

type Placed = (usize, DismissResult);

fn read(bodies: &[Bytes]) -> (Vec<Placed>, Vec<Unkept>) {
    let (mut results, mut unkept) = (Vec::with_capacity(bodies.len()), Vec::new());
    for (place, body) in bodies.iter().enumerate() {
        match serde_json::from_slice(body) {
            Ok(result) => results.push((place, result)),
            Err(error) => unkept.push(Unkept { place, why: format!("not a result: {error}") }),
        }
    }
    (results, unkept)
}

/// Has a group kept; where the ledger refuses it, each by itself, to find out which it refuses. An error says that it is
/// away.
async fn record(ledger: &dyn Ledger, results: &[Placed]) -> Result<Vec<Unkept>, String> {
    let group: Vec<DismissResult> = results.iter().map(|(_, result)| result.clone()).collect();
    let mut unkept = Vec::new();
    match asked(ledger, &group).await {
        Ok(()) => {}
        Err(LedgerError::Away(why)) => return Err(why),
        Err(LedgerError::Refused(_)) => {
            for ((place, _), alone) in results.iter().zip(group.chunks(1)) {
                match asked(ledger, alone).await {
                    Ok(()) => {}
                    Err(LedgerError::Away(why)) => return Err(why),
                    Err(error @ LedgerError::Refused(_)) => {
                        unkept.push(Unkept { place: *place, why: error.to_string() });
                    }
                }
            }
        }
    }
    Ok(unkept)
}

async fn asked(ledger: &dyn Ledger, group: &[DismissResult]) -> Result<(), LedgerError> {
    if group.is_empty() {
        return Ok(());
    }
    let answer = tokio::time::timeout(PATIENCE, ledger.record(group)).await;
    answer.unwrap_or_else(|_| Err(LedgerError::Away(format!("it has not kept results within {PATIENCE:?}"))))
}

#[cfg(test)]
#[path = "recorder_tests.rs"]
mod tests;
