//! Between bytes and messages: a method with the content that belongs to it.

use std::collections::HashMap;

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame, parse_frame};
use amq_protocol::protocol::{AMQPClass, BasicProperties, basic};

/// Type, channel and length; an end mark follows the payload.
const HEAD: usize = 7;
const PROTOCOL_HEADER: usize = 8;
const BASIC: u16 = 60;

/// A method with its content, or another frame, as it was on the wire.
pub struct Unit {
    pub channel: u16,
    /// None of a heartbeat, and of what cannot be read.
    pub method: Option<AMQPClass>,
    pub bytes: Vec<u8>,
}

/// One way of a connection.
#[derive(Default)]
pub struct Assembler {
    bytes: Vec<u8>,
    /// Methods whose content is not complete, with what is missing once that is known; by channel.
    open: HashMap<u16, (Unit, Option<u64>)>,
}

impl Assembler {
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole unit.
    pub fn take(&mut self) -> Option<Unit> {
        loop {
            let bytes = self.frame()?;
            let frame = parse_frame(bytes.as_slice()).ok().map(|(_, frame)| frame);
            if let Some(unit) = self.assemble(frame, bytes) {
                return Some(unit);
            }
        }
    }

    fn frame(&mut self) -> Option<Vec<u8>> {
        let length = if self.bytes.first() == Some(&b'A') {
            PROTOCOL_HEADER
        } else {
            let payload: [u8; 4] = self.bytes.get(3..HEAD)?.try_into().ok()?;
            HEAD + u32::from_be_bytes(payload) as usize + 1
        };
        (self.bytes.len() >= length).then(|| self.bytes.drain(..length).collect())
    }

    fn assemble(&mut self, frame: Option<AMQPFrame>, bytes: Vec<u8>) -> Option<Unit> {
        let (channel, missing) = match frame {
            Some(AMQPFrame::Method(channel, method)) => {
                let has_content = has_content(&method);
                let unit = Unit { channel, method: Some(method), bytes };
                if has_content {
                    self.open.insert(channel, (unit, None));
                    return None;
                }
                return Some(unit);
            }
            Some(AMQPFrame::Header(channel, header)) => (channel, header.body_size),
            Some(AMQPFrame::Body(channel, part)) => {
                let missing = self.open.get(&channel).and_then(|(_, missing)| *missing).unwrap_or(0);
                (channel, missing.saturating_sub(part.len() as u64))
            }
            Some(AMQPFrame::ProtocolHeader(_) | AMQPFrame::Heartbeat | AMQPFrame::InvalidHeartbeat(_)) | None => {
                return Some(Unit { channel: 0, method: None, bytes });
            }
        };
        let Some((mut unit, _)) = self.open.remove(&channel) else {
            return Some(Unit { channel, method: None, bytes });
        };
        unit.bytes.extend_from_slice(&bytes);
        if missing == 0 {
            return Some(unit);
        }
        self.open.insert(channel, (unit, Some(missing)));
        None
    }
}

fn has_content(method: &AMQPClass) -> bool {
    use basic::AMQPMethod::{Deliver, GetOk, Publish, Return};
    matches!(method, AMQPClass::Basic(Publish(_) | Return(_) | Deliver(_) | GetOk(_)))
}

/// A method as it is on the wire.
pub fn method(channel: u16, method: AMQPClass) -> Vec<u8> {
    write(&AMQPFrame::Method(channel, method))
}

/// A method with an empty content.
pub fn empty_message(channel: u16, class: AMQPClass) -> Vec<u8> {
    let header = AMQPContentHeader { class_id: BASIC, body_size: 0, properties: BasicProperties::default() };
    [method(channel, class), write(&AMQPFrame::Header(channel, header))].concat()
}

fn write(frame: &AMQPFrame) -> Vec<u8> {
    let written = gen_frame(frame)(WriteContext::from(Vec::new()));
    written.expect("a vector takes everything").into_inner().0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(exchange: &str) -> AMQPClass {
        AMQPClass::Basic(basic::AMQPMethod::Publish(basic::Publish {
            exchange: exchange.into(),
            routing_key: "key".into(),
            mandatory: true,
            immediate: false,
        }))
    }

    fn content(channel: u16, parts: &[&[u8]]) -> Vec<u8> {
        let body_size = parts.iter().map(|part| part.len() as u64).sum();
        let header = AMQPContentHeader { class_id: BASIC, body_size, properties: BasicProperties::default() };
        let bodies = parts.iter().flat_map(|part| write(&AMQPFrame::Body(channel, part.to_vec())));
        write(&AMQPFrame::Header(channel, header)).into_iter().chain(bodies).collect()
    }

    #[test]
    fn messages_are_whole_however_their_bytes_arrive() {
        let ack = AMQPClass::Basic(basic::AMQPMethod::Ack(basic::Ack { delivery_tag: 7, multiple: false }));
        // Contents of two channels, interleaved, with what has none between them.
        let stream = [
            b"AMQP\x00\x00\x09\x01".to_vec(),
            method(1, publish("a")),
            method(2, publish("b")),
            content(2, &[b"xy", b"z"]),
            write(&AMQPFrame::Heartbeat),
            content(1, &[b"1"]),
            method(3, ack.clone()),
            empty_message(4, publish("c")),
        ]
        .concat();
        for pace in [1, 5, stream.len()] {
            let mut assembler = Assembler::default();
            let mut units = Vec::new();
            for bytes in stream.chunks(pace) {
                assembler.push(bytes);
                units.extend(std::iter::from_fn(|| assembler.take()));
            }
            let methods: Vec<_> = units.iter().map(|unit| (unit.channel, unit.method.clone())).collect();
            let (a, b, c) = (Some(publish("a")), Some(publish("b")), Some(publish("c")));
            assert_eq!(methods, [(0, None), (2, b), (0, None), (1, a), (3, Some(ack.clone())), (4, c)], "{pace}");
            assert_eq!(units[1].bytes, [method(2, publish("b")), content(2, &[b"xy", b"z"])].concat());
            assert_eq!(units.iter().map(|unit| unit.bytes.len()).sum::<usize>(), stream.len());
        }
    }
}
