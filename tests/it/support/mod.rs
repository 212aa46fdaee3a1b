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
pub mod sandbox;
pub mod schema;
pub mod stage;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// An address on loopback that nobody listens on just now.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("bound")
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
    fn a_free_address_can_be_bound() {
        TcpListener::bind(free_address()).unwrap();
    }
}
