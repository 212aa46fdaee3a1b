//! What becomes of a job that the queue gave up.

use async_trait::async_trait;
use jiff::Timestamp;

use super::*;
use crate::pipeline::books::Books;
use crate::ports::broker::{BrokerError, JobTime, Message, QueueLimit, Receipt};
use crate::ports::clock::Clock;
use crate::ports::meter::Meter;

struct Nothing;

#[async_trait]
impl Receipt for Nothing {
    async fn settle(&mut self, _: &Message, _: &Settlement) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn defer(&mut self, _: &Message, _: &LaneKey, _: JobTime) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn forward(&mut self, _: &Message, _: &LaneKey) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn release(self: Box<Self>) -> Result<(), BrokerError> {
        Ok(())
    }
}

fn common() -> Common {
    Common {
        clock: Clock::starting_at(Timestamp::UNIX_EPOCH),
        meter: Meter::new("test"),
        worker: "w".into(),
        providers: [].into(),
        jitter: || 1.0,
        books: Books::default(),
        limbo: Default::default(),
    }
}

fn delivery(ended: Option<QueueEnding>) -> Delivery {
    let message = Message {
        body: br#"{"provider":"p","app_id":"a","room_id":"r"}"#.as_slice().into(),
        message_id: Some("one".into()),
        correlation_id: None,
        reply_to: None,
        traceparent: None,
        progress: Some(Progress::received(Timestamp::UNIX_EPOCH)),
        ended,
        unreadable: None,
    };
    Delivery::new(message, None, Box::new(Nothing))
}

fn job(common: &Common) -> Job {
    match receive(delivery(None), common) {
        Received::Job(job) => *job,
        Received::Over(_) | Received::InHand(_) => panic!("a job"),
    }
}

fn given_up(common: &Common) -> Over {
    match receive(delivery(Some(QueueEnding::DeliveryLimit)), common) {
        Received::Over(over) => *over,
        Received::Job(_) | Received::InHand(_) => panic!("it is over"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_its_provider_accepted_ends_dismissed_although_the_queue_gave_it_up() {
    let common = common();
    assert_eq!(given_up(&common).settlement.result.outcome, Outcome::Exhausted);
    let job = job(&common);
    let dismissed = job.settlement(&common, Outcome::Dismissed, None);
    common.limbo.remember(&Mark::of(&job), Decision::Settle(Box::new(dismissed)), common.clock.elapsed());
    for _ in 0..2 {
        let over = given_up(&common);
        assert_eq!(over.settlement.result.outcome, Outcome::Dismissed, "it is known until it is told");
    }
    common.limbo.forget(&given_up(&common).decided.unwrap());
    assert_eq!(given_up(&common).settlement.result.outcome, Outcome::Exhausted);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_on_the_wire_is_not_ended_by_its_copy() {
    let common = common();
    let hold = common.limbo.take_off(Mark::of(&job(&common)));
    let received = receive(delivery(Some(QueueEnding::DeliveryLimit)), &common);
    assert!(matches!(received, Received::InHand(_)));
    drop(hold);
    assert_eq!(given_up(&common).settlement.result.outcome, Outcome::Exhausted);
}

#[test]
fn a_limit_of_a_queue_ends_no_job() {
    let check = |ended: QueueEnding, expected: Option<Outcome>| {
        assert_eq!(ending(&ended).map(|(outcome, _)| outcome), expected, "{ended:?}");
    };
    check(QueueEnding::DeliveryLimit, Some(Outcome::Exhausted));
    check(QueueEnding::Expiration, Some(Outcome::Expired));
    for limit in [QueueLimit::Time, QueueLimit::Length] {
        check(QueueEnding::Evicted { queue: "dismiss.jobs".to_owned(), limit }, None);
    }
}
