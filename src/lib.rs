#![doc = include_str!("ARCHITECTURE.md")]
// What is said there is said by `say!`, `tell!` and their like: a reader may have gone, or stopped.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod model;

pub mod policy;
pub mod provider;

pub mod ports;

pub mod adapters;
pub mod pipeline;
pub mod sandbox;

pub mod app;
