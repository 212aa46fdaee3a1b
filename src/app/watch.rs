//! Whether the queue takes what it is given, as `/readyz` tells it.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::ports::broker::Broker;
use crate::ports::fence::Flow;
use crate::ports::readiness::{Obstacle, Readiness};

/// So often the queue is to confirm a write.
const PROOF_INTERVAL: Duration = Duration::from_secs(3);
/// So long a confirmed write proves that others would be confirmed.
const PROOF_LIFETIME: Duration = Duration::from_secs(10);

/// The queue is there, and nothing is proven yet.
pub fn begin(readiness: &Readiness) {
    readiness.hindered(Obstacle::Unproven, "no write was confirmed yet");
    readiness.free_of(&Obstacle::Alarm);
    readiness.ready();
}

/// Tells of a queue that is there and takes nothing.
pub async fn flow(mut flow: Flow, readiness: &Readiness) -> Infallible {
    loop {
        flow.until_blocked().await;
        let reason = flow.blocked().unwrap_or_default();
        tracing::warn!(reason, "nothing is sent for now");
        readiness.hindered(Obstacle::Alarm, reason);
        flow.until_free().await;
        tracing::info!("the broker takes messages again");
        readiness.free_of(&Obstacle::Alarm);
    }
}

/// Has the queue confirm a write again and again, and tells of one that confirms none.
pub async fn proofs(broker: &dyn Broker, readiness: &Readiness, kind: &str) -> Infallible {
    let mut expiry = Instant::now() + PROOF_LIFETIME;
    loop {
        let why = RefCell::new("no answer".to_owned());
        let mut proof = pin!(proof(broker, &why));
        if timeout_at(expiry, &mut proof).await.is_err() {
            let reason = broker.flow().blocked().unwrap_or_else(|| why.borrow().clone());
            tracing::warn!(reason, "the {kind} confirms nothing");
            let told = format!("the {kind} has confirmed no write for {PROOF_LIFETIME:?}: {reason}");
            readiness.hindered(Obstacle::Unproven, told);
            proof.await;
            tracing::info!("the {kind} confirms writes again");
        }
        readiness.free_of(&Obstacle::Unproven);
        expiry = Instant::now() + PROOF_LIFETIME;
        sleep(PROOF_INTERVAL).await;
    }
}

/// Resolves once a write is confirmed; `why` not, until then.
async fn proof(broker: &dyn Broker, why: &RefCell<String>) {
    while let Err(error) = broker.prove().await {
        why.replace(error.to_string());
        sleep(PROOF_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::memory::MemoryQueue;
    use crate::ports::clock::Clock;
    use crate::ports::readiness::ReadyState;

    #[tokio::test(start_paused = true)]
    async fn ready_is_who_had_a_write_confirmed_within_ten_seconds() {
        let broker = MemoryQueue::new(Vec::new(), Clock::system()).connect();
        let readiness = Readiness::starting();
        begin(&readiness);
        assert!(matches!(readiness.state(), ReadyState::Connecting { .. }), "nothing is proven yet");
        let mut watching = pin!(proofs(&broker, &readiness, "broker"));
        assert!(tokio::time::timeout(Duration::from_secs(60), &mut watching).await.is_err());
        assert_eq!(readiness.state(), ReadyState::Ready);
        broker.close().await;
        assert!(tokio::time::timeout(PROOF_LIFETIME - PROOF_INTERVAL, &mut watching).await.is_err());
        assert_eq!(readiness.state(), ReadyState::Ready, "the last proof still counts");
        assert!(tokio::time::timeout(PROOF_INTERVAL, &mut watching).await.is_err());
        let reason =
            "the broker has confirmed no write for 10s: connection to the broker lost: the connection is closed";
        assert_eq!(readiness.state(), ReadyState::Connecting { reason: reason.to_owned() });
    }
}
