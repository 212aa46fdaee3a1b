#![doc = include_str!("ARCHITECTURE.md")]

pub mod model;

pub mod policy;
pub mod provider;

pub mod ports;

pub mod adapters;
pub mod pipeline;
pub mod sandbox;

pub mod app;
