//! Floor 2: the seams between the sentence and the outside world.

pub mod broker;
pub mod clock;
pub mod meter;
pub mod readiness;
pub mod transport;
