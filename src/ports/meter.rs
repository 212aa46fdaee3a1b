//! (meter)
