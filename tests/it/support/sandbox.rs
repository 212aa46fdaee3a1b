//! The stand-in clouds as a process of their own.

use std::net::SocketAddr;

use serde_json::Value;

use super::process::Process;
use super::{free_address, http};

/// A running `roomsweep sandbox`; gone when dropped.
pub struct Sandbox {
    pub address: SocketAddr,
    pub process: Process,
}

impl Sandbox {
    /// Starts one with `options` behind `--listen`, and waits until it answers.
    pub async fn start(options: &[&str]) -> Self {
        let address = free_address();
        let listen = address.to_string();
        let mut process = Process::start(&[&["sandbox", "--listen", &listen], options].concat(), "", &[]);
        process.answers(address, "/stats").await;
        Self { address, process }
    }

    /// For a provider's `endpoint`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its totals so far.
    pub async fn stats(&self) -> Value {
        let body = self.fetch("/stats").await;
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error} in {body}"))
    }

    /// The requests that it remembers one by one, oldest first.
    pub async fn requests(&self) -> Vec<Value> {
        let lines = self.fetch("/requests").await;
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
            .collect()
    }

    async fn fetch(&self, path: &str) -> String {
        let reply = http::get(self.address, path).await.expect("a sandbox that answers");
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        reply.body
    }
}
