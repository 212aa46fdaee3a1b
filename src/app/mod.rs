//! (app)
pub mod cli;
