//! The one HTTP client: it sends a [`Call`] once, byte for byte, and adds nothing of its own.

mod shortage;

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

use crate::ports::transport::{Transport, TransportError};
use crate::provider::{Call, Reply};

/// A reply's body may not be larger, in bytes.
pub const MAX_REPLY: usize = 1024 * 1024;
/// A host that does not answer must not hold a slot of the quota for a whole attempt.
const CONNECT: Duration = Duration::from_secs(3);
/// Shorter than most servers keep an idle connection: one that they close at the same moment costs an attempt.
const IDLE: Duration = Duration::from_secs(15);

/// HTTP/1.1, one request on a connection at a time; no redirects, retries, proxies or cookies.
///
/// It must run on a single-threaded runtime: `written` fires inside the same poll that hands the request to the
/// kernel, and only there is that poll over before anyone sees it.
pub struct HttpClient {
    client: reqwest::Client,
}

/// The client could not be made, for want of usable CA certificates most likely.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be made: {0}")]
pub struct ClientError(String);

impl HttpClient {
    /// `max_transit`: the kernel gives up a connection whose bytes stay unacknowledged for so long.
    pub fn new(max_transit: Duration) -> Result<Self, ClientError> {
        // Another client of this process may have installed the same provider before: that is as good.
        let _already = rustls::crypto::ring::default_provider().install_default();
        #[expect(clippy::disallowed_methods, reason = "the one place where a client is built")]
        let builder = reqwest::Client::builder();
        let client = builder
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .dns_resolver(shortage::Lookup)
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .tcp_user_timeout(max_transit)
            .pool_idle_timeout(IDLE)
            .build()
            .map_err(|error| ClientError(causes(&error)))?;
        Ok(Self { client })
    }

    async fn exchange(&self, call: Call, written: oneshot::Sender<()>) -> Result<Reply, TransportError> {
        let url = reqwest::Url::parse(&call.url).map_err(|error| TransportError::Unsendable(error.to_string()))?;
        if url.as_str() != call.url {
            return Err(TransportError::Unsendable(format!("the URL would be sent as {url}, not as it was signed")));
        }
        let length = call.body.len();
        let mut response = self
            .client
            .request(call.method, url)
            .headers(call.headers)
            .header(CONTENT_LENGTH, length)
            .body(reqwest::Body::wrap(Noted { data: call.body, written: Some(written) }))
            .send()
            .await
            .map_err(unanswered)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unanswered)? {
            if body.len() + chunk.len() > MAX_REPLY {
                return Err(TransportError::TooLarge(MAX_REPLY));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, headers, body: body.into() })
    }
}

#[async_trait]
impl Transport for HttpClient {
    async fn send(&self, call: Call, timeout: Duration, written: oneshot::Sender<()>) -> Result<Reply, TransportError> {
        match tokio::time::timeout(timeout, self.exchange(call, written)).await {
            Ok(outcome) => outcome,
            // Dropping the exchange closes its connection.
            Err(_) => Err(TransportError::Timeout(timeout)),
        }
    }
}

fn unanswered(error: reqwest::Error) -> TransportError {
    let error = error.without_url();
    if let (true, Some(what)) = (error.is_connect(), shortage::of(&error)) {
        TransportError::Shortage(what)
    } else if error.is_connect() {
        TransportError::Connect(causes(&error))
    } else if error.is_builder() {
        TransportError::Unsendable(causes(&error))
    } else {
        TransportError::Lost(causes(&error))
    }
}

/// The innermost causes of an error; the outer ones only say that there was one.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    text
}

/// A request body that tells when the client has taken it to write it.
struct Noted {
    data: Bytes,
    written: Option<oneshot::Sender<()>>,
}

impl Noted {
    fn taken(&mut self) {
        if let Some(written) = self.written.take() {
            let _nobody_waits = written.send(());
        }
    }
}

impl Body for Noted {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.taken();
        let data = std::mem::take(&mut self.data);
        Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.len() as u64)
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        // An empty body is never polled, only dropped once the head is in the buffer. It is dropped too where no
        // connection came about: the slot is then held a little longer than it must be, never shorter.
        if self.data.is_empty() {
            self.taken();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, Method};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn call(port: u16, body: &'static [u8]) -> Call {
        Call {
            method: Method::POST,
            url: format!("http://127.0.0.1:{port}/?a=b%20c"),
            headers: HeaderMap::new(),
            body: Bytes::from_static(body),
        }
    }

    /// Answers one connection with `answer` and returns what it was sent, up to the end of the head.
    async fn serve_once(listener: TcpListener, answer: Vec<u8>) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = vec![0; 4096];
        let count = stream.read(&mut seen).await.unwrap();
        stream.write_all(&answer).await.unwrap();
        String::from_utf8_lossy(&seen[..count]).into_owned()
    }

    async fn exchange(body: &'static [u8], answer: &str) -> (Result<Reply, TransportError>, String, bool) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = HttpClient::new(Duration::from_millis(500)).unwrap();
        let (written, mut was_written) = oneshot::channel();
        let server = tokio::spawn(serve_once(listener, answer.as_bytes().to_vec()));
        let reply = client.send(call(port, body), Duration::from_secs(5), written).await;
        (reply, server.await.unwrap(), was_written.try_recv().is_ok())
    }

    #[tokio::test]
    async fn a_request_goes_out_as_it_was_signed() {
        let (reply, seen, written) = exchange(b"{}", "HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok").await;
        assert_eq!(reply.unwrap().body, "ok");
        assert!(seen.starts_with("POST /?a=b%20c HTTP/1.1\r\n"), "{seen}");
        assert!(seen.contains("content-length: 2\r\n"), "{seen}");
        assert!(written);
    }

    #[tokio::test]
    async fn an_empty_body_has_a_length_and_is_noted_as_written() {
        let (reply, seen, written) = exchange(b"", "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(reply.unwrap().status, 202);
        assert_eq!(seen.matches("content-length: 0\r\n").count(), 1, "{seen}");
        assert!(written);
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_not_followed() {
        let (reply, ..) =
            exchange(b"{}", "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(reply.unwrap().status, 302);
    }

    #[tokio::test]
    async fn an_oversized_reply_is_cut_off() {
        let answer =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{}", MAX_REPLY + 1, "x".repeat(MAX_REPLY + 1));
        let (reply, ..) = exchange(b"{}", &answer).await;
        assert_eq!(reply.err(), Some(TransportError::TooLarge(MAX_REPLY)));
    }

    #[tokio::test]
    async fn a_closed_connection_is_a_loss_and_a_closed_port_was_never_written() {
        let (reply, _, written) = exchange(b"{}", "").await;
        assert!(matches!(reply.err(), Some(TransportError::Lost(_))));
        assert!(written);

        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let client = HttpClient::new(Duration::from_millis(500)).unwrap();
        let (written, mut was_written) = oneshot::channel();
        let reply = client.send(call(port, b"{}"), Duration::from_secs(5), written).await;
        assert!(matches!(reply.err(), Some(TransportError::Connect(_))));
        assert!(was_written.try_recv().is_err());
    }

    #[tokio::test]
    async fn no_reply_in_time_ends_the_attempt() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = HttpClient::new(Duration::from_millis(500)).unwrap();
        let (written, mut was_written) = oneshot::channel();
        let timeout = Duration::from_millis(100);
        let reply = client.send(call(port, b"{}"), timeout, written).await;
        assert_eq!(reply.err(), Some(TransportError::Timeout(timeout)));
        assert!(was_written.try_recv().is_ok(), "a listening kernel takes the bytes though nobody accepts");
    }

    #[tokio::test]
    async fn a_url_that_would_be_changed_is_not_sent() {
        let client = HttpClient::new(Duration::from_millis(500)).unwrap();
        let mut changed = call(1, b"{}");
        changed.url = "http://127.0.0.1:1/a/../b".into();
        let reply = client.send(changed, Duration::from_secs(1), oneshot::channel().0).await;
        assert!(matches!(reply.err(), Some(TransportError::Unsendable(_))));
    }
}
