//! Jobs on their way from the queue to the provider and back, at full rate and through trouble.

mod connection;
mod crash;
mod drain;
pub mod evidence;
mod isolation;
mod ladder;
mod quota;
mod replicas;
pub mod stage;
mod storm;
mod urgent;
