//! Floor 0: the words. Nothing here knows of queues, clouds or clocks.

pub mod dead;
pub mod decode;
pub mod ids;
pub mod job;
pub mod ledger;
pub mod ledger_plan;
pub mod members;
pub mod progress;
pub mod result;
pub mod secret;
pub mod suspension;
pub mod verdict;
