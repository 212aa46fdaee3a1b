//! Call → Reply.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::provider::{Call, Reply};

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Nothing was sent: the name was not found, the connection refused or not made in time.
    #[error("could not connect: {0}")]
    Connect(String),
    /// Nothing was sent, for want of a descriptor, a local port or memory: it says nothing of whom it was for.
    #[error("this machine cannot open a connection: {0}")]
    Shortage(String),
    /// No whole reply within the timeout of the attempt.
    #[error("no reply within {0:?}")]
    Timeout(Duration),
    /// The connection ended before the whole reply was there.
    #[error("connection lost: {0}")]
    Lost(String),
    /// The reply's body is over the cap.
    #[error("reply body over {0} bytes")]
    TooLarge(usize),
    /// The request could not be made at all.
    #[error("cannot be sent: {0}")]
    Unsendable(String),
}

impl TransportError {
    /// The error code in attempt logs.
    pub fn code(&self) -> &'static str {
        match self {
            TransportError::Connect(_) => "transport.connect",
            TransportError::Shortage(_) => "transport.shortage",
            TransportError::Timeout(_) => "transport.timeout",
            TransportError::Lost(_) => "transport.lost",
            TransportError::TooLarge(_) => "transport.too_large",
            TransportError::Unsendable(_) => "transport.unsendable",
        }
    }
}

/// Sends requests: once each, without redirects or retries of its own.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends `call` and reads the whole reply within `timeout`. `written` fires no earlier than the request's last
    /// byte was handed to the kernel; it is dropped unfired if nothing was sent.
    async fn send(&self, call: Call, timeout: Duration, written: oneshot::Sender<()>) -> Result<Reply, TransportError>;
}
