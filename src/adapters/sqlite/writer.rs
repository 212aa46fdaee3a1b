//! Group commit: what is waiting to be written goes into one transaction, for each one costs a write-through to the disk.

use std::sync::Arc;

use sqlx::SqliteConnection;
use tokio::sync::{mpsc, oneshot};

use super::changes::Change;
use super::ledger::record::record;
use super::store::{Hold, Store};
use crate::model::result::DismissResult;
use crate::ports::broker::BrokerError;
use crate::ports::crash::{self, Point};

/// At most so many changes are one transaction.
const GROUP: usize = 256;

/// A change of a job in hand.
pub struct Request {
    pub hold: Hold,
    pub change: Change,
    /// A job that could not be changed goes back to whoever asked, if they are still there.
    pub answer: oneshot::Sender<Result<(), (BrokerError, Hold)>>,
}

/// Where changes are handed in. The file stays open until the last one is dropped.
pub type Desk = mpsc::Sender<Request>;

/// Starts writing; ends when nobody can ask any more.
pub fn start(store: Arc<Store>) -> Desk {
    let (desk, mut requests) = mpsc::channel(GROUP);
    tokio::spawn(async move {
        let mut group = Vec::with_capacity(GROUP);
        while requests.recv_many(&mut group, GROUP).await > 0 {
            let done = commit(&store, &group).await;
            if let Err(error @ (BrokerError::Lost(_) | BrokerError::Unconfirmed(_))) = &done {
                store.end(error.clone());
            }
            for request in group.drain(..) {
                answer(request, done.clone());
            }
        }
    });
    desk
}

async fn commit(store: &Store, group: &[Request]) -> Result<(), BrokerError> {
    let mut write = store.write().await;
    let connection = write.begin().await?;
    let done = apply(connection, group).await;
    crash::point(Point::Uncommitted);
    write.end(done).await.inspect(|()| crash::point(Point::Committed))
}

/// The ledger is written with the jobs it tells of, so that it is exact at every moment.
async fn apply(connection: &mut SqliteConnection, group: &[Request]) -> Result<(), BrokerError> {
    for request in group {
        request.change.apply(connection, request.hold.seq).await?;
    }
    let results: Vec<DismissResult> = group.iter().filter_map(|request| request.change.result()).cloned().collect();
    if !results.is_empty() {
        record(connection, &results).await?;
    }
    Ok(())
}

/// Only now is the job no longer in hand: whoever takes it next sees what was written, or that nothing was.
fn answer(request: Request, done: Result<(), BrokerError>) {
    let Request { hold, change, answer } = request;
    let told = match (done, change) {
        (Ok(()), Change::Settle(_)) => {
            hold.over();
            answer.send(Ok(()))
        }
        (Ok(()), Change::Move(_)) => {
            drop(hold);
            answer.send(Ok(()))
        }
        (Err(error), _) => answer.send(Err((error, hold))),
    };
    // Whoever asked may be gone; a job that was given back to nobody is free again.
    drop(told);
}
