//! A broker that fails at an exact point: a proxy before the real RabbitMQ that reads what it passes on.
//!
//! A proxy rather than a server of our own: what the worker says is judged by the real broker, so that a scenario shows
//! what is in its queues afterwards, and nobody has to believe our idea of quorum queues, requeueing and exclusive
//! owners. What a proxy cannot do is to break a promise that the broker has kept; where it says "refused" of a message
//! that is stored, the worker publishes it again, which is what at-least-once means.
//!
//! The first message at the given [`Point`] (or the nth) meets its [`Deed`]; everything else passes untouched. Where a
//! channel, a consumer or a connection is closed, both ends are told, each in its own order.

mod frames;
mod trail;
mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Where in the life of a job or of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The broker lets the client in: its last word of the handshake.
    Opened,
    /// The broker answers another call.
    Answered(Call),
    /// The lead queue is declared for us.
    Led,
    /// A consumer is there.
    Consuming(Queue),
    /// A job arrives.
    Delivered(Queue),
    /// We publish.
    Published(Message),
    /// The broker confirms that.
    Confirmed(Message),
    /// We let a job go, or give it back.
    Acked(Queue),
}

/// What a client asks for, beside leads and consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Channel,
    Exchange,
    Queue,
    /// How much is in a queue.
    Count,
    Binding,
    Prefetch,
    Confirms,
    Cancel,
}

/// What is published, by its exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// A job on its way to its lane.
    Job,
    /// A job on its way to the wait ladder.
    Deferral,
    Result,
    DeadLetter,
    Other,
}

/// What is consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    Intake,
    Lane,
    Retry,
    Lead,
    Other,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// The connection ends, and this has not arrived.
    CutBefore,
    /// The connection ends, and this has arrived.
    CutAfter,
    /// This does not arrive, and nobody is told.
    Swallow,
    /// A confirm becomes a refusal.
    Refuse,
    /// The message comes back as one that no queue takes, and is confirmed.
    Return,
    /// The connection stands still for so long, then goes on as if nothing had been.
    Stall(Duration),
    /// Nothing passes on this connection any more, not even a heartbeat, until the client gives it up.
    Freeze,
    /// This arrives; then the broker cancels the consumer of its channel.
    CancelConsumer,
    /// This arrives; then the broker closes its channel.
    CloseChannel,
    /// This arrives; then the broker closes the connection.
    CloseConnection,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub point: Point,
    /// At the first such message, the second …
    pub nth: usize,
    pub deed: Deed,
}

/// What is still to come of a fault; shared by all connections.
struct Plan {
    fault: Fault,
    met: Mutex<usize>,
}

impl Plan {
    /// The deed that is due now that this point was met.
    fn meets(&self, point: Option<Point>) -> Option<Deed> {
        if point != Some(self.fault.point) {
            return None;
        }
        let mut met = self.met.lock().expect("nobody panics with it");
        *met += 1;
        (*met == self.fault.nth).then_some(self.fault.deed)
    }
}

/// Listens on a port of its own for as long as it lives.
pub struct FaultyBroker {
    address: SocketAddr,
    plan: Arc<Plan>,
    listener: JoinHandle<()>,
}

impl FaultyBroker {
    /// Before the real broker at `server`.
    pub async fn start(server: SocketAddr, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let plan = Arc::new(Plan { fault, met: Mutex::default() });
        let listener = tokio::spawn(accept(listener, server, plan.clone()));
        Self { address, plan, listener }
    }

    /// For `queue.url`.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address)
    }

    /// Whether the fault has happened: a scenario in which it did not proves nothing.
    pub fn has_struck(&self) -> bool {
        *self.plan.met.lock().expect("nobody panics with it") >= self.plan.fault.nth
    }
}

impl Drop for FaultyBroker {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, plan: Arc<Plan>) {
    while let Ok((client, _)) = listener.accept().await {
        let plan = plan.clone();
        tokio::spawn(async move {
            if let Ok(server) = TcpStream::connect(server).await {
                wire::carry(client, server, &plan).await;
            }
        });
    }
}
