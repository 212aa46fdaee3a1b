//! One connection to RabbitMQ.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread;
use std::time::Duration;

use async_compat::Compat;
use futures_util::StreamExt;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, Event};
use tokio::sync::watch;

use super::call::{CallError, in_time};
use super::consuming::Doubts;
use super::{OpenError, wire};
use crate::model::secret::Secret;
use crate::ports::broker::BrokerError;
use crate::ports::fence::FlowSwitch;

/// The whole handshake must be over by then.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// A broker that does not say good-bye within so long is left.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
const HEARTBEAT: u16 = 5;
/// A broker that names no limit of its own makes the client allocate without one.
const FRAME_MAX: u32 = 131_072;

/// How to reach the broker.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `amqp://` or `amqps://`, with user and password.
    pub url: Secret,
    /// PEM file of certificates to trust beside the system's.
    pub ca: Option<String>,
    pub namespace: String,
    /// Shown in the broker's list of connections.
    pub client_name: String,
    pub on_alarm: OnAlarm,
    /// Known to all connections of a process, one after another.
    pub doubts: Doubts,
}

/// What a message waits for while the broker takes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnAlarm {
    /// The end of the alarm: its job is in hand, and there is nothing better to do with it.
    Wait,
    /// Not for long: somebody waits for an answer.
    GiveUp,
}

/// What becomes known of a connection while it is there.
#[derive(Clone, Default)]
pub struct News {
    /// Told when the connection ends, or must be given up.
    pub broken: watch::Sender<Option<BrokerError>>,
    /// Told while the broker takes nothing: an alarm of its memory or its disk.
    pub flow: FlowSwitch,
}

/// A connection that ends when it is dropped, whatever the broker does.
pub struct Link {
    connection: Connection,
    _socket: Socket,
}

impl Link {
    /// Connects; its `news` are told from then on.
    pub async fn open(settings: &Settings, purpose: &str, news: News) -> Result<Self, OpenError> {
        make_clients_runtime();
        let unreachable = |error: lapin::Error| OpenError::Unreachable(error.to_string());
        // The parser's own message would show the URL, and the password in it.
        let mut uri: AMQPUri =
            settings.url.expose().parse().map_err(|_| OpenError::Unreachable("queue.url is not an AMQP URL".into()))?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        uri.query.frame_max.get_or_insert(FRAME_MAX);
        let properties =
            ConnectionProperties::default().with_connection_name(format!("{} {purpose}", settings.client_name).into());
        let tls = OwnedTLSConfig { cert_chain: settings.ca.clone(), ..OwnedTLSConfig::default() };
        let socket = Socket::default();
        let held = socket.0.clone();
        let connecting = wire::connect(uri, properties, async move |uri, runtime| {
            let host = uri.authority.host;
            let addresses = runtime.to_socket_addrs((host.clone(), uri.authority.port));
            let stream = AsyncTcpStream::connect(&runtime, addresses).await?;
            if let AsyncTcpStream::Plain(stream) = &stream {
                hold(&held, stream.get_ref().as_fd().try_clone_to_owned()?)?;
            }
            Ok(match uri.scheme {
                AMQPScheme::AMQP => stream,
                AMQPScheme::AMQPS => stream.into_tls(&host, tls.as_ref()).await?,
            })
        });
        let connection = match tokio::time::timeout(HANDSHAKE, connecting).await {
            Ok(connection) => connection.map_err(unreachable)?,
            Err(_) => return Err(OpenError::Unreachable(format!("no answer within {HANDSHAKE:?}"))),
        };
        tokio::spawn(watch_over(connection.events_listener(), news));
        Ok(Self { connection, _socket: socket })
    }

    /// A new channel; it is closed when the last one who has it drops it.
    pub async fn channel(&self) -> Result<Channel, CallError> {
        in_time("channel.open", self.connection.create_channel()).await
    }

    /// For calls that are waited for elsewhere.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    pub fn is_open(&self) -> bool {
        self.connection.status().connected()
    }

    /// In seconds; 0 for none.
    pub fn heartbeat(&self) -> u16 {
        self.connection.configuration().heartbeat()
    }

    /// Says good-bye; a broker that is gone, or takes nothing, needs none.
    pub async fn end(&self) {
        if !self.connection.status().blocked() {
            let good_bye = self.connection.close(200, "done".into());
            let _gone = tokio::time::timeout(CLOSE_TIMEOUT, good_bye).await;
        }
    }
}

/// The socket of a connection. The client's own thread waits for a silent peer for ever, and what it could not write it
/// writes once the peer reads again: so the socket is shut down behind its back.
#[derive(Default)]
struct Socket(Arc<Mutex<Held>>);

#[derive(Default)]
enum Held {
    #[default]
    NotYet,
    Open(TcpStream),
    Shut,
}

fn hold(held: &Mutex<Held>, socket: OwnedFd) -> io::Result<()> {
    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
    match *held {
        Held::NotYet | Held::Open(_) => *held = Held::Open(socket.into()),
        Held::Shut => return Err(io::ErrorKind::ConnectionAborted.into()),
    }
    Ok(())
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Held::Open(socket) = std::mem::replace(&mut *held, Held::Shut) {
            let _closed_already = socket.shutdown(Shutdown::Both);
        }
    }
}

/// The client's threads let go of their sockets within a runtime that is made when the first of them does so. That would
/// be at the end of a connection, maybe with no descriptor left, and such a failure ends the process: so it is made here.
fn make_clients_runtime() {
    static MADE: Once = Once::new();
    // Not on this thread, which has a runtime.
    MADE.call_once(|| thread::spawn(|| drop(Compat::new(()))).join().unwrap_or_default());
}

async fn watch_over(events: impl futures_util::Stream<Item = Event> + Send, news: News) {
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event {
            // One channel was refused something: whoever asked on it is told.
            Event::Error(error) if error.is_amqp_soft_error() => {}
            Event::Error(error) => {
                news.broken.send_replace(Some(BrokerError::Lost(error.to_string())));
                return;
            }
            Event::ConnectionBlocked(reason) => {
                news.flow.send_replace(Some(format!("the broker takes nothing for now: {reason}")));
            }
            Event::ConnectionUnblocked => {
                news.flow.send_replace(None);
            }
            _ => {}
        }
    }
    news.broken.send_replace(Some(BrokerError::Lost("connection closed".into())));
}
