//! Brokers that fail: at exact points, for a while, and by their operators' hands.

mod operators;
mod outages;
mod points;
