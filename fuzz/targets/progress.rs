#![no_main]
//! A text as the header that carries a job's progress, which any producer may write.

#[path = "travel.rs"]
mod travel;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut headers = FieldTable::default();
    headers.insert("x-roomsweep-progress".into(), AMQPValue::LongString(data.to_vec().into()));
    travel::check(&BasicProperties::default().with_headers(headers));
});
