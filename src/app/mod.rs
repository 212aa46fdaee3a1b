//! Floor 4: the process. It may use everything; only `main` uses it.

pub mod admin;
pub mod cli;
pub mod config;
pub mod embedded;
pub mod run;
pub mod telemetry;
pub mod wire;
