//! How much waits, as metrics: asked of the queue every few seconds.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use super::account::{Account, Common};
use crate::model::job::Lane;
use crate::ports::broker::{Broker, BrokerError, LaneKey};
use crate::ports::meter::BacklogState;

const INTERVAL: Duration = Duration::from_secs(2);

/// Tells one provider's backlog for as long as this replica is its active sender: dropped, it tells nothing more.
pub async fn of_provider(account: Arc<Account>, broker: Arc<dyn Broker>) -> Infallible {
    let told = Told(account);
    loop {
        if let Err(error) = tell(&told.0, &*broker).await {
            let provider = &told.0.name;
            tracing::warn!(%provider, %error, "the backlog cannot be counted; trying again in {INTERVAL:?}");
            told.0.common.meter.forget_backlog(provider);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn tell(account: &Account, broker: &dyn Broker) -> Result<(), BrokerError> {
    let (meter, name) = (&account.common.meter, &account.name);
    let mut waiting = 0;
    for lane in Lane::ALL {
        let ready = broker.ready(&LaneKey { provider: name.clone(), lane }).await?;
        let in_hand = account.in_hand.get(lane);
        meter.backlog_jobs(name, lane, BacklogState::Ready, ready);
        meter.backlog_jobs(name, lane, BacklogState::InFlight, in_hand);
        waiting += ready + in_hand;
    }
    let rate = account.gate.effective_qps();
    meter.effective_qps(name, rate);
    #[expect(clippy::cast_precision_loss, reason = "a backlog is far below 2^52")]
    meter.backlog_seconds(name, waiting as f64 / rate);
    Ok(())
}

/// However the sender ends, its series go: by a stop, by a lost lead, or with its connection.
struct Told(Arc<Account>);

impl Drop for Told {
    fn drop(&mut self) {
        let (meter, name) = (&self.0.common.meter, &self.0.name);
        meter.forget_backlog(name);
        for lane in Lane::ALL {
            meter.lane_waiting(name, lane, 0);
        }
    }
}

/// Tells how many jobs wait for their time; a number that is missing is no reason to connect anew.
pub async fn deferred(common: Common, broker: Arc<dyn Broker>) -> Infallible {
    loop {
        match broker.deferred().await {
            Ok(waiting) => common.meter.deferred_jobs(waiting),
            Err(error) => tracing::warn!(%error, "the deferred jobs cannot be counted; trying again in {INTERVAL:?}"),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
