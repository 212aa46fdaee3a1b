//! The properties of a delivery, where the client cannot read them all.

use lapin::BasicProperties;
use lapin::protocol::basic::parse_properties;
use lapin::types::AMQPValue;

use super::header::{self, ENCLOSED};

/// The properties with which a message came.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Original {
    /// As far as they can be read.
    pub readable: BasicProperties,
    /// Present where that is not all.
    pub unreadable: Option<Unreadable>,
}

/// Properties that cannot be read, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Names each property that cannot be read.
    pub fault: String,
    list: Vec<u8>,
}

impl From<BasicProperties> for Original {
    /// Opens what the stream enclosed.
    fn from(properties: BasicProperties) -> Self {
        let headers = properties.headers().as_ref();
        let list = match headers.and_then(|headers| headers.inner().get(ENCLOSED)) {
            Some(AMQPValue::ByteArray(list)) => list.as_slice().to_vec(),
            Some(_) | None => return Self { readable: properties, unreadable: None },
        };
        match header::examine(&list) {
            Some(faulty) => {
                Self { readable: parsed(&faulty.repaired), unreadable: Some(Unreadable { fault: faulty.fault, list }) }
            }
            None => Self { readable: parsed(&list), unreadable: None },
        }
    }
}

impl Unreadable {
    /// As a dead letter: all that came, without header entries of `ours`, and with the `notes`.
    pub fn kept(&self, ours: impl Fn(&str) -> bool, notes: &[(&str, String)]) -> BasicProperties {
        parsed(&header::enclose(&header::kept(&self.list, ours, notes)))
    }

    /// The bytes, without header entries of those names.
    pub fn bytes_without(&self, names: &[&str]) -> Vec<u8> {
        header::kept(&self.list, |name| names.contains(&name), &[])
    }
}

fn parsed(list: &[u8]) -> BasicProperties {
    parse_properties(list).map_or_else(|_| BasicProperties::default(), |(_, properties)| properties)
}
