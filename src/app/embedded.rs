//! One tagged set of jobs, carried to its end by the ordinary pipeline on an embedded queue: what `sweep` and `demo` run.

use std::sync::Arc;
use std::time::Duration;

use super::run::Lanes;
use super::session::session;
use crate::adapters::sqlite::{SqliteQueue, Tally};
use crate::pipeline::account::Common;
use crate::pipeline::stop::{self, Stop};
use crate::ports::broker::{Broker, BrokerError};
use crate::ports::readiness::Readiness;

/// How often what was done is looked at, at most.
const LOOK: Duration = Duration::from_millis(200);

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Nothing is open any more.
    Done,
    /// Asked to stop, and drained.
    Stopped,
}

/// What looks on while the work is done.
pub trait Onlooker {
    /// Told again and again how far the jobs are, and once more at the end.
    fn look(&mut self, tally: &Tally) -> impl Future<Output = anyhow::Result<()>>;
}

/// The queue, its jobs, and who sends them.
pub struct Engine {
    pub queue: Arc<SqliteQueue>,
    pub tag: String,
    pub common: Common,
    pub lanes: Lanes,
    /// For what is on the wire when it is asked to stop.
    pub grace: Duration,
}

impl Engine {
    /// Sends until nothing of the tag is open, or until asked to stop.
    pub async fn run(&self, stop: Stop, onlooker: &mut impl Onlooker) -> anyhow::Result<Ended> {
        let (stopper, inner) = stop::channel();
        let broker: Arc<dyn Broker> = self.queue.clone();
        let readiness = Readiness::starting();
        let mut session = std::pin::pin!(session(&broker, &self.lanes, &self.common, &readiness, &inner, self.grace));
        let mut asked = stop.clone();
        let watched = async {
            tokio::select! {
                () = asked.asked() => Ok(()),
                done = self.until_done(onlooker) => done,
            }
        };
        let seen = tokio::select! {
            seen = watched => seen,
            ended = &mut session => return Err(gave_up(ended)),
        };
        stopper.stop();
        session.await?;
        seen?;
        let tally = self.queue.tally(&self.tag).await?;
        onlooker.look(&tally).await?;
        Ok(if tally.open == 0 { Ended::Done } else { Ended::Stopped })
    }

    async fn until_done(&self, onlooker: &mut impl Onlooker) -> anyhow::Result<()> {
        loop {
            let began = self.common.clock.elapsed();
            let tally = self.queue.tally(&self.tag).await?;
            onlooker.look(&tally).await?;
            if tally.open == 0 {
                return Ok(());
            }
            // Looking must not cost what sending needs.
            let took = self.common.clock.elapsed().saturating_sub(began);
            tokio::time::sleep(LOOK.max(took * 10)).await;
        }
    }
}

fn gave_up(ended: Result<(), BrokerError>) -> anyhow::Error {
    match ended {
        Ok(()) => anyhow::anyhow!("the sender ended before its work was done"),
        Err(error) => error.into(),
    }
}
