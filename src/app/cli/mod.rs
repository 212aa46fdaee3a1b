//! The commands.
pub mod sandbox;
