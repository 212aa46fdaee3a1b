//! A bad network between two processes: a TCP proxy that delays, stalls and cuts on demand.
//!
//! Bytes are never lost, doubled or reordered; what is held is let go in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Which of the two ways of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ToServer,
    ToClient,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Running,
    Stalled,
}

#[derive(Debug, Clone, Copy)]
struct Lane {
    delay: Duration,
    flow: Flow,
}

impl Lane {
    /// What a new proxy does: nothing.
    fn open() -> watch::Sender<Lane> {
        watch::Sender::new(Lane { delay: Duration::ZERO, flow: Flow::Running })
    }
}

struct Switches {
    to_server: watch::Sender<Lane>,
    to_client: watch::Sender<Lane>,
    /// Counts the cuts; a connection ends when it changes.
    cuts: watch::Sender<u64>,
}

impl Switches {
    fn of(&self, way: Way) -> &watch::Sender<Lane> {
        match way {
            Way::ToServer => &self.to_server,
            Way::ToClient => &self.to_client,
        }
    }
}

/// Listens on a port of its own for as long as it lives.
pub struct Proxy {
    pub address: SocketAddr,
    switches: Arc<Switches>,
    listener: JoinHandle<()>,
}

impl Proxy {
    /// Passes everything on to `server` as it comes.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let switches =
            Arc::new(Switches { to_server: Lane::open(), to_client: Lane::open(), cuts: watch::Sender::new(0) });
        let listener = tokio::spawn(accept(listener, server, switches.clone()));
        Self { address, switches, listener }
    }

    /// From now on every byte takes at least so long that way.
    pub fn delay(&self, way: Way, delay: Duration) {
        self.switches.of(way).send_modify(|lane| lane.delay = delay);
    }

    /// Holds every byte that way, the end of the connection too, until [`Proxy::resume`].
    pub fn stall(&self, way: Way) {
        self.switches.of(way).send_modify(|lane| lane.flow = Flow::Stalled);
    }

    /// Lets go of what was held, in order and at once.
    pub fn resume(&self, way: Way) {
        self.switches.of(way).send_modify(|lane| lane.flow = Flow::Running);
    }

    /// Ends every connection there is, held bytes lost with it; new ones pass.
    pub fn cut(&self) {
        self.switches.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, switches: Arc<Switches>) {
    while let Ok((client, _)) = listener.accept().await {
        let switches = switches.clone();
        tokio::spawn(async move {
            let mut cuts = switches.cuts.subscribe();
            tokio::select! {
                _ = cuts.changed() => {}
                _ = connection(client, server, &switches) => {}
            }
        });
    }
}

async fn connection(client: TcpStream, server: SocketAddr, switches: &Switches) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::try_join!(
        carry(from_client, to_server, switches.to_server.subscribe()),
        carry(from_server, to_client, switches.to_client.subscribe()),
    )?;
    Ok(())
}

/// Reading goes on while bytes are held, so that the sender never notices.
async fn carry(from: OwnedReadHalf, to: OwnedWriteHalf, lane: watch::Receiver<Lane>) -> io::Result<()> {
    let (held, holding) = mpsc::unbounded_channel();
    tokio::try_join!(take_in(from, held, lane.clone()), let_out(holding, to, lane))?;
    Ok(())
}

/// Bytes, and when they may go on; none at the end of the stream.
type Chunk = (Instant, Vec<u8>);

async fn take_in(
    mut from: OwnedReadHalf,
    held: mpsc::UnboundedSender<Chunk>,
    lane: watch::Receiver<Lane>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        let due = Instant::now() + lane.borrow().delay;
        if held.send((due, buffer[..length].to_vec())).is_err() || length == 0 {
            return Ok(());
        }
    }
}

async fn let_out(
    mut holding: mpsc::UnboundedReceiver<Chunk>,
    mut to: OwnedWriteHalf,
    mut lane: watch::Receiver<Lane>,
) -> io::Result<()> {
    while let Some((due, bytes)) = holding.recv().await {
        sleep_until(due).await;
        if lane.wait_for(|lane| lane.flow == Flow::Running).await.is_err() {
            break;
        }
        if bytes.is_empty() {
            return to.shutdown().await;
        }
        to.write_all(&bytes).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);
    const NOT_YET: Duration = Duration::from_millis(60);

    /// A server that says back what it hears, behind a proxy, and a client of it.
    async fn echo() -> (Proxy, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        let proxy = Proxy::start(server).await;
        let client = TcpStream::connect(proxy.address).await.unwrap();
        (proxy, client)
    }

    async fn hear(client: &mut TcpStream, expected: &str) {
        let mut heard = vec![0; expected.len()];
        timeout(SOON, client.read_exact(&mut heard)).await.expect("in time").expect("a whole answer");
        assert_eq!(String::from_utf8(heard).unwrap(), expected);
    }

    async fn hears_nothing(client: &mut TcpStream) {
        let mut byte = [0];
        assert!(timeout(NOT_YET, client.read(&mut byte)).await.is_err(), "a byte or the end came through");
    }

    #[tokio::test]
    async fn bytes_and_the_end_of_the_stream_pass() {
        let (_proxy, mut client) = echo().await;
        let long = "0123456789".repeat(100_000);
        let (mut from, mut to) = client.split();
        let mut heard = String::new();
        let say = async {
            to.write_all(long.as_bytes()).await.unwrap();
            to.shutdown().await.unwrap();
        };
        let (_, heard_all) = tokio::join!(say, timeout(SOON, from.read_to_string(&mut heard)));
        heard_all.expect("in time").unwrap();
        assert_eq!(heard.len(), long.len());
        assert!(heard == long, "bytes changed on the way");
    }

    #[tokio::test]
    async fn each_way_takes_its_delay_and_it_changes_while_running() {
        let (proxy, mut client) = echo().await;
        let there = Duration::from_millis(40);
        let back = Duration::from_millis(80);
        proxy.delay(Way::ToServer, there);
        proxy.delay(Way::ToClient, back);
        let begin = Instant::now();
        client.write_all(b"a").await.unwrap();
        hear(&mut client, "a").await;
        assert!(begin.elapsed() >= there + back, "{:?}", begin.elapsed());

        proxy.delay(Way::ToServer, Duration::ZERO);
        proxy.delay(Way::ToClient, Duration::ZERO);
        let begin = Instant::now();
        client.write_all(b"b").await.unwrap();
        hear(&mut client, "b").await;
        assert!(begin.elapsed() < there, "{:?}", begin.elapsed());
    }

    #[tokio::test]
    async fn a_stall_holds_bytes_and_lets_them_go_in_order() {
        for way in [Way::ToServer, Way::ToClient] {
            let (proxy, mut client) = echo().await;
            proxy.stall(way);
            for word in ["one ", "two ", "three"] {
                client.write_all(word.as_bytes()).await.unwrap();
                hears_nothing(&mut client).await;
            }
            client.shutdown().await.unwrap();
            hears_nothing(&mut client).await;
            proxy.resume(way);
            hear(&mut client, "one two three").await;
            assert_eq!(timeout(SOON, client.read(&mut [0])).await.expect("in time").unwrap(), 0, "the end came last");
        }
    }

    #[tokio::test]
    async fn a_cut_ends_connections_and_new_ones_pass() {
        let (proxy, mut client) = echo().await;
        client.write_all(b"a").await.unwrap();
        hear(&mut client, "a").await;
        proxy.cut();
        let ended = timeout(SOON, client.read(&mut [0])).await.expect("in time");
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
        let mut client = TcpStream::connect(proxy.address).await.unwrap();
        client.write_all(b"b").await.unwrap();
        hear(&mut client, "b").await;
    }

    #[tokio::test]
    async fn a_dropped_proxy_is_gone() {
        let (proxy, mut client) = echo().await;
        client.write_all(b"a").await.unwrap();
        hear(&mut client, "a").await;
        let address = proxy.address;
        drop(proxy);
        let ended = timeout(SOON, client.read(&mut [0])).await.expect("in time");
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
        assert!(timeout(SOON, TcpStream::connect(address)).await.expect("in time").is_err());
    }
}
