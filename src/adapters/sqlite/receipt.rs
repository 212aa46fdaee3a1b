//! Our hold on one job.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::changes::Change;
use super::store::Hold;
use super::writer::{Desk, Request};
use crate::ports::broker::{BrokerError, LaneKey, Message, Receipt, Settlement};

/// A disk that is full now will be so in a moment: a job that could not be written goes back after this long.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

pub struct SqliteReceipt {
    pub hold: Hold,
    pub tag: Option<String>,
    pub desk: Desk,
}

async fn ask(desk: &Desk, hold: Hold, change: Change) -> Result<(), BrokerError> {
    let (answer, answered) = oneshot::channel();
    let gone = || BrokerError::Lost("nobody writes to the queue's file any more".into());
    desk.send(Request { hold, change, answer }).await.map_err(|_| gone())?;
    match answered.await.map_err(|_| gone())? {
        Ok(()) => Ok(()),
        Err((error, hold)) if error.is_of_one_message() => {
            tokio::time::sleep(REFUSED_PAUSE).await;
            drop(hold);
            Err(error)
        }
        Err((error, _)) => Err(error),
    }
}

#[async_trait]
impl Receipt for SqliteReceipt {
    async fn settle(self: Box<Self>, message: Message, settlement: &Settlement) -> Result<(), BrokerError> {
        let change = Change::settle(&message, self.tag, settlement)?;
        ask(&self.desk, self.hold, change).await
    }

    async fn defer(self: Box<Self>, message: Message, lane: &LaneKey, now: Timestamp) -> Result<(), BrokerError> {
        let change = Change::defer(&message, lane, now)?;
        ask(&self.desk, self.hold, change).await
    }

    async fn forward(self: Box<Self>, message: Message, lane: &LaneKey) -> Result<(), BrokerError> {
        let change = Change::forward(&message, lane)?;
        ask(&self.desk, self.hold, change).await
    }

    async fn release(self: Box<Self>) -> Result<(), BrokerError> {
        drop(self.hold);
        Ok(())
    }
}
