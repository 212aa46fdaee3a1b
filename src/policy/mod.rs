//! Floor 1: the decisions, as pure functions of values. No clock, chance or I/O stands here.

pub mod decide;
pub mod quota;
