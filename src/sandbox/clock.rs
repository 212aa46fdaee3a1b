//! The sandbox's only look at the clock on the wall: it judges dates in signatures, and the ports are out of its reach.

use jiff::Timestamp;

#[expect(
    clippy::disallowed_methods,
    reason = "a stand-in cloud has a clock of its own; nothing else may be asked here"
)]
pub(super) fn wall() -> Timestamp {
    Timestamp::now()
}
