//! Jobs on their way from the queue to the provider and back, at full rate and through trouble.

mod connection;
mod drain;
pub mod evidence;
mod isolation;
mod ladder;
mod quota;
mod replicas;
pub mod stage;
mod storm;
pub mod story;
mod urgent;
