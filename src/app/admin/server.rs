//! Connections: how many, how long, how large. axum's own server has no such bounds.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::app::descriptors::{Given, Reserve};

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
/// How often a failed accept is told.
const WARN_INTERVAL: Duration = Duration::from_secs(10);
/// How long a connection may take that was accepted with a descriptor of the reserve: others wait for it.
const BRIEF_LIFETIME: Duration = Duration::from_secs(3);

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
    let mut entrance = Acceptor { listener, slots, reserve: Arc::default(), warned: None };
    let (running, ended) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            (stream, slot, stay) = entrance.accept() => {
                let (router, ended, reserve) = (router.clone(), ended.clone(), entrance.reserve.clone());
                connections.spawn(async move {
                    converse(stream, stay, router, ended).await;
                    // In the poll that closes the connection: nobody else on this thread is quicker.
                    reserve.refill();
                    drop(slot);
                });
            }
        }
    }
    drop((entrance, running));
    while connections.join_next().await.is_some() {}
}

/// How long a connection may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stay {
    Usual,
    /// For one answer: its descriptor is of the reserve.
    Brief,
}

/// Where connections come in. When no descriptor is left, one of the reserve answers whoever asks how this process is.
struct Acceptor {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    reserve: Arc<Reserve>,
    /// When it was told last that nothing can be accepted.
    warned: Option<Instant>,
}

impl Acceptor {
    /// The next connection, once there is room for it. Cancel-safe.
    async fn accept(&mut self) -> (TcpStream, OwnedSemaphorePermit, Stay) {
        let slot = self.slots.clone().acquire_owned().await.expect("the semaphore is never closed");
        loop {
            self.reserve.refill();
            match self.listener.accept().await {
                Ok((stream, _)) => return (stream, slot, Stay::Usual),
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => match (self.reserve.give_one(), self.listener.accept().now_or_never()) {
                    (Given::One, Some(Ok((stream, _)))) => return (stream, slot, Stay::Brief),
                    // Nobody is there: the system takes a descriptor before it looks.
                    (Given::One, None) => {}
                    // Another thread may have been quicker.
                    (Given::One | Given::None, _) => {
                        self.warn(&error);
                        sleep(ACCEPT_REST).await;
                    }
                },
            }
        }
    }

    fn warn(&mut self, error: &io::Error) {
        if self.warned.is_none_or(|at| at.elapsed() >= WARN_INTERVAL) {
            self.warned = Some(Instant::now());
            tracing::warn!(%error, "admin server cannot accept a connection");
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Answers one connection until it ends, grows old or the server stops.
async fn converse(stream: TcpStream, stay: Stay, router: Router, mut ended: watch::Receiver<()>) {
    let (head_timeout, lifetime) = match stay {
        Stay::Usual => (HEAD_TIMEOUT, LIFETIME),
        Stay::Brief => (BRIEF_LIFETIME, BRIEF_LIFETIME),
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head_timeout).max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
    http.keep_alive(stay == Stay::Usual);
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
        () = sleep(lifetime) => {}
    }
    drop(open);
    connection.as_mut().graceful_shutdown();
    timeout(GRACE, connection).await.ok();
}
