//! The way in for new jobs, whichever queue is configured.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::sync::watch;

use crate::adapters::amqp::AmqpBroker;
use crate::adapters::sqlite::SqliteQueue;
use crate::model::job::DismissJob;
use crate::ports::broker::BrokerError;

/// So many jobs may wait for their confirm at a time.
const UNDER_WAY: usize = 512;

/// Puts jobs in; what it confirms is durable.
#[derive(Clone)]
pub enum Entrance {
    Amqp(Arc<AmqpBroker>),
    Sqlite(Arc<SqliteQueue>),
}

impl Entrance {
    /// Puts jobs in, in their order, and tells of each what became of it. The embedded queue takes all or none. Once the
    /// broker confirms no more, nothing else is tried or waited for. An error says that none was tried.
    pub async fn put(
        &self,
        jobs: &[DismissJob],
        mut tell: impl FnMut(&DismissJob, Result<(), BrokerError>),
    ) -> Result<(), BrokerError> {
        match self {
            Entrance::Amqp(broker) => {
                let entrance = broker.entrance().await?;
                let given_up = watch::Sender::new(None::<BrokerError>);
                let put = async |job| {
                    let mut given_up = given_up.subscribe();
                    let outcome = tokio::select! {
                        biased;
                        outcome = entrance.enqueue(job) => outcome,
                        Ok(error) = given_up.wait_for(Option::is_some) => error.clone().map_or(Ok(()), Err),
                    };
                    (job, outcome)
                };
                let mut waiting = jobs.iter();
                let mut under_way = FuturesOrdered::new();
                loop {
                    while under_way.len() < UNDER_WAY
                        && let Some(job) = waiting.next()
                    {
                        under_way.push_back(put(job));
                    }
                    let Some((job, outcome)) = under_way.next().await else { return Ok(()) };
                    if let Err(error) = &outcome
                        && !error.is_of_one_message()
                    {
                        given_up.send_replace(Some(error.clone()));
                    }
                    tell(job, outcome);
                }
            }
            Entrance::Sqlite(queue) => {
                let outcome = queue.enqueue(jobs, None).await;
                jobs.iter().for_each(|job| tell(job, outcome.clone()));
                Ok(())
            }
        }
    }

    /// Puts all jobs in; an error leaves open how many of them are in an AMQP queue all the same.
    pub async fn put_all(&self, jobs: &[DismissJob]) -> Result<(), BrokerError> {
        let mut first = Ok(());
        let note = |_: &DismissJob, outcome| {
            if first.is_ok() {
                first = outcome;
            }
        };
        self.put(jobs, note).await?;
        first
    }
}

/// The entrance as it comes and goes with the connection; clones share it.
#[derive(Clone, Default)]
pub struct Door(Arc<ArcSwapOption<Entrance>>);

impl Door {
    /// None while the queue is away.
    pub fn entrance(&self) -> Option<Arc<Entrance>> {
        self.0.load_full()
    }

    pub fn open(&self, entrance: Entrance) {
        self.0.store(Some(Arc::new(entrance)));
    }

    pub fn shut(&self) {
        self.0.store(None);
    }
}
