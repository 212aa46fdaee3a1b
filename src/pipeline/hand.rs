//! What a lane's dispatcher holds between two launches, and how it comes to the next one.

use std::sync::Arc;
use std::time::Duration;

use super::account::Account;
use super::pick::{self, Pass, Picked};
use crate::model::job::Lane;
use crate::model::suspension::SuspensionReason;
use crate::ports::broker::{Broker, BrokerError, JobSource};

/// What is in hand for so long goes back: a queue gives up on a consumer that holds a job for half an hour.
const LONGEST_HOLD: Duration = Duration::from_secs(600);
/// How often a suspended provider's queues are asked for a job to probe with.
const PROBE_POLL: Duration = Duration::from_secs(1);

/// How many deliveries of one queue may be unacked: what can be on the wire, and about a second of what follows. Fewer
/// would have slow answers hold back what the quota allows; more would only keep jobs from other replicas.
fn prefetch(account: &Account) -> u16 {
    let qps = f64::from(account.gate.qps());
    let until_timeout = account.timeout.mul_f64(qps).as_secs();
    let on_the_wire = u64::try_from(account.max_in_flight).unwrap_or(u64::MAX).min(until_timeout);
    u16::try_from(on_the_wire + u64::from(account.gate.qps().clamp(8, 256))).unwrap_or(u16::MAX)
}

pub struct Hand {
    account: Arc<Account>,
    broker: Arc<dyn Broker>,
    source: Option<Box<dyn JobSource>>,
    /// Had before the job is picked, so that an urgent one that came meanwhile goes first; kept over jobs that need
    /// none.
    pass: Option<Pass>,
    /// Since when a job waits for a pass, by the clock's `elapsed`.
    waiting: Option<Duration>,
}

impl Hand {
    /// Holds nothing yet.
    pub fn new(account: Arc<Account>, broker: Arc<dyn Broker>) -> Self {
        Self { account, broker, source: None, pass: None, waiting: None }
    }

    /// How many jobs of a lane are at hand.
    pub fn held(&self, lane: Lane) -> usize {
        self.source.as_ref().map_or(0, |source| source.held(lane))
    }

    /// Stops receiving and gives everything back.
    pub async fn put_down(&mut self) -> Result<(), BrokerError> {
        self.pass = None;
        match self.source.take() {
            Some(mut source) => source.stop().await,
            None => Ok(()),
        }
    }

    /// Starts receiving. Not to be cancelled half-way: a consumer whose opening is given up would go on swallowing
    /// jobs.
    pub async fn take_up(&mut self) -> Result<(), BrokerError> {
        if self.source.is_none() {
            self.source = Some(self.broker.lanes(&self.account.name, prefetch(&self.account)).await?);
        }
        Ok(())
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
            let idle = Lane::ALL.iter().all(|&lane| self.held(lane) == 0);
            let Some(source) = &mut self.source else {
                return Err(BrokerError::Lost("nothing is being received".into()));
            };
            if idle {
                // No token is hoarded while there is nothing to send.
                self.pass = None;
            }
            source.ready().await?;
            if self.pass.is_none() {
                let clock = &self.account.common.clock;
                let since = *self.waiting.get_or_insert_with(|| clock.elapsed());
                tokio::select! {
                    pass = Pass::get(&self.account) => {
                        self.pass = Some(pass);
                        self.waiting = None;
                        let waited = clock.elapsed().saturating_sub(since);
                        self.account.common.meter.token_wait(&self.account.name, waited);
                    }
                    () = tokio::time::sleep(LONGEST_HOLD) => {}
                }
            }
            source.release_older_than(LONGEST_HOLD).await?;
            if self.pass.is_none() {
                continue;
            }
            if let Some(delivery) = source.best() {
                return Ok(pick::sort(&self.account, delivery, &mut self.pass));
            }
        }
    }

    /// One job, taken alone, once the pause is over.
    async fn probe(&mut self) -> Result<Picked, BrokerError> {
        loop {
            if self.pass.is_none() {
                self.pass = Some(Pass::get(&self.account).await);
            }
            match self.broker.pull(&self.account.name).await? {
                Some(delivery) => return Ok(pick::sort(&self.account, delivery, &mut self.pass)),
                None => tokio::time::sleep(PROBE_POLL).await,
            }
        }
    }
}
