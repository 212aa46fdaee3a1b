//! The least HTTP client there is: one request a connection, plain text, to a server on this machine.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

/// One whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub body: String,
}

impl Reply {
    /// The body as JSON; panics with the body where it is none.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

pub async fn get(server: SocketAddr, path: &str) -> io::Result<Reply> {
    send(server, "GET", path, "").await
}

/// Sends `body` as JSON, by HTTP/1.0, so that the server closes and never sends chunks.
pub async fn send(server: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<Reply> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {server}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await?;
        parse(&reply).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no HTTP reply: {reply:?}")))
    };
    timeout(PATIENCE, exchange).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Sends these bytes as they are, and reads until the server closes: the whole answer, head and all.
pub async fn raw(server: SocketAddr, request: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await.expect("a server");
        // One that is refused unread may be reset before all is sent, and behind its answer.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply).await;
        String::from_utf8(reply).expect("UTF-8")
    };
    timeout(3 * PATIENCE, exchange).await.expect("an answer, and the end of it")
}

fn parse(reply: &str) -> Option<Reply> {
    let (head, body) = reply.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Reply { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_request_is_answered_by_status_and_body() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 1024];
            let length = stream.read(&mut asked).await.unwrap();
            stream.write_all(b"HTTP/1.0 503 No\r\nA: b\r\n\r\n{\"a\":1}").await.unwrap();
            String::from_utf8(asked[..length].to_vec()).unwrap()
        });
        let reply = send(server, "POST", "/x?y", "{}").await.unwrap();
        assert_eq!((reply.status, reply.json()["a"].as_i64()), (503, Some(1)));
        let asked = served.await.unwrap();
        assert!(asked.starts_with("POST /x?y HTTP/1.0\r\n") && asked.ends_with("\r\n\r\n{}"), "{asked}");
    }
}
