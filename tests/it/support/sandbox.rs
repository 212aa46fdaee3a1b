//! The stand-in clouds as a process of their own.

use std::net::SocketAddr;

use serde_json::Value;

use super::free_address;
use super::http::{self, Reply};
use super::process::Process;

/// A running `roomsweep sandbox`; gone when dropped.
pub struct Sandbox {
    pub address: SocketAddr,
    pub process: Process,
}

impl Sandbox {
    /// Starts one with `options` behind `--listen`, and waits until it answers.
    pub async fn start(options: &[&str]) -> Self {
        Self::start_at(free_address(), options).await
    }

    /// The same at an address of one that is gone.
    pub async fn start_at(address: SocketAddr, options: &[&str]) -> Self {
        let listen = address.to_string();
        let mut process = Process::start(&[&["sandbox", "--listen", &listen], options].concat(), "", &[]);
        process.answers(address, "/healthz").await;
        Self { address, process }
    }

    /// For a provider's `endpoint`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its figures so far, by cloud.
    pub async fn stats(&self) -> Value {
        self.answer("GET", "/stats", "").await.json()
    }

    /// Every request that it remembers one by one, in order.
    pub async fn requests(&self) -> Vec<Value> {
        let lines = self.answer("GET", "/requests", "").await.body;
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
            .collect()
    }

    /// Replaces the rules by which it injects faults; in TOML or JSON.
    pub async fn set_faults(&self, rules: &str) {
        self.answer("PUT", "/faults", rules).await;
    }

    async fn answer(&self, method: &str, path: &str, body: &str) -> Reply {
        let reply = http::send(self.address, method, path, body).await.expect("a sandbox that answers");
        assert!(matches!(reply.status, 200 | 204), "{method} {path}: {reply:?}");
        reply
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::Signal;

    use super::*;

    #[tokio::test]
    async fn it_tells_what_it_saw() {
        let sandbox = Sandbox::start(&["--qps-huawei", "5"]).await;
        sandbox.set_faults("{}").await;
        assert_eq!((sandbox.stats().await["requests"].as_u64(), sandbox.requests().await.len()), (Some(0), 0));
        let forged = http::send(sandbox.address, "POST", "/v2/apps/a/rooms/r/dismiss", "").await.unwrap();
        assert_ne!(forged.status, 200);
        assert_eq!((sandbox.stats().await["requests"].as_u64(), sandbox.requests().await.len()), (Some(1), 1));
    }

    #[tokio::test]
    async fn it_ends_when_told() {
        let mut sandbox = Sandbox::start(&[]).await;
        sandbox.process.signal(Signal::TERM);
        assert!(sandbox.process.ended(Duration::from_secs(10)).await.success());
    }

    #[tokio::test]
    async fn two_live_side_by_side() {
        let (one, other) = tokio::join!(Sandbox::start(&[]), Sandbox::start(&[]));
        assert_ne!(one.endpoint(), other.endpoint());
    }
}
