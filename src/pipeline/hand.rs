//! What a lane's dispatcher holds between two launches, and how it comes to the next one.

use std::sync::Arc;
use std::time::Duration;

use super::account::Account;
use super::dedupe::{Checked, Dedupe};
use super::health::Role;
use super::pick::{self, Pass, Picked};
use crate::model::job::Lane;
use crate::model::suspension::SuspensionReason;
use crate::ports::broker::{Broker, BrokerError, Delivery, JobSource};
use crate::ports::fence::Fence;

/// What is in hand for so long goes back: a queue gives up on a consumer that holds a job for half an hour.
const LONGEST_HOLD: Duration = Duration::from_secs(600);
/// How often a suspended provider's queues are asked for a job to probe with.
const PROBE_POLL: Duration = Duration::from_secs(1);

/// How many deliveries of one queue may be unacked: what can be on the wire, and about a second of what follows. Fewer
/// would have slow answers hold back what the quota allows; more would only keep jobs from other replicas.
fn prefetch(account: &Account) -> u16 {
    let (qps, terms) = (f64::from(account.gate.qps()), account.terms());
    let until_timeout = terms.timeout.mul_f64(qps).as_secs();
    let on_the_wire = u64::try_from(terms.max_in_flight).unwrap_or(u64::MAX).min(until_timeout);
    u16::try_from(on_the_wire + u64::from(account.gate.qps().clamp(8, 256))).unwrap_or(u16::MAX)
}

pub struct Hand {
    account: Arc<Account>,
    broker: Arc<dyn Broker>,
    fence: Fence,
    source: Option<Box<dyn JobSource>>,
    /// Of that source; another one is opened when the configuration asks for more or less.
    prefetch: u16,
    /// Had before the job is picked, so that an urgent one that came meanwhile goes first; kept over jobs that need
    /// none.
    pass: Option<Pass>,
    /// What a probe is to be sent with, while it is looked up.
    spare: Option<Delivery>,
    /// Since when a job waits for a pass, by the clock's `elapsed`.
    waiting: Option<Duration>,
    /// Present where repeated jobs are to be answered.
    dedupe: Option<Dedupe>,
}

impl Hand {
    /// Holds nothing yet.
    pub fn new(account: Arc<Account>, broker: Arc<dyn Broker>, fence: Fence) -> Self {
        let dedupe = Dedupe::of(&account);
        Self { account, broker, fence, source: None, prefetch: 0, pass: None, spare: None, waiting: None, dedupe }
    }

    /// How many jobs of a lane are at hand.
    pub fn held(&self, lane: Lane) -> usize {
        self.source.as_ref().map_or(0, |source| source.held(lane))
    }

    /// Stops receiving and gives everything back.
    pub async fn put_down(&mut self) -> Result<(), BrokerError> {
        self.pass = None;
        if let Some(delivery) = self.spare.take() {
            delivery.release().await?;
        }
        match self.source.take() {
            Some(mut source) => source.stop().await,
            None => Ok(()),
        }
    }

    /// Starts receiving. Not to be cancelled half-way: a consumer whose opening is given up would go on swallowing
    /// jobs.
    pub async fn take_up(&mut self) -> Result<(), BrokerError> {
        let prefetch = prefetch(&self.account);
        if prefetch != self.prefetch {
            self.put_down().await?;
        }
        if self.source.is_none() {
            self.source = Some(self.broker.lanes(&self.account.name, prefetch).await?);
            self.prefetch = prefetch;
        }
        Ok(())
    }

    /// Takes note of what has arrived, and gives back what has been here for long.
    pub async fn look_through(&mut self) -> Result<(), BrokerError> {
        match &mut self.source {
            Some(source) => source.release_older_than(LONGEST_HOLD).await,
            None => Ok(()),
        }
    }

    /// The next job and what is to be done with it. Cancel-safe: what was waited for is kept or given back.
    pub async fn next(&mut self, suspended: Option<SuspensionReason>) -> Result<Picked, BrokerError> {
        match suspended {
            Some(_) => self.probe().await,
            None => self.best().await,
        }
    }

    async fn best(&mut self) -> Result<Picked, BrokerError> {
        loop {
            let idle = self.spare.is_none() && Lane::ALL.iter().all(|&lane| self.held(lane) == 0);
            let Some(source) = &mut self.source else {
                return Err(BrokerError::Lost("nothing is being received".into()));
            };
            if idle {
                // No token is hoarded while there is nothing to send.
                self.pass = None;
            }
            if self.spare.is_none() {
                source.ready().await?;
            }
            if self.pass.is_none() {
                let clock = &self.account.common.clock;
                let since = *self.waiting.get_or_insert_with(|| clock.elapsed());
                self.pass = Some(Pass::get(&self.account, &self.fence).await);
                self.waiting = None;
                let waited = clock.elapsed().saturating_sub(since);
                self.account.common.meter.token_wait(&self.account.name, waited);
            }
            let role = self.pass.as_ref().map(Pass::role);
            if role == Some(Role::Probe) && self.spare.is_none() {
                self.spare = source.spare();
            }
            match (&mut self.dedupe, role, &self.spare) {
                (Some(dedupe), Some(Role::Probe), Some(delivery)) => dedupe.ask_alone(&delivery.message).await,
                (Some(dedupe), Some(Role::Ordinary), None) => dedupe.ready(&mut **source).await,
                (_, _, _) => {}
            }
            self.pass = self.pass.take().filter(Pass::is_good);
            match (self.pass.as_ref().map(Pass::role), self.spare.take()) {
                (Some(Role::Probe), Some(delivery)) => return Ok(self.sort(delivery)),
                // It was the least of them, and waits its turn.
                (Some(Role::Ordinary), Some(delivery)) => {
                    return Ok(Picked::Release { delivery: Box::new(delivery) });
                }
                (Some(Role::Ordinary), None) => {
                    if let Some(delivery) = source.best() {
                        return Ok(self.sort(delivery));
                    }
                }
                (Some(Role::Probe), None) => {}
                (None, spare) => self.spare = spare,
            }
        }
    }

    /// One job, taken alone, once the pause is over.
    async fn probe(&mut self) -> Result<Picked, BrokerError> {
        loop {
            if self.pass.is_none() {
                self.pass = Some(Pass::get(&self.account, &self.fence).await);
            }
            self.pass = self.pass.take().filter(Pass::is_good);
            if self.pass.is_none() {
                continue;
            }
            match self.broker.pull(&self.account.name).await? {
                Some(delivery) => {
                    if let Some(dedupe) = &mut self.dedupe {
                        dedupe.ask_alone(&delivery.message).await;
                    }
                    self.pass = self.pass.take().filter(Pass::is_good);
                    return Ok(self.sort(delivery));
                }
                None => tokio::time::sleep(PROBE_POLL).await,
            }
        }
    }

    fn sort(&mut self, delivery: Delivery) -> Picked {
        let checked = match &mut self.dedupe {
            Some(dedupe) => dedupe.check(&delivery.message),
            None => Checked::Needless,
        };
        pick::sort(&self.account, delivery, &mut self.pass, checked)
    }
}
