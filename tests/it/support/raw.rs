//! A client of the broker that writes and reads frames by hand: what no AMQP library says or understands.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const BROKER: ([u8; 4], u16) = ([127, 0, 0, 1], 5672);
const FRAME_MAX: u32 = 131_072;
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// What a property list may have within one frame.
pub const MOST: usize = FRAME_MAX as usize - 8 - 12;

pub fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).expect("short")], text].concat()
}

pub fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).expect("short").to_be_bytes(), bytes].concat()
}

/// A property list with one property, by its place among all of them.
pub fn property(place: u32, bytes: &[u8]) -> Vec<u8> {
    [&(1_u16 << (15 - place)).to_be_bytes()[..], bytes].concat()
}

/// A property list with headers only.
pub fn headers(entries: &[u8]) -> Vec<u8> {
    property(2, &long(entries))
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    [&[kind][..], &channel.to_be_bytes(), &long(payload), &[0xce]].concat()
}

/// A method by class and number, with its arguments.
fn method(channel: u16, class: u16, number: u16, arguments: &[u8]) -> Vec<u8> {
    frame(1, channel, &[&class.to_be_bytes(), &number.to_be_bytes(), arguments].concat())
}

/// A message as the broker handed it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    pub list: Vec<u8>,
    pub body: Vec<u8>,
}

impl Raw {
    /// Whether those bytes stand among the properties.
    pub fn has(&self, bytes: &[u8]) -> bool {
        self.list.windows(bytes.len()).any(|window| window == bytes)
    }
}

/// One connection with one channel, which confirms.
pub struct RawClient(TcpStream);

impl RawClient {
    pub async fn connect() -> Self {
        let mut client = Self(TcpStream::connect(SocketAddr::from(BROKER)).await.expect("a broker"));
        let start = [&long(b"")[..], &short(b"PLAIN"), &long(b"\0guest\0guest"), &short(b"en_US")].concat();
        let tune = [&[0, 9][..], &FRAME_MAX.to_be_bytes(), &[0, 0]].concat();
        client.ask(b"AMQP\0\0\x09\x01".to_vec()).await;
        client.ask(method(0, 10, 11, &start)).await;
        let open = method(0, 10, 40, &[&short(b"/")[..], &[0, 0]].concat());
        client.ask([method(0, 10, 31, &tune), open].concat()).await;
        client.ask(method(1, 20, 10, &[0])).await;
        client.ask(method(1, 85, 10, &[0])).await;
        client
    }

    /// Publishes, and waits for the confirm.
    pub async fn publish(&mut self, exchange: &str, key: &[u8], list: &[u8], body: &[u8]) {
        let content = [&[0, 60, 0, 0][..], &(body.len() as u64).to_be_bytes(), list].concat();
        let publish = [&[0, 0][..], &short(exchange.as_bytes()), &short(key), &[0]].concat();
        let answer = self.ask([method(1, 60, 40, &publish), frame(2, 1, &content), frame(3, 1, body)].concat()).await;
        assert_eq!(answer[..4], [0, 60, 0, 80], "confirmed: {}", String::from_utf8_lossy(&answer));
    }

    /// Takes a message, for good; None where the queue is empty.
    pub async fn take(&mut self, queue: &str) -> Option<Raw> {
        let get = [&[0, 0][..], &short(queue.as_bytes()), &[1]].concat();
        if self.ask(method(1, 60, 70, &get)).await[..4] == [0, 60, 0, 72] {
            return None;
        }
        let content = self.answer().await;
        let size = u64::from_be_bytes(content[4..12].try_into().expect("eight bytes"));
        let mut body = Vec::new();
        while (body.len() as u64) < size {
            body.extend(self.answer().await);
        }
        Some(Raw { list: content[12..].to_vec(), body })
    }

    async fn ask(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        self.0.write_all(&bytes).await.expect("sent");
        let answer = self.answer().await;
        assert_ne!(answer[..4], [0, 10, 0, 50], "the broker closes: {}", String::from_utf8_lossy(&answer));
        answer
    }

    /// The payload of the next frame.
    async fn answer(&mut self) -> Vec<u8> {
        let reading = async {
            let mut head = [0; 7];
            self.0.read_exact(&mut head).await.expect("a frame");
            let size = u32::from_be_bytes(head[3..].try_into().expect("four bytes"));
            let mut payload = vec![0; size as usize + 1];
            self.0.read_exact(&mut payload).await.expect("a payload");
            payload.pop();
            payload
        };
        timeout(ANSWER_WITHIN, reading).await.expect("an answer")
    }
}
