//! One connection to the queue in memory.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::Store;
use super::outcomes::{MemoryOutcomes, Waiting};
use super::source::MemorySource;
use crate::model::ids::ProviderName;
use crate::ports::broker::{Broker, BrokerError, Delivery, JobSource, LaneKey, Lead};
use crate::ports::fence::{Fence, Flow};
use crate::ports::outcomes::OutcomeSource;

/// One connection to a [`MemoryQueue`](super::MemoryQueue).
pub struct MemoryBroker {
    pub(super) store: Arc<Store>,
    pub(super) id: u64,
    pub(super) closed: watch::Sender<bool>,
}

pub(super) fn gone() -> BrokerError {
    BrokerError::Lost("the connection is closed".into())
}

pub(super) async fn end(mut closed: watch::Receiver<bool>) -> BrokerError {
    let _dropped = closed.wait_for(|closed| *closed).await;
    gone()
}

struct MemoryLead(watch::Receiver<bool>);

#[async_trait]
impl Lead for MemoryLead {
    fn fence(&self) -> Fence {
        Fence::none()
    }

    async fn lost(&mut self) -> BrokerError {
        end(self.0.clone()).await
    }
}

impl MemoryBroker {
    fn source(&self, provider: Option<ProviderName>, prefetch: u16) -> MemorySource {
        let (store, closed) = (self.store.clone(), self.closed.subscribe());
        MemorySource { store, closed, provider, prefetch: prefetch.into(), held: Default::default() }
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    async fn intake(&self) -> Result<Box<dyn JobSource>, BrokerError> {
        Ok(Box::new(self.source(None, u16::MAX)))
    }

    async fn lanes(&self, provider: &ProviderName, prefetch: u16) -> Result<Box<dyn JobSource>, BrokerError> {
        Ok(Box::new(self.source(Some(provider.clone()), prefetch)))
    }

    async fn pull(&self, provider: &ProviderName) -> Result<Option<Delivery>, BrokerError> {
        if *self.closed.borrow() {
            return Err(gone());
        }
        let mut source = self.source(Some(provider.clone()), 1);
        Ok(source.spare())
    }

    async fn lead(&self, provider: &ProviderName) -> Result<Option<Box<dyn Lead>>, BrokerError> {
        let holder = *self.store.state().leads.entry(provider.clone()).or_insert(self.id);
        Ok((holder == self.id).then(|| Box::new(MemoryLead(self.closed.subscribe())) as Box<dyn Lead>))
    }

    async fn has_lane(&self, lane: &LaneKey) -> Result<bool, BrokerError> {
        Ok(self.store.providers.contains(&lane.provider))
    }

    async fn outcomes(&self) -> Result<Option<Box<dyn OutcomeSource>>, BrokerError> {
        if *self.closed.borrow() {
            return Err(gone());
        }
        if self.store.state().outcomes.is_none() {
            return Ok(None);
        }
        let (store, closed) = (self.store.clone(), self.closed.subscribe());
        Ok(Some(Box::new(MemoryOutcomes { store, closed, held: Waiting::new() })))
    }

    async fn ready(&self, lane: &LaneKey) -> Result<u64, BrokerError> {
        let state = self.store.state();
        Ok(self.store.free(&state, |job| job.lane.as_ref() == Some(lane)).len() as u64)
    }

    async fn deferred(&self) -> Result<u64, BrokerError> {
        let now = self.store.clock.elapsed();
        Ok(self.store.state().jobs.values().filter(|job| !job.is_due(now)).count() as u64)
    }

    fn flow(&self) -> Flow {
        Flow::free()
    }

    async fn prove(&self) -> Result<(), BrokerError> {
        if *self.closed.borrow() { Err(gone()) } else { Ok(()) }
    }

    async fn lost(&self) -> BrokerError {
        end(self.closed.subscribe()).await
    }

    async fn close(&self) {
        self.store.state().leads.retain(|_, holder| *holder != self.id);
        self.closed.send_replace(true);
    }
}
