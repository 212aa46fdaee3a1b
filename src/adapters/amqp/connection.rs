//! One connection to RabbitMQ.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::tcp::{AMQPUriTcpExt, OwnedTLSConfig};
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, Event};
use tokio::sync::watch;

use super::{OpenError, wire};
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
    // The parser's own message would show the URL, and the password in it.
    let mut uri: AMQPUri =
        settings.url.expose().parse().map_err(|_| OpenError::Unreachable("queue.url is not an AMQP URL".into()))?;
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    uri.query.frame_max.get_or_insert(FRAME_MAX);
    uri.query.connection_timeout.get_or_insert(CONNECT_MS);
    let properties =
        ConnectionProperties::default().with_connection_name(format!("{} {purpose}", settings.client_name).into());
    let tls = OwnedTLSConfig { cert_chain: settings.ca.clone(), ..OwnedTLSConfig::default() };
    let connecting = wire::connect(uri, properties, async move |uri, runtime| {
        Ok(uri.connect_with_config_async(tls.as_ref(), &runtime).await?)
    });
    let connection = match tokio::time::timeout(HANDSHAKE, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(OpenError::Unreachable(error.to_string())),
        Err(_) => return Err(OpenError::Unreachable(format!("no answer within {HANDSHAKE:?}"))),
    };
    tokio::spawn(watch_over(connection.events_listener(), news));
    Ok(connection)
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
