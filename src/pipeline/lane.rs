//! One provider: take the lead, receive, wait for a token, pick the best job, launch it; drain at the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};

use super::account::Account;
use super::backlog;
use super::carry;
use super::health::Role;
use super::pick::{self, Pass, Picked};
use super::stop::Stop;
use crate::model::job::Lane as JobLane;
use crate::model::suspension::SuspensionReason;
use crate::policy::breaker::Event;
use crate::ports::broker::{Broker, BrokerError, JobSource, Lead};

/// How often a stand-by asks for the lead.
const STAND_BY: Duration = Duration::from_secs(1);
/// A new sender waits: one window of the quota, and a second for what its predecessor had on the way.
const TAKE_OVER: Duration = Duration::from_secs(2);
/// What is in hand for so long goes back: a queue gives up on a consumer that holds a job for half an hour.
const LONGEST_HOLD: Duration = Duration::from_secs(600);
/// How often a suspended provider's queues are asked for a job to probe with.
const PROBE_POLL: Duration = Duration::from_secs(1);

type Flight = (JobLane, Result<(), BrokerError>);
type Landing = Result<Flight, JoinError>;

/// The sender of one provider. It outlives connections to the queue, and so do the requests that are on the wire.
pub struct Lane {
    account: Arc<Account>,
    flights: JoinSet<Flight>,
    /// How many of them are of which lane.
    aloft: [usize; 2],
}

/// Why a lane has stopped sending.
enum Ended {
    Asked,
    LeadLost(BrokerError),
}

impl Lane {
    pub fn new(account: Arc<Account>) -> Self {
        Self { account, flights: JoinSet::new(), aloft: [0; 2] }
    }

    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Sends until asked to stop, or until the queue fails.
    pub async fn run(&mut self, broker: &Arc<dyn Broker>, mut stop: Stop) -> Result<(), BrokerError> {
        while let Some(mut lead) = self.stand_by(broker, &mut stop).await? {
            let name = &self.account.name;
            tracing::info!(provider = %name, "active sender");
            self.account.gate.hold_for(TAKE_OVER);
            let ended = self.send(broker, &mut *lead, &mut stop).await;
            self.account.common.meter.forget_backlog(&self.account.name);
            match ended? {
                Ended::Asked => return Ok(()),
                Ended::LeadLost(error) => tracing::warn!(provider = %self.account.name, %error, "lead lost"),
            }
        }
        Ok(())
    }

    /// Waits for what is on the wire, at most for `grace`; the rest is given up and comes back to its queue.
    pub async fn drain(&mut self, grace: Duration) -> usize {
        let landed = async {
            while let Some(landing) = self.flights.join_next().await {
                if let Err(error) = self.settled(landing) {
                    tracing::warn!(provider = %self.account.name, %error, "while draining");
                }
            }
        };
        let _in_time = tokio::time::timeout(grace, landed).await;
        let given_up = self.flights.len();
        self.flights.abort_all();
        given_up
    }

    async fn stand_by(
        &mut self,
        broker: &Arc<dyn Broker>,
        stop: &mut Stop,
    ) -> Result<Option<Box<dyn Lead>>, BrokerError> {
        loop {
            if stop.is_asked() {
                return Ok(None);
            }
            if let Some(lead) = broker.lead(&self.account.name).await? {
                return Ok(Some(lead));
            }
            tokio::select! {
                () = stop.asked() => {}
                () = tokio::time::sleep(STAND_BY) => {}
            }
        }
    }

    async fn send(
        &mut self,
        broker: &Arc<dyn Broker>,
        lead: &mut dyn Lead,
        stop: &mut Stop,
    ) -> Result<Ended, BrokerError> {
        let account = self.account.clone();
        let mut hand = Hand { account: account.clone(), broker: broker.clone(), source: None, pass: None };
        let mut backlog = std::pin::pin!(backlog::of_provider(account.clone(), broker.clone()));
        loop {
            self.show(&hand);
            let room = self.flights.len() < account.max_in_flight;
            let suspended = refusing(&account);
            if suspended.is_some() {
                hand.put_down().await?;
            }
            let ended = tokio::select! {
                biased;
                () = stop.asked() => Some(Ended::Asked),
                error = lead.lost() => Some(Ended::LeadLost(error)),
                Some(landing) = self.flights.join_next() => {
                    self.landed(landing)?;
                    None
                }
                Err(error) = &mut backlog => return Err(error),
                picked = hand.next(suspended), if room => {
                    self.launch(picked?);
                    None
                }
            };
            if let Some(ended) = ended {
                hand.put_down().await?;
                self.show(&hand);
                return Ok(ended);
            }
        }
    }

    fn launch(&mut self, picked: Picked) {
        let (account, lane) = (self.account.clone(), picked.lane());
        self.aloft[lane as usize] += 1;
        self.flights.spawn(async move {
            let done = match picked {
                Picked::Send { job, pass } => carry::carry(account, *job, pass).await,
                Picked::Finish { job, decision } => carry::finish(&account, *job, decision).await,
                Picked::Settle { delivery, settlement } => pick::settle(&account, delivery, &settlement).await,
                Picked::Move { job, lane } => job.delivery.forward(&lane).await,
            };
            (lane, done)
        });
    }

    /// A refused result means that its queue is full: that is no reason to connect anew.
    fn landed(&mut self, landing: Landing) -> Result<(), BrokerError> {
        match self.settled(landing) {
            Err(BrokerError::Refused(what)) => {
                tracing::error!(provider = %self.account.name, what, "the queue takes no more");
                self.account.health.observe(Role::Ordinary, Event::Refused(SuspensionReason::Results));
                Ok(())
            }
            other => other,
        }
    }

    fn settled(&mut self, landing: Landing) -> Result<(), BrokerError> {
        let (lane, done) = landing.map_err(|error| BrokerError::Lost(format!("a task failed: {error}")))?;
        self.aloft[lane as usize] -= 1;
        done
    }

    fn show(&self, hand: &Hand) {
        let (meter, name) = (&self.account.common.meter, &self.account.name);
        meter.in_flight(name, self.flights.len());
        meter.effective_qps(name, self.account.gate.effective_qps());
        for lane in JobLane::ALL {
            let held = hand.source.as_ref().map_or(0, |source| source.held(lane));
            meter.lane_waiting(name, lane, held);
            self.account.in_hand.set(lane, held + self.aloft[lane as usize]);
        }
    }
}

/// The suspension during which lanes are not consumed at all. An outage is not one: its pauses are short.
fn refusing(account: &Account) -> Option<SuspensionReason> {
    account.health.suspended().filter(|reason| match reason {
        SuspensionReason::Outage => false,
        SuspensionReason::Credentials
        | SuspensionReason::Configuration
        | SuspensionReason::Results
        | SuspensionReason::Paused => true,
    })
}

/// What the dispatcher holds between two launches.
struct Hand {
    account: Arc<Account>,
    broker: Arc<dyn Broker>,
    source: Option<Box<dyn JobSource>>,
    /// Had before the job is picked, so that an urgent one that came meanwhile goes first; kept over jobs that need
    /// none.
    pass: Option<Pass>,
}

impl Hand {
    async fn put_down(&mut self) -> Result<(), BrokerError> {
        self.pass = None;
        match self.source.take() {
            Some(mut source) => source.stop().await,
            None => Ok(()),
        }
    }

    /// The next job and what is to be done with it. Cancel-safe: what was waited for is kept or given back.
    async fn next(&mut self, suspended: Option<SuspensionReason>) -> Result<Picked, BrokerError> {
        match suspended {
            Some(_) => self.probe().await,
            None => self.best().await,
        }
    }

    async fn best(&mut self) -> Result<Picked, BrokerError> {
        let prefetch = u16::try_from(self.account.gate.qps().clamp(8, 256)).unwrap_or(256);
        let source = match &mut self.source {
            Some(source) => source,
            empty => empty.insert(self.broker.lanes(&self.account.name, prefetch).await?),
        };
        loop {
            source.ready().await?;
            let asked = self.account.common.clock.elapsed();
            if self.pass.is_none() {
                tokio::select! {
                    pass = Pass::get(&self.account) => self.pass = Some(pass),
                    () = tokio::time::sleep(LONGEST_HOLD) => {}
                }
                let waited = self.account.common.clock.elapsed().saturating_sub(asked);
                self.account.common.meter.token_wait(&self.account.name, waited);
            }
            source.release_older_than(LONGEST_HOLD).await?;
            let Some(delivery) = source.best() else {
                self.pass = None;
                continue;
            };
            return Ok(pick::sort(&self.account, delivery, &mut self.pass));
        }
    }

    /// One job, taken alone, once the pause is over.
    async fn probe(&mut self) -> Result<Picked, BrokerError> {
        loop {
            if self.pass.is_none() {
                self.pass = Some(Pass::get(&self.account).await);
            }
            let Some(delivery) = self.broker.pull(&self.account.name).await? else {
                tokio::time::sleep(PROBE_POLL).await;
                continue;
            };
            return Ok(pick::sort(&self.account, delivery, &mut self.pass));
        }
    }
}
