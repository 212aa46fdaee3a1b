//! One connection to RabbitMQ.

use std::sync::Once;
use std::thread;
use std::time::Duration;

use async_compat::Compat;
use futures_util::StreamExt;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, Event};
use tokio::sync::watch;

use super::OpenError;
use crate::model::secret::Secret;
use crate::ports::broker::BrokerError;
use crate::ports::fence::FlowSwitch;

/// The whole handshake must be over by then.
const HANDSHAKE: Duration = Duration::from_secs(15);
const HEARTBEAT: u16 = 5;
/// A broker that names no limit of its own makes the client allocate without one.
const FRAME_MAX: u32 = 131_072;
const CONNECT_MS: u64 = 10_000;

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
}

/// What becomes known of a connection while it is there.
#[derive(Clone, Default)]
pub struct News {
    /// Told when the connection ends, or must be given up.
    pub broken: watch::Sender<Option<BrokerError>>,
    /// Told while the broker takes nothing: an alarm of its memory or its disk.
    pub flow: FlowSwitch,
}

/// Connects; its `news` are told from then on.
pub async fn open(settings: &Settings, purpose: &str, news: News) -> Result<Connection, OpenError> {
    make_clients_runtime();
    // The parser's own message would show the URL, and the password in it.
    let mut uri: AMQPUri =
        settings.url.expose().parse().map_err(|_| OpenError::Unreachable("queue.url is not an AMQP URL".into()))?;
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    uri.query.frame_max.get_or_insert(FRAME_MAX);
    uri.query.connection_timeout.get_or_insert(CONNECT_MS);
    let properties =
        ConnectionProperties::default().with_connection_name(format!("{} {purpose}", settings.client_name).into());
    let tls = OwnedTLSConfig { cert_chain: settings.ca.clone(), ..OwnedTLSConfig::default() };
    let runtime = lapin::runtime::default_runtime().map_err(|error| OpenError::Unreachable(error.to_string()))?;
    let connecting = Connection::connect_uri_with_config(uri, properties, tls, runtime);
    let connection = match tokio::time::timeout(HANDSHAKE, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(OpenError::Unreachable(error.to_string())),
        Err(_) => return Err(OpenError::Unreachable(format!("no answer within {HANDSHAKE:?}"))),
    };
    tokio::spawn(watch_over(connection.events_listener(), news));
    Ok(connection)
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
