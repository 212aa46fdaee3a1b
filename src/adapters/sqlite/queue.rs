//! The file as the pipeline sees it.

use async_trait::async_trait;

use super::row::ORDER;
use super::source::{Nothing, SqliteSource};
use super::writer::Desk;
use super::{SqliteQueue, fetch, proof};
use crate::model::ids::ProviderName;
use crate::ports::broker::{Broker, BrokerError, Delivery, JobSource, LaneKey, Lead};
use crate::ports::fence::{Fence, Flow};
use crate::ports::outcomes::OutcomeSource;

impl SqliteQueue {
    fn desk(&self) -> Result<&Desk, BrokerError> {
        self.desk.as_ref().ok_or_else(|| BrokerError::Refused("the queue's file was not opened to send".into()))
    }
}

/// Who sends has the file, and with it every provider, for itself.
struct FileLead(std::sync::Arc<super::store::Store>);

#[async_trait]
impl Lead for FileLead {
    /// A stopped process keeps the lock of its file.
    fn fence(&self) -> Fence {
        Fence::none()
    }

    async fn lost(&mut self) -> BrokerError {
        self.0.ended().await
    }
}

#[async_trait]
impl Broker for SqliteQueue {
    /// Jobs are looked at before they are put in: nothing ever comes here.
    async fn intake(&self) -> Result<Box<dyn JobSource>, BrokerError> {
        Ok(Box::new(Nothing(self.store.clone())))
    }

    async fn lanes(&self, provider: &ProviderName, prefetch: u16) -> Result<Box<dyn JobSource>, BrokerError> {
        let desk = self.desk()?.clone();
        Ok(Box::new(SqliteSource::open(self.store.clone(), desk, provider.clone(), prefetch)))
    }

    async fn pull(&self, provider: &ProviderName) -> Result<Option<Delivery>, BrokerError> {
        let desk = self.desk()?;
        for of in ORDER.into_iter().rev() {
            if let Some(taken) = fetch::take(&self.store, provider, of, 1).await?.pop() {
                let key = LaneKey { provider: provider.clone(), lane: of.0 };
                return Ok(Some(taken.deliver(key, desk)));
            }
        }
        Ok(None)
    }

    async fn lead(&self, _provider: &ProviderName) -> Result<Option<Box<dyn Lead>>, BrokerError> {
        self.desk()?;
        Ok(Some(Box::new(FileLead(self.store.clone()))))
    }

    /// Nobody else sends from this file.
    async fn has_lane(&self, _lane: &LaneKey) -> Result<bool, BrokerError> {
        Ok(false)
    }

    /// What is settled here is in the ledger with the same commit.
    async fn outcomes(&self) -> Result<Option<Box<dyn OutcomeSource>>, BrokerError> {
        Ok(None)
    }

    async fn ready(&self, lane: &LaneKey) -> Result<u64, BrokerError> {
        fetch::waiting(&self.store, lane).await
    }

    async fn deferred(&self) -> Result<u64, BrokerError> {
        fetch::deferred(&self.store).await
    }

    fn flow(&self) -> Flow {
        Flow::free()
    }

    async fn prove(&self) -> Result<(), BrokerError> {
        proof::write(&self.store).await
    }

    async fn lost(&self) -> BrokerError {
        self.store.ended().await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
