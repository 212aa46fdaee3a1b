#![doc = include_str!("ARCHITECTURE.md")]
// What is said there is said by `say!` and its like: a reader may have gone.
#![cfg_attr(not(test), deny(clippy::print_stdout))]

pub mod model;

pub mod policy;
pub mod provider;

pub mod ports;

pub mod adapters;
pub mod pipeline;
pub mod sandbox;

pub mod app;
