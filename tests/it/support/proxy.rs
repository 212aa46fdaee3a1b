//! A bad network between two processes: a TCP proxy that delays, stalls and cuts on demand.
//!
//! Bytes are never lost, doubled or reordered; what is held is let go in order.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// So few connections stand before a narrow door that is shut.
const NARROW: u32 = 2;

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

/// Whether new connections come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    Shut,
}

struct Switches {
    door: watch::Sender<Door>,
    /// Bytes that came in, by way.
    heard: [AtomicU64; 2],
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
        Self::start_on(Ipv4Addr::LOCALHOST, server).await
    }

    /// The same for those who reach it at this address.
    pub async fn start_on(host: Ipv4Addr, server: SocketAddr) -> Self {
        Self::listen(host, server, 1024)
    }

    /// One whose door, while it is [`shut`](Proxy::shut), leaves handshakes unanswered.
    pub fn narrow(server: SocketAddr) -> Self {
        Self::listen(Ipv4Addr::LOCALHOST, server, NARROW)
    }

    fn listen(host: Ipv4Addr, server: SocketAddr, backlog: u32) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((host, 0).into()).expect("a free port");
        let listener = socket.listen(backlog).expect("a listener");
        let address = listener.local_addr().expect("bound");
        let switches = Arc::new(Switches {
            door: watch::Sender::new(Door::Open),
            heard: Default::default(),
            to_server: Lane::open(),
            to_client: Lane::open(),
            cuts: watch::Sender::new(0),
        });
        let listener = tokio::spawn(accept(listener, server, switches.clone()));
        Self { address, switches, listener }
    }

    /// How many bytes have come in to go that way, since it was started.
    pub fn heard(&self, way: Way) -> u64 {
        self.switches.heard[way as usize].load(Ordering::Relaxed)
    }

    /// From now on new connections wait; those beyond the listener's backlog, for the answer to their handshake.
    pub fn shut(&self) {
        self.switches.door.send_replace(Door::Shut);
    }

    /// Lets in who waits, and whose handshake tries again.
    pub fn open(&self) {
        self.switches.door.send_replace(Door::Open);
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
    let mut door = switches.door.subscribe();
    loop {
        let _open = door.wait_for(|door| *door == Door::Open).await.is_ok();
        let client = tokio::select! {
            _ = door.changed() => continue,
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => client,
                Err(_) => return,
            }
        };
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
        carry(from_client, to_server, switches, Way::ToServer),
        carry(from_server, to_client, switches, Way::ToClient),
    )?;
    Ok(())
}

/// Reading goes on while bytes are held, so that the sender never notices.
async fn carry(from: OwnedReadHalf, to: OwnedWriteHalf, switches: &Switches, way: Way) -> io::Result<()> {
    let (held, holding) = mpsc::unbounded_channel();
    let lane = switches.of(way).subscribe();
    tokio::try_join!(take_in(from, held, lane.clone(), &switches.heard[way as usize]), let_out(holding, to, lane))?;
    Ok(())
}

/// Bytes, and when they may go on; none at the end of the stream.
type Chunk = (Instant, Vec<u8>);

async fn take_in(
    mut from: OwnedReadHalf,
    held: mpsc::UnboundedSender<Chunk>,
    lane: watch::Receiver<Lane>,
    heard: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        heard.fetch_add(length as u64, Ordering::Relaxed);
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
        let server = echoing().await;
        let proxy = Proxy::start(server).await;
        let client = TcpStream::connect(proxy.address).await.unwrap();
        (proxy, client)
    }

    async fn echoing() -> SocketAddr {
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
        server
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
    async fn bytes_are_counted_each_way_once() {
        let (proxy, mut client) = echo().await;
        client.write_all(b"abc").await.unwrap();
        hear(&mut client, "abc").await;
        assert_eq!((proxy.heard(Way::ToServer), proxy.heard(Way::ToClient)), (3, 3));
    }

    #[tokio::test]
    async fn before_a_shut_door_a_handshake_waits_until_it_is_opened() {
        let proxy = Proxy::narrow(echoing().await);
        let mut inside = TcpStream::connect(proxy.address).await.unwrap();
        inside.write_all(b"a").await.unwrap();
        hear(&mut inside, "a").await;
        proxy.shut();
        let address = proxy.address;
        let knocking = (0..20).map(|_| tokio::spawn(TcpStream::connect(address))).collect::<Vec<_>>();
        inside.write_all(b"a").await.unwrap();
        hear(&mut inside, "a").await;
        tokio::time::sleep(NOT_YET).await;
        let waiting = knocking.iter().filter(|knock| !knock.is_finished()).count();
        assert!(waiting > 0, "all came in");
        proxy.open();
        for knock in knocking {
            timeout(SOON, knock).await.expect("in time").unwrap().expect("let in");
        }
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
