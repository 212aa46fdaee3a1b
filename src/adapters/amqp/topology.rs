//! The queues and exchanges, and their one set of arguments each.

use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ErrorKind};

use super::OpenError;
use super::call::{CallError, answered};
use crate::model::ids::ProviderName;
use crate::model::job::Lane;
use crate::ports::broker::{BrokerError, LaneKey};

/// The rungs of the wait ladder, in milliseconds: 500 ms to 1024 s, each twice the one before.
pub const RUNGS: [u32; 12] = [500, 1000, 2000, 4000, 8000, 16000, 32000, 64000, 128_000, 256_000, 512_000, 1_024_000];
/// So often may a job be handed out: connection losses count.
const JOB_DELIVERIES: i32 = 1_000;
/// On the other queues a limit only guards against the broker's own default of 20.
const OTHER_DELIVERIES: i32 = 1_000_000;

/// The names of everything under one namespace.
#[derive(Debug, Clone)]
pub struct Names {
    namespace: String,
}

impl Names {
    pub fn new(namespace: impl Into<String>) -> Self {
        Self { namespace: namespace.into() }
    }

    /// The intake queue, and the topic exchange beside it.
    pub fn jobs(&self) -> String {
        format!("{}.jobs", self.namespace)
    }

    pub fn intake(&self) -> String {
        format!("{}.intake", self.namespace)
    }

    /// Where the intake hands on what it may not keep. It cannot dead-letter to itself: a message that comes round
    /// without a rejection is never routed again.
    pub fn ended(&self) -> String {
        format!("{}.ended", self.namespace)
    }

    pub fn lane(&self, lane: &LaneKey) -> String {
        format!("{}.jobs.{lane}", self.namespace)
    }

    pub fn retry(&self, lane: &LaneKey) -> String {
        format!("{}.jobs.{lane}.retry", self.namespace)
    }

    pub fn wait(&self, rung: u32) -> String {
        format!("{}.wait.{rung}", self.namespace)
    }

    pub fn results(&self) -> String {
        format!("{}.results", self.namespace)
    }

    pub fn ledger(&self) -> String {
        format!("{}.ledger", self.namespace)
    }

    pub fn dead(&self) -> String {
        format!("{}.dead", self.namespace)
    }

    /// Where a worker has its writes confirmed while it has nothing else to write.
    pub fn proof(&self) -> String {
        format!("{}.proof", self.namespace)
    }

    pub fn lead(&self, provider: &ProviderName) -> String {
        format!("{}.lead.{provider}", self.namespace)
    }
}

/// What is to be declared.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub providers: Vec<ProviderName>,
    /// Where results and dead letters go; None for a producer, who needs only the way in.
    pub outcomes: Option<Outcomes>,
}

/// The way out.
#[derive(Debug, Clone, Copy)]
pub struct Outcomes {
    pub results: ResultsQueue,
    pub ledger: LedgerQueue,
}

/// Whether results are queued for a ledger writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerQueue {
    Absent,
    Present,
}

/// Whether results are kept in a queue of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultsQueue {
    /// The exchange only: results go to whoever has bound a queue.
    ExchangeOnly,
    Kept {
        max_bytes: Option<u64>,
    },
}

/// Declares everything; what exists with other arguments is named and left as it is.
pub async fn declare(channel: &Channel, names: &Names, wanted: &Wanted) -> Result<(), OpenError> {
    let (jobs, intake) = (names.jobs(), names.intake());
    exchange(channel, &intake, ExchangeKind::Fanout, FieldTable::default()).await?;
    let mut alternate = FieldTable::default();
    alternate.insert("alternate-exchange".into(), text(&intake));
    exchange(channel, &jobs, ExchangeKind::Topic, alternate).await?;
    let ended = names.ended();
    exchange(channel, &ended, ExchangeKind::Fanout, FieldTable::default()).await?;
    queue(channel, &ended, handed_to(&names.dead(), OTHER_DELIVERIES)).await?;
    bind(channel, &ended, &ended, "").await?;
    queue(channel, &jobs, handed_to(&ended, JOB_DELIVERIES)).await?;
    bind(channel, &jobs, &intake, "").await?;

    for lane in wanted.providers.iter().flat_map(lanes_of) {
        for (name, key) in [(names.lane(&lane), lane.to_string()), (names.retry(&lane), format!("{lane}.retry"))] {
            queue(channel, &name, handed_to(&intake, JOB_DELIVERIES)).await?;
            bind(channel, &name, &jobs, &key).await?;
        }
    }
    for rung in RUNGS {
        let name = names.wait(rung);
        let mut arguments = handed_to(&jobs, OTHER_DELIVERIES);
        arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(rung.cast_signed()));
        exchange(channel, &name, ExchangeKind::Fanout, FieldTable::default()).await?;
        queue(channel, &name, arguments).await?;
        bind(channel, &name, &name, "").await?;
    }

    match wanted.outcomes {
        Some(outcomes) => declare_outcomes(channel, names, outcomes).await,
        None => Ok(()),
    }
}

async fn declare_outcomes(channel: &Channel, names: &Names, outcomes: Outcomes) -> Result<(), OpenError> {
    let (results, dead) = (names.results(), names.dead());
    exchange(channel, &results, ExchangeKind::Topic, FieldTable::default()).await?;
    if let ResultsQueue::Kept { max_bytes } = outcomes.results {
        let mut arguments = kept();
        if let Some(bytes) = max_bytes {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            arguments.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(bytes));
        }
        queue(channel, &results, arguments).await?;
        bind(channel, &results, &results, "#").await?;
    }
    if outcomes.ledger == LedgerQueue::Present {
        queue(channel, &names.ledger(), kept()).await?;
        bind(channel, &names.ledger(), &results, "#").await?;
    }
    queue(channel, &names.proof(), kept()).await?;
    exchange(channel, &dead, ExchangeKind::Topic, FieldTable::default()).await?;
    queue(channel, &dead, kept()).await?;
    bind(channel, &dead, &dead, "#").await
}

/// Both lanes of a provider.
pub fn lanes_of(provider: &ProviderName) -> impl Iterator<Item = LaneKey> + use<'_> {
    Lane::ALL.into_iter().map(|lane| LaneKey { provider: provider.clone(), lane })
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// A quorum queue that refuses what it cannot keep.
fn kept() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(OTHER_DELIVERIES));
    arguments
}

/// A quorum queue that hands on to `exchange`, at least once, what it may not keep.
fn handed_to(exchange: &str, deliveries: i32) -> FieldTable {
    let mut arguments = kept();
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(deliveries));
    arguments.insert("x-dead-letter-exchange".into(), text(exchange));
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments
}

async fn exchange(channel: &Channel, name: &str, kind: ExchangeKind, arguments: FieldTable) -> Result<(), OpenError> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let declared =
        answered(channel, "exchange.declare", channel.exchange_declare(name.into(), kind, options, arguments));
    declared.await.map_err(|error| differs("exchange", name, error))
}

async fn queue(channel: &Channel, name: &str, arguments: FieldTable) -> Result<(), OpenError> {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let declared = answered(channel, "queue.declare", channel.queue_declare(name.into(), options, arguments));
    declared.await.map(|_| ()).map_err(|error| differs("queue", name, error))
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> Result<(), OpenError> {
    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
    let bound = channel.queue_bind(queue.into(), exchange.into(), key.into(), options, arguments);
    answered(channel, "queue.bind", bound).await.map_err(|error| differs("binding of queue", queue, error))
}

/// What a broker refuses for its arguments, its owner or a permission is a matter for the operator; anything else, a
/// broker that is going down or a queue without a leader, may pass.
fn differs(what: &'static str, name: &str, error: CallError) -> OpenError {
    if let CallError::Failed(error) = &error
        && let ErrorKind::ProtocolError(refusal) = error.kind()
        && is_for_the_operator(refusal.kind())
    {
        return OpenError::Topology { what, name: name.to_owned(), refusal: refusal.get_message().to_string() };
    }
    BrokerError::from(error).into()
}

fn is_for_the_operator(refusal: &AMQPErrorKind) -> bool {
    use AMQPSoftError::{ACCESSREFUSED, PRECONDITIONFAILED, RESOURCELOCKED};
    match refusal {
        AMQPErrorKind::Soft(error) => matches!(error, PRECONDITIONFAILED | ACCESSREFUSED | RESOURCELOCKED),
        AMQPErrorKind::Hard(error) => matches!(error, AMQPHardError::NOTALLOWED),
    }
}

#[cfg(test)]
mod tests {
    use lapin::protocol::AMQPError;

    use super::*;

    #[test]
    fn a_broker_that_goes_down_is_no_matter_for_the_operator() {
        let check = |kind: AMQPErrorKind, expected: bool| {
            let error = CallError::Failed(ErrorKind::ProtocolError(AMQPError::new(kind, "why".into())).into());
            let is_topology = matches!(differs("queue", "q", error), OpenError::Topology { .. });
            assert_eq!(is_topology, expected);
        };
        check(AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED), true);
        check(AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED), true);
        check(AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND), false);
        check(AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED), false);
        check(AMQPErrorKind::Hard(AMQPHardError::INTERNALERROR), false);
    }

    #[test]
    fn each_rung_is_twice_the_one_before() {
        assert!(RUNGS.windows(2).all(|pair| pair[1] == 2 * pair[0]));
    }

    #[test]
    fn names_are_those_of_the_contract() {
        let names = Names::new("dismiss");
        let provider = ProviderName::parse("volcengine").unwrap();
        let lane = lanes_of(&provider).next().unwrap();
        assert_eq!(names.jobs(), "dismiss.jobs");
        assert_eq!(names.lane(&lane), "dismiss.jobs.volcengine.urgent");
        assert_eq!(names.retry(&lane), "dismiss.jobs.volcengine.urgent.retry");
        assert_eq!(names.wait(500), "dismiss.wait.500");
        assert_eq!(names.lead(&provider), "dismiss.lead.volcengine");
    }
}
