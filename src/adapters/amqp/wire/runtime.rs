//! What the client runs on: tokio, with our stream under each connection.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::{DummyIO, Task};
use async_rs::{Runtime, Tokio, TokioRuntime};
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::Stream;
use lapin::uri::AMQPUri;
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};

use super::stream::Rewritten;

/// As tokio opens it.
pub type PlainStream = <Tokio as Reactor>::TcpStream;

/// Connects over the stream that `open` opens, and spares the client what it cannot read.
pub async fn connect(
    uri: AMQPUri,
    properties: ConnectionProperties,
    open: impl AsyncFn(AMQPUri, TokioRuntime) -> lapin::Result<AsyncTcpStream<PlainStream>> + Send + Sync + 'static,
) -> lapin::Result<Connection> {
    let plain = TokioRuntime::tokio_current();
    let connect = async move |uri: AMQPUri, _: Runtime<Rewriting>| {
        let stream = open(uri, plain.clone()).await?;
        Ok(AsyncTcpStream::Plain(Rewritten::new(stream)))
    };
    Connection::connector(uri, Runtime::new(Rewriting(Tokio::current())), connect, properties).await
}

/// Tokio, but for the stream.
#[derive(Debug, Clone)]
struct Rewriting(Tokio);

impl RuntimeKit for Rewriting {}

impl Executor for Rewriting {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, f: F) -> T {
        self.0.block_on(f)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(&self, f: F) -> Task<Self::Task<T>> {
        self.0.spawn(f)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(&self, f: F) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(f)
    }
}

impl Reactor for Rewriting {
    type TcpStream = Rewritten<AsyncTcpStream<PlainStream>>;
    type Sleep = <Tokio as Reactor>::Sleep;

    /// The client never asks for it.
    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<DummyIO, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connecting = self.0.tcp_connect_addr(address);
        async move { Ok(Rewritten::new(AsyncTcpStream::Plain(connecting.await?))) }
    }
}
