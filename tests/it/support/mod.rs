//! What the tests stand on.

pub mod amqp;
pub mod browser;
pub mod cluster;
pub mod database;
pub mod http;
pub mod netns;
pub mod node;
pub mod process;
pub mod proxy;
pub mod rabbit;
pub mod raw;
pub mod sandbox;
pub mod schema;
pub mod stage;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Below the ports that the kernel gives to those who name none: one of those may be the near end of any connection before
/// it is listened on, even of one that is tried to itself while its broker is away.
const PORTS: Range<u32> = 10_240..32_768;

/// An address on loopback that nobody listens on, and that nobody else is given.
pub fn free_address() -> SocketAddr {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Another process begins elsewhere.
    let first = std::process::id().wrapping_mul(1_543);
    let mut ports = (0..PORTS.len()).map(|_| {
        let nth = first.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % PORTS.len() as u32;
        SocketAddr::from((Ipv4Addr::LOCALHOST, (PORTS.start + nth) as u16))
    });
    ports.find(|address| TcpListener::bind(address).is_ok()).expect("a free port")
}

/// Asks `probe` again and again until it gives an answer; panics with `what` once `within` is over.
#[track_caller]
pub fn eventually<T, F>(what: &str, within: Duration, mut probe: impl FnMut() -> F) -> impl Future<Output = T>
where
    F: Future<Output = Option<T>>,
{
    let caller = std::panic::Location::caller();
    async move {
        let end = Instant::now() + within;
        loop {
            if let Some(answer) = probe().await {
                return answer;
            }
            assert!(Instant::now() < end, "{caller}: not within {within:?}: {what}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn eventually_asks_until_there_is_an_answer() {
        let mut asked = 0;
        let answer = eventually("the third time", Duration::from_secs(5), || {
            asked += 1;
            std::future::ready((asked == 3).then_some(asked))
        });
        assert_eq!(answer.await, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "not within 30ms: a miracle")]
    async fn eventually_gives_up() {
        eventually("a miracle", Duration::from_millis(30), || std::future::ready(None::<()>)).await;
    }

    #[test]
    fn a_free_address_can_be_bound_and_is_nobody_elses() {
        let (one, other) = (free_address(), free_address());
        assert_ne!(one, other);
        TcpListener::bind(one).unwrap();
    }
}
