//! Floor 3: the outside world, one adapter each; none knows another, nor the pipeline.

pub mod amqp;
pub mod http;
pub mod memory;
pub mod memory_ledger;
pub mod postgres;
pub mod sqlite;
