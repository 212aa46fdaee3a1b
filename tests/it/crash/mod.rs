//! Workers that are killed, stopped, frozen and cut off: nothing is lost, and nothing is over quota.

mod cut;
mod kills;
mod points;
pub mod replicas;
mod rig;
