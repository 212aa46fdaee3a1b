//! Headers nested as deep as a frame allows, written by hand: an AMQP library would overflow its own stack over them.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::edges_rig::{Rig, VOLCENGINE, job};

const BROKER: ([u8; 4], u16) = ([127, 0, 0, 1], 5672);
/// Five bytes each: what fits into a head of 128 KiB.
const DEEP: usize = 26_000;

fn short(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).expect("short").to_be_bytes(), bytes].concat()
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    [&[kind][..], &channel.to_be_bytes(), &long(payload), &[0xce]].concat()
}

/// A method by class and number, with its arguments.
fn method(channel: u16, class: u16, number: u16, arguments: &[u8]) -> Vec<u8> {
    frame(1, channel, &[&class.to_be_bytes(), &number.to_be_bytes(), arguments].concat())
}

/// A table whose one entry is a list within a list within a list.
fn nested() -> Vec<u8> {
    let lists = (0..DEEP).rev().map(|inner| u32::try_from(5 * inner + 1).expect("fits"));
    let lists: Vec<u8> = lists.flat_map(|size| [&b"A"[..], &size.to_be_bytes()].concat()).collect();
    long(&[&short("a"), &lists[..], b"V"].concat())
}

/// The next frame; its payload.
async fn answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = [0; 7];
    stream.read_exact(&mut head).await.expect("a frame");
    let size = u32::from_be_bytes(head[3..].try_into().expect("four bytes"));
    let mut payload = vec![0; size as usize + 1];
    stream.read_exact(&mut payload).await.expect("a payload");
    payload
}

/// Publishes to a queue, and waits for the confirm.
async fn publish(queue: &str, body: &[u8], headers: &[u8]) {
    let mut stream = TcpStream::connect(SocketAddr::from(BROKER)).await.expect("a broker");
    let empty = long(b"");
    let tune = [&[0, 9][..], &131_072_u32.to_be_bytes(), &[0, 0]].concat();
    let start = [&empty[..], &short("PLAIN"), &long(b"\0guest\0guest"), &short("en_US")].concat();
    let content = [&[0, 60, 0, 0][..], &(body.len() as u64).to_be_bytes(), &[0x20, 0], headers].concat();
    let steps = [
        b"AMQP\0\0\x09\x01".to_vec(),
        method(0, 10, 11, &start),
        [method(0, 10, 31, &tune), method(0, 10, 40, &[&short("/")[..], &[0, 0]].concat())].concat(),
        method(1, 20, 10, &[0]),
        method(1, 85, 10, &[0]),
        [
            method(1, 60, 40, &[&[0, 0][..], &short(""), &short(queue), &[0]].concat()),
            frame(2, 1, &content),
            frame(3, 1, body),
        ]
        .concat(),
    ];
    for step in steps {
        stream.write_all(&step).await.expect("sent");
        let answer = answer(&mut stream).await;
        assert_ne!(answer[..4], [0, 10, 0, 50], "the broker closes: {}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn headers_nested_without_end_end_no_worker() {
    let rig = Rig::start(VOLCENGINE).await;
    let id = rig.worker.id();
    publish(&rig.namespace.of("jobs"), &job("volcengine", "deep"), &nested()).await;
    rig.rooms("volcengine", &["after"]).await;
    let results = rig.results_by_room(2).await;
    assert!(results.values().all(|result| result["outcome"] == "dismissed"), "{results:?}");
    assert!(std::fs::exists(format!("/proc/{id}/exe")).expect("our own child"), "it is the same process still");
    rig.is_empty().await;
}
