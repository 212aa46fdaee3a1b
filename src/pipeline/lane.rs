//! One provider: take the lead, receive, wait for a token, pick the best job, launch it; drain at the end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::MissedTickBehavior;

use super::account::Account;
use super::backlog;
use super::carry;
use super::hand::Hand;
use super::outlet::Verb;
use super::pick::{self, Picked};
use super::stop::Stop;
use crate::model::ids::ProviderName;
use crate::model::job::Lane as JobLane;
use crate::model::suspension::SuspensionReason;
use crate::ports::broker::{Broker, BrokerError, Lead};
use crate::ports::crash::{self, Point};
use crate::ports::readiness::PartState;

/// How often a stand-by asks for the lead.
const STAND_BY: Duration = Duration::from_secs(1);
/// A new sender waits for at least one window of the quota, and a second for what its predecessor had on the way.
const TAKE_OVER: Duration = Duration::from_secs(2);

/// How often what is at hand is looked through although nothing happens.
const LOOK: Duration = Duration::from_secs(1);

/// The session in which it took off, its lane, and how it ended.
type Flight = (u64, JobLane, Result<(), BrokerError>);
type Landing = Result<Flight, JoinError>;

/// The sender of one provider. It outlives connections to the queue, and so do the requests that are on the wire.
pub struct Lane {
    account: Arc<Account>,
    flights: JoinSet<Flight>,
    /// How many of them are of which lane.
    aloft: [usize; 2],
    /// Counts the connections to the queue.
    session: u64,
}

/// Why a lane has stopped sending.
enum Ended {
    Asked,
    LeadLost(BrokerError),
}

impl Lane {
    pub fn new(account: Arc<Account>) -> Self {
        Self { account, flights: JoinSet::new(), aloft: [0; 2], session: 0 }
    }

    pub fn provider(&self) -> &ProviderName {
        &self.account.name
    }

    /// Sends until asked to stop, or until the queue fails.
    pub async fn run(
        &mut self,
        broker: &Arc<dyn Broker>,
        mut stop: Stop,
        state: &PartState,
    ) -> Result<(), BrokerError> {
        self.session += 1;
        while let Some(mut lead) = self.stand_by(broker, &mut stop, state).await? {
            let name = &self.account.name;
            tracing::info!(provider = %name, "active sender");
            crash::point(Point::Led);
            self.account.gate.hold_for(TAKE_OVER.max(self.account.gate.window()));
            let ended = self.send(broker, &mut *lead, &mut stop, state).await;
            match ended? {
                Ended::Asked => return Ok(()),
                // It may well be ours still.
                Ended::LeadLost(error @ BrokerError::Unanswered { .. }) => return Err(error),
                Ended::LeadLost(error) => tracing::warn!(provider = %self.account.name, %error, "lead lost"),
            }
        }
        Ok(())
    }

    /// Waits for what is on the wire. Cancel-safe.
    pub async fn drain(&mut self) {
        self.account.outlet.give_up();
        while let Some(landing) = self.flights.join_next().await {
            if let Err(error) = self.settled(landing) {
                tracing::warn!(provider = %self.account.name, %error, "while draining");
            }
        }
    }

    /// Gives up what is on the wire; its jobs come back to their queue. Tells how many.
    pub fn give_up(&mut self) -> usize {
        self.flights.abort_all();
        self.flights.len()
    }

    async fn stand_by(
        &mut self,
        broker: &Arc<dyn Broker>,
        stop: &mut Stop,
        state: &PartState,
    ) -> Result<Option<Box<dyn Lead>>, BrokerError> {
        loop {
            self.account.common.meter.in_flight(&self.account.name, self.flights.len());
            if stop.is_asked() {
                return Ok(None);
            }
            if let Some(lead) = broker.lead(&self.account.name).await? {
                return Ok(Some(lead));
            }
            state.works();
            tokio::select! {
                biased;
                () = stop.asked() => {}
                Some(landing) = self.flights.join_next() => self.landed(landing)?,
                () = tokio::time::sleep(STAND_BY) => {}
            }
        }
    }

    async fn send(
        &mut self,
        broker: &Arc<dyn Broker>,
        lead: &mut dyn Lead,
        stop: &mut Stop,
        state: &PartState,
    ) -> Result<Ended, BrokerError> {
        let account = self.account.clone();
        let mut hand = Hand::new(account.clone(), broker.clone(), lead.fence());
        let mut backlog = pin!(backlog::of_provider(account.clone(), broker.clone()));
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pauses = account.health.pauses();
        loop {
            let mut judgements = pin!(account.health.judgements());
            judgements.as_mut().enable();
            // Who waits for a judgement is not on the wire.
            let on_the_wire = self.flights.len().saturating_sub(account.health.unjudged());
            let room = on_the_wire < account.terms().max_in_flight;
            let suspended = account.health.refusing();
            match suspended {
                Some(_) => hand.put_down().await?,
                None => hand.take_up().await?,
            }
            state.works();
            self.show(&hand);
            let ended = tokio::select! {
                biased;
                () = stop.asked() => Some(Ended::Asked),
                error = lead.lost() => Some(Ended::LeadLost(error)),
                Some(landing) = self.flights.join_next() => {
                    self.landed(landing)?;
                    None
                }
                Ok(()) = pauses.changed() => None,
                () = judgements => None,
                never = &mut backlog => match never {},
                // Not while jobs are pulled one by one: nothing gathers then, and a slow pull would never end.
                _ = look.tick(), if suspended.is_none() => {
                    hand.look_through().await?;
                    None
                }
                picked = hand.next(suspended), if room && suspended != Some(SuspensionReason::Paused) => {
                    self.launch(picked?);
                    None
                }
            };
            if let Some(ended) = ended {
                if let Ended::Asked = ended {
                    // What is done is let go first: a queue may forget what it is told among much else just before the end.
                    self.drain().await;
                }
                hand.put_down().await?;
                self.show(&hand);
                return Ok(ended);
            }
        }
    }

    fn launch(&mut self, picked: Picked) {
        crash::point(Point::Picked);
        let (account, session, lane) = (self.account.clone(), self.session, picked.lane());
        self.aloft[lane as usize] += 1;
        self.flights.spawn(async move {
            let done = match picked {
                Picked::Send { job, pass, terms } => carry::carry(account, terms, *job, pass).await,
                Picked::Finish { job, decision } => carry::finish(&account, *job, decision).await,
                Picked::Settle { over } => pick::settle(&account, *over).await,
                Picked::Move { job } => {
                    let (delivery, lane) = job.onward();
                    account.end(delivery, Verb::Forward(&lane)).await
                }
                Picked::Release { delivery } => delivery.release().await,
            };
            (session, lane, done)
        });
    }

    /// What the queue refuses is no reason to connect anew.
    fn landed(&mut self, landing: Landing) -> Result<(), BrokerError> {
        match self.settled(landing) {
            Err(BrokerError::Refused(what)) => {
                tracing::debug!(provider = %self.account.name, what, "a job went back to its queue");
                Ok(())
            }
            other => other,
        }
    }

    fn settled(&mut self, landing: Landing) -> Result<(), BrokerError> {
        let (session, lane, done) = landing.map_err(|error| BrokerError::Lost(format!("a task failed: {error}")))?;
        self.aloft[lane as usize] -= 1;
        match done {
            // It could not be told on a connection that is gone; that says nothing of the present one, and what was
            // decided waits in limbo.
            Err(error) if session != self.session => {
                tracing::debug!(provider = %self.account.name, %error, "landed after its connection was lost");
                Ok(())
            }
            done => done,
        }
    }

    fn show(&self, hand: &Hand) {
        let (meter, name) = (&self.account.common.meter, &self.account.name);
        meter.in_flight(name, self.flights.len());
        meter.effective_qps(name, self.account.gate.effective_qps());
        for lane in JobLane::ALL {
            let held = hand.held(lane);
            meter.lane_waiting(name, lane, held);
            self.account.in_hand.set(lane, held + self.aloft[lane as usize]);
        }
    }
}
