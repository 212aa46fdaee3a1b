//! Work on one connection, by parts of which none stops the others.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::task::JoinSet;

use super::run::Lanes;
use crate::pipeline::account::Common;
use crate::pipeline::stop::Stop;
use crate::pipeline::{backlog, recorder, router};
use crate::ports::broker::{Broker, BrokerError};
use crate::ports::readiness::{PartState, Readiness, SessionPart};

/// Before a part that stood still is tried again, at least and at most; each is drawn from the upper half.
const RESTART: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// Ok when asked to stop and drained; an error when the connection is to be given up.
pub async fn session(
    broker: &Arc<dyn Broker>,
    lanes: &Lanes,
    common: &Common,
    readiness: &Readiness,
    stop: &Stop,
    grace: Duration,
) -> Result<(), BrokerError> {
    let keeper =
        Keeper { common: common.clone(), readiness: readiness.clone(), lanes: lanes.len(), stop: stop.clone() };
    let mut workers: JoinSet<Result<(), BrokerError>> = JoinSet::new();
    let parts = (broker.clone(), common.clone(), stop.clone());
    workers.spawn(keeper.clone().keep(SessionPart::Router, move |state| {
        let (broker, common, stop) = parts.clone();
        async move { router::run(broker, common, stop, &state).await }
    }));
    if let Some(ledger) = common.books.ledger.clone() {
        let parts = (broker.clone(), common.clone(), stop.clone());
        workers.spawn(keeper.clone().keep(SessionPart::Recorder, move |state| {
            let ((broker, common, stop), ledger) = (parts.clone(), ledger.clone());
            async move { recorder::run(broker, common, ledger, stop, &state).await }
        }));
    }
    for lane in lanes {
        let (keeper, lane, broker, stop) = (keeper.clone(), lane.clone(), broker.clone(), stop.clone());
        workers.spawn(async move {
            let part = SessionPart::Lane(lane.lock().await.provider().clone());
            let run = move |state| {
                let (lane, broker, stop) = (lane.clone(), broker.clone(), stop.clone());
                async move { lane.lock().await.run(&broker, stop, &state).await }
            };
            keeper.keep(part, run).await
        });
    }
    let mut gauge = std::pin::pin!(backlog::deferred(common.clone(), broker.clone()));
    let work = async {
        loop {
            tokio::select! {
                biased;
                error = broker.lost() => return Err(error),
                never = &mut gauge => match never {},
                worked = workers.join_next() => match worked {
                    None => return Ok(()),
                    Some(Ok(ended)) => ended?,
                    Some(Err(error)) => return Err(BrokerError::Lost(format!("a worker task failed: {error}"))),
                },
            }
        }
    };
    // Asked twice below: the first answer stands.
    let overdue = overdue(stop.clone(), grace).shared();
    let ended = tokio::select! {
        biased;
        ended = work => ended,
        () = overdue.clone() => Ok(()),
    };
    workers.shutdown().await;
    ended?;
    tokio::select! {
        biased;
        () = drain(lanes) => {}
        () = overdue.clone() => give_up(lanes).await,
    }
    Ok(())
}

/// What comes after a part of the work has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// It is tried again, and the others go on.
    Again,
    /// The connection is given up.
    GiveUp,
}

/// `idle` of so many `lanes` stand still.
fn after(error: &BrokerError, idle: usize, lanes: usize) -> After {
    match error {
        BrokerError::QueueDown(_) => After::Again,
        BrokerError::Unanswered { .. } if idle < lanes => After::Again,
        BrokerError::Unanswered { .. }
        | BrokerError::Lost(_)
        | BrokerError::Unconfirmed(_)
        | BrokerError::Blocked(_)
        | BrokerError::Refused(_)
        | BrokerError::Unroutable(_) => After::GiveUp,
    }
}

/// Has parts work on although one question of theirs is not answered.
#[derive(Clone)]
struct Keeper {
    common: Common,
    readiness: Readiness,
    /// How many there are.
    lanes: usize,
    stop: Stop,
}

impl Keeper {
    /// Runs a part, and again after a pause where what failed may be its queue alone.
    async fn keep<R>(mut self, part: SessionPart, run: impl Fn(PartState) -> R) -> Result<(), BrokerError>
    where
        R: Future<Output = Result<(), BrokerError>>,
    {
        let state = PartState::new(part, self.readiness.clone());
        let mut pause = RESTART.0;
        loop {
            let error = match run(state.clone()).await {
                Err(error) if !self.stop.is_asked() => error,
                ended => return ended,
            };
            state.stands_still(&error);
            if let After::GiveUp = after(&error, self.readiness.idle_lanes(), self.lanes) {
                return Err(error);
            }
            let wait = pause.mul_f64(0.5 + (self.common.jitter)() / 2.0);
            tracing::warn!(%error, "{} stands still; trying again in {wait:?}, the others go on", state.part());
            tokio::select! {
                biased;
                () = self.stop.asked() => {}
                () = tokio::time::sleep(wait) => {}
            }
            pause = (pause * 2).min(RESTART.1);
        }
    }
}

/// Resolves when the grace is over: not even a frozen broker keeps a stopping worker longer.
async fn overdue(mut stop: Stop, grace: Duration) {
    stop.asked().await;
    tokio::time::sleep(grace).await;
}

async fn drain(lanes: &Lanes) {
    join_all(lanes.iter().map(|lane| async { lane.lock().await.drain().await })).await;
}

async fn give_up(lanes: &Lanes) {
    let mut given_up = 0;
    for lane in lanes {
        given_up += lane.lock().await.give_up();
    }
    tracing::warn!(given_up, "the grace is over: what was still on the wire goes back to its queue");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_queue_stops_one_part_and_no_answer_to_any_lane_the_connection() {
        let unanswered = || BrokerError::Unanswered { call: "basic.consume", within: Duration::from_secs(20) };
        let check = |error: BrokerError, idle: usize, expected: After| assert_eq!(after(&error, idle, 3), expected);
        check(unanswered(), 0, After::Again);
        check(unanswered(), 2, After::Again);
        check(unanswered(), 3, After::GiveUp);
        check(BrokerError::QueueDown("q".into()), 3, After::Again);
        check(BrokerError::Lost("cut".into()), 1, After::GiveUp);
        check(BrokerError::Unconfirmed(Duration::from_secs(20)), 1, After::GiveUp);
    }
}
