//! Our hold on one job.

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::changes::Change;
use super::store::Hold;
use super::writer::{Desk, Request};
use crate::ports::broker::{BrokerError, JobTime, LaneKey, Message, Receipt, Settlement};

pub struct SqliteReceipt {
    /// None while the job is with whoever writes.
    pub hold: Option<Hold>,
    pub tag: Option<String>,
    pub desk: Desk,
}

impl SqliteReceipt {
    async fn ask(&mut self, change: Change) -> Result<(), BrokerError> {
        let gone = || BrokerError::Lost("nobody writes to the queue's file any more".into());
        let (answer, answered) = oneshot::channel();
        let hold = self.hold.take().ok_or_else(not_in_hand)?;
        self.desk.send(Request { hold, change, answer }).await.map_err(|_| gone())?;
        match answered.await.map_err(|_| gone())? {
            Ok(()) => Ok(()),
            Err((error, hold)) => {
                self.hold = Some(hold);
                Err(error)
            }
        }
    }
}

fn not_in_hand() -> BrokerError {
    BrokerError::Lost("the job is not in hand any more".into())
}

#[async_trait]
impl Receipt for SqliteReceipt {
    async fn settle(&mut self, message: &Message, settlement: &Settlement) -> Result<(), BrokerError> {
        self.ask(Change::settle(message, self.tag.clone(), settlement)?).await
    }

    async fn defer(&mut self, message: &Message, lane: &LaneKey, time: JobTime) -> Result<(), BrokerError> {
        let steady = self.hold.as_ref().ok_or_else(not_in_hand)?.clock().steady();
        self.ask(Change::defer(message.clone(), lane, time, steady)?).await
    }

    async fn forward(&mut self, message: &Message, lane: &LaneKey) -> Result<(), BrokerError> {
        self.ask(Change::forward(message, lane)?).await
    }

    async fn release(self: Box<Self>) -> Result<(), BrokerError> {
        Ok(())
    }
}
