//! (app)
pub mod cli;
pub mod config;
