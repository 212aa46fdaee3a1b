//! The commands.

pub mod input;
