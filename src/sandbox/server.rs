//! The socket: accepts, counts, and hands each request to a cloud or to the sandbox's own calls.

use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::dialect::Reply;
use super::exchange::{self, Cut, dialect_of};
use super::settings::Reuse;
use super::{Sandbox, admin};

/// What of a connection outlives its passing into HTTP.
pub(super) struct Connection {
    number: u64,
    /// A second handle of the same socket.
    socket: socket2::Socket,
}

impl Connection {
    fn new(stream: &TcpStream, number: u64) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { number, socket: stream.as_fd().try_clone_to_owned()?.into() })
    }

    /// Closing will throw away what is unsent and tell the peer so (TCP RST) instead of saying goodbye.
    pub(super) fn reset_on_close(&self) {
        if let Err(error) = self.socket.set_linger(Some(Duration::ZERO)) {
            tracing::warn!(%error, "a connection is closed that should have been reset");
        }
    }
}

pub(super) async fn serve(sandbox: Arc<Sandbox>, listener: TcpListener, stop: impl Future) -> io::Result<()> {
    let mut stop = pin!(stop);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stop => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(Arc::clone(&sandbox), stream));
                }
                Err(error) => {
                    tracing::warn!(%error, "the sandbox could not accept a connection");
                    // Out of file handles, as a rule: trying again at once would only spin.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
        }
    }
    connections.shutdown().await;
    Ok(())
}

/// One connection, until either side ends it.
async fn converse(sandbox: Arc<Sandbox>, stream: TcpStream) {
    let connection = match Connection::new(&stream, sandbox.ledger.connect()) {
        Ok(connection) => Arc::new(connection),
        Err(error) => {
            tracing::warn!(%error, "the sandbox could not set up a connection");
            return;
        }
    };
    let keep = sandbox.settings.reuse == Reuse::Kept;
    let service = service_fn(|request| handle(Arc::clone(&sandbox), Arc::clone(&connection), request));
    let mut http = http1::Builder::new();
    http.header_read_timeout(None).keep_alive(keep);
    let ended = http.serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = ended {
        tracing::debug!(%error, connection = connection.number, "connection ended");
    }
}

/// Counts the request before anything is awaited, so that nothing that happens later can make it uncounted.
fn handle(
    sandbox: Arc<Sandbox>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Reply, Cut>> {
    let (head, body) = request.into_parts();
    let arrived = dialect_of(&head).map(|dialect| {
        let ticket = sandbox.ledger.arrive(dialect.cloud(), dialect.action(), connection.number);
        (dialect, ticket)
    });
    let request = Request::from_parts(head, body);
    async move {
        match arrived {
            Some((dialect, ticket)) => exchange::answer(&sandbox, &*dialect, ticket, request, &connection).await,
            None => Ok(admin::answer(&sandbox, request).await),
        }
    }
}
