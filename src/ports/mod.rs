//! Floor 2: the seams between the sentence and the outside world.

pub mod broker;
pub mod clock;
pub mod crash;
pub mod dead;
pub mod fence;
pub mod ledger;
pub mod meter;
pub mod outcomes;
pub mod readiness;
pub mod transport;
