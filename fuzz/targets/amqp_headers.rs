#![no_main]
//! Bytes as the properties of a message, read by the AMQP client's own parser: what travels on is bounded, stripped, and
//! says the same when it comes back.

#[path = "travel.rs"]
mod travel;

use libfuzzer_sys::fuzz_target;
use lapin::protocol::basic::parse_properties;

fuzz_target!(|data: &[u8]| {
    if let Ok((_, properties)) = parse_properties(data) {
        travel::check(&properties);
    }
});
