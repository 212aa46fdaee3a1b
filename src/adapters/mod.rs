//! (adapters)
