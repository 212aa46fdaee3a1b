//! Floor 4: the process. It may use everything; only `main` uses it.

pub mod admin;
mod attend;
pub mod board;
pub mod cli;
pub mod config;
mod descriptors;
pub mod embedded;
pub mod reload;
pub mod run;
mod session;
pub mod streams;
pub mod telemetry;
mod watch;
pub mod wire;
