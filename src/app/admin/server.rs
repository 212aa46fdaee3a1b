//! Connections: how many, how long, how large. axum's own server has no such bounds.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How many connections are open at a time; others wait in the kernel.
pub(super) const MAX_CONNECTIONS: usize = 64;
/// A request's head is at most this many bytes long.
pub(super) const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// How long a request's head may take, and how long a connection may be idle. No usual scrape interval, so that it does
/// not end a connection just as the next scrape comes.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// No client keeps a connection for ever, so that slow readers cannot hold them all.
pub(super) const LIFETIME: Duration = Duration::from_secs(300);
/// How long an answer that has begun may take after the end.
const GRACE: Duration = Duration::from_secs(2);
/// The rest after a failed accept: out of file descriptors, most likely.
const ACCEPT_REST: Duration = Duration::from_millis(500);

/// Goes with each request: tells when its connection is to end. An answer that has no end of its own ends then.
#[derive(Clone)]
pub(super) struct Closing(watch::Receiver<()>);

impl Closing {
    pub(super) async fn closed(&mut self) {
        while self.0.changed().await.is_ok() {}
    }
}

pub(super) async fn run(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (running, ended) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            (stream, slot) = accept(&listener, &slots) => {
                let (router, ended) = (router.clone(), ended.clone());
                connections.spawn(async move {
                    converse(stream, router, ended).await;
                    drop(slot);
                });
            }
        }
    }
    drop((listener, running));
    while connections.join_next().await.is_some() {}
}

/// The next connection, once there is room for it.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "admin server cannot accept a connection");
                sleep(ACCEPT_REST).await;
            }
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Answers one connection until it ends, grows old or the server stops.
async fn converse(stream: TcpStream, router: Router, mut ended: watch::Receiver<()>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
    let (open, closing) = watch::channel(());
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(Closing(closing.clone()));
        router.call(request)
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // What goes wrong here is the client's: it went away or spoke no HTTP.
        _ = connection.as_mut() => return,
        _ = ended.changed() => {}
        () = sleep(LIFETIME) => {}
    }
    drop(open);
    connection.as_mut().graceful_shutdown();
    timeout(GRACE, connection).await.ok();
}
