//! What a message means, by what went before it on its channel.

use std::collections::{BTreeMap, HashMap};

use amq_protocol::protocol::{AMQPClass, basic, channel, confirm, connection, exchange, queue};

use super::frames::Unit;
use super::{Call, Message, Point, Queue};

/// What was said on one connection, as far as it is needed to read the rest.
#[derive(Default)]
pub struct Trail {
    channels: HashMap<u16, Said>,
}

#[derive(Default)]
struct Said {
    /// The last queue that was asked for is to be there already.
    is_passive: bool,
    consumed: Option<Queue>,
    consumer: Option<String>,
    published: u64,
    unconfirmed: BTreeMap<u64, Message>,
}

impl Trail {
    /// Reads what the client says.
    pub fn client_says(&mut self, unit: &Unit) -> Option<Point> {
        let said = self.channels.entry(unit.channel).or_default();
        if let Some(AMQPClass::Queue(queue::AMQPMethod::Declare(declare))) = &unit.method {
            said.is_passive = declare.passive;
        }
        let Some(AMQPClass::Basic(method)) = &unit.method else { return None };
        match method {
            basic::AMQPMethod::Consume(consume) => {
                said.consumed = Some(queue_of(consume.queue.as_str()));
                None
            }
            basic::AMQPMethod::Publish(publish) => {
                let letter = letter_to(publish.exchange.as_str());
                said.published += 1;
                said.unconfirmed.insert(said.published, letter);
                Some(Point::Published(letter))
            }
            basic::AMQPMethod::Ack(_) | basic::AMQPMethod::Nack(_) => said.consumed.map(Point::Acked),
            _ => None,
        }
    }

    /// Reads what the broker says.
    pub fn server_says(&mut self, unit: &Unit) -> Option<Point> {
        let said = self.channels.entry(unit.channel).or_default();
        match unit.method.as_ref()? {
            AMQPClass::Connection(connection::AMQPMethod::OpenOk(_)) => Some(Point::Opened),
            AMQPClass::Queue(queue::AMQPMethod::DeclareOk(declared)) => Some(match queue_of(declared.queue.as_str()) {
                Queue::Lead => Point::Led,
                _ if said.is_passive => Point::Answered(Call::Count),
                _ => Point::Answered(Call::Queue),
            }),
            AMQPClass::Channel(channel::AMQPMethod::OpenOk(_)) => Some(Point::Answered(Call::Channel)),
            AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(_)) => Some(Point::Answered(Call::Exchange)),
            AMQPClass::Queue(queue::AMQPMethod::BindOk(_)) => Some(Point::Answered(Call::Binding)),
            AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(_)) => Some(Point::Answered(Call::Confirms)),
            AMQPClass::Basic(basic::AMQPMethod::QosOk(_)) => Some(Point::Answered(Call::Prefetch)),
            AMQPClass::Basic(basic::AMQPMethod::CancelOk(_)) => Some(Point::Answered(Call::Cancel)),
            AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(started)) => {
                said.consumer = Some(started.consumer_tag.to_string());
                said.consumed.map(Point::Consuming)
            }
            AMQPClass::Basic(basic::AMQPMethod::Deliver(_)) => said.consumed.map(Point::Delivered),
            AMQPClass::Basic(basic::AMQPMethod::Ack(ack)) => {
                let letter = said.unconfirmed.remove(&ack.delivery_tag);
                if ack.multiple {
                    said.unconfirmed.retain(|tag, _| *tag > ack.delivery_tag);
                }
                letter.map(Point::Confirmed)
            }
            _ => None,
        }
    }

    /// The consumer on a channel.
    pub fn consumer(&self, channel: u16) -> Option<String> {
        self.channels.get(&channel)?.consumer.clone()
    }

    /// A channel is closed; the next one of this number starts afresh.
    pub fn closed(&mut self, channel: u16) {
        self.channels.remove(&channel);
    }
}

fn letter_to(exchange: &str) -> Message {
    match exchange.split('.').nth(1) {
        Some("results") => Message::Result,
        Some("dead") => Message::DeadLetter,
        Some("wait") => Message::Deferral,
        Some("jobs") => Message::Job,
        _ => Message::Other,
    }
}

fn queue_of(name: &str) -> Queue {
    let parts: Vec<&str> = name.split('.').collect();
    match parts[1..] {
        ["jobs"] => Queue::Intake,
        ["jobs", _, _] => Queue::Lane,
        ["jobs", _, _, "retry"] => Queue::Retry,
        ["lead", _] => Queue::Lead,
        _ => Queue::Other,
    }
}
