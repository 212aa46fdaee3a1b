//! A TCP relay that keeps all that passes: what went over the wire is what must not be found elsewhere.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is done to the bytes that a client sends.
type Change = fn(Vec<u8>) -> Vec<u8>;

pub struct Relay {
    pub address: SocketAddr,
    passed: Arc<Mutex<Vec<u8>>>,
    listener: JoinHandle<()>,
}

impl Relay {
    pub async fn start(server: SocketAddr, change: Change) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let passed = Arc::default();
        let listener = tokio::spawn(accept(listener, server, change, Arc::clone(&passed)));
        Self { address, passed, listener }
    }

    /// The values of a header, in requests and answers, each once.
    pub fn header(&self, name: &str) -> Vec<String> {
        let passed = String::from_utf8_lossy(&self.passed.lock().expect("no panic")).into_owned();
        let lines = passed.lines().filter_map(|line| line.split_once(": "));
        let mut values: Vec<String> =
            lines.filter(|(each, _)| each.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect();
        values.sort();
        values.dedup();
        values
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, change: Change, passed: Arc<Mutex<Vec<u8>>>) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(server).await else { continue };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::spawn(carry(from_client, to_server, change, passed.clone()));
        tokio::spawn(carry(from_server, to_client, |bytes| bytes, passed.clone()));
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, change: Change, passed: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let bytes = buffer[..length].to_vec();
        passed.lock().expect("no panic").extend_from_slice(&bytes);
        if to.write_all(&change(bytes)).await.is_err() {
            return;
        }
    }
}

/// Lets a client in whose user is `canary`: its answer to the broker's greeting becomes that of `guest`.
pub fn as_guest(bytes: Vec<u8>) -> Vec<u8> {
    const GUEST: &[u8] = b"\0guest\0guest";
    let Some(at) = bytes.windows(8).position(|window| window == b"\0canary\0") else { return bytes };
    // A frame: type, channel, size; within it, the answer behind its length.
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let frame = bytes[..at].windows(3).rposition(|window| window == [1, 0, 0]).expect("a frame of the channel 0");
    let (size, length) = (number(frame + 3), number(at - 4));
    let (end, guest) = (at + length as usize, u32::try_from(GUEST.len()).expect("short"));
    let size = (size - length + guest).to_be_bytes();
    [&bytes[..frame + 3], &size, &bytes[frame + 7..at - 4], &guest.to_be_bytes(), GUEST, &bytes[end..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_users_answer_becomes_that_of_guest() {
        let frame = |answer: &[u8]| {
            let length = u32::try_from(answer.len()).unwrap();
            let body = [b"\0\x0a\0\x0b....\x05PLAIN", &length.to_be_bytes()[..], answer, b"\x05en_US"].concat();
            let size = u32::try_from(body.len()).unwrap();
            [&b"\x01\0\0"[..], &size.to_be_bytes(), &body, &[0xce]].concat()
        };
        assert_eq!(as_guest(frame(b"\0canary\0secret of some length")), frame(b"\0guest\0guest"));
        assert_eq!(as_guest(b"AMQP\0\0\x09\x01".to_vec()), b"AMQP\0\0\x09\x01");
    }
}
