//! Floor 1: the decisions, as pure functions of values. No clock, chance or I/O stands here: moments are durations
//! since an origin that the caller keeps, and chance is a number from 0 to 1.

pub mod backoff;
pub mod breaker;
pub mod bucket;
pub mod decide;
pub mod doubt;
pub mod eta;
pub mod pace;
pub mod quota;
pub mod storage;
