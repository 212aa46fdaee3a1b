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
        self.fetch("/stats").await
    }

    /// The requests that it remembers one by one.
    pub async fn requests(&self) -> Value {
        self.fetch("/requests").await
    }

    async fn fetch(&self, path: &str) -> Value {
        let reply = http::get(self.address, path).await.expect("a sandbox that answers");
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        reply.json()
    }
}
