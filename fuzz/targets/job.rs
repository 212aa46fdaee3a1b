#![no_main]
//! Bytes as a job: refused with a message that names what is wrong, or a job that survives being written and read again.

use libfuzzer_sys::fuzz_target;
use roomsweep::model::decode::decode;
use roomsweep::model::ids::JobId;

fuzz_target!(|body: &[u8]| {
    let fallback = JobId::parse("given").expect("a job ID");
    match decode(body, &fallback) {
        Ok(job) => {
            let written = serde_json::to_vec(&job).expect("a job can be written");
            assert_eq!(decode(&written, &fallback).expect("what was written can be read"), job);
            for (text, limit) in [
                (job.app_id.as_str(), 256),
                (job.room_id.as_str(), 256),
                (job.job_id.as_str(), 128),
                (job.reason.as_deref().unwrap_or_default(), 512),
                (job.requested_by.as_deref().unwrap_or_default(), 512),
            ] {
                assert!(text.len() <= limit && !text.chars().any(char::is_control), "{text:?}");
            }
            assert!(job.labels.len() <= 16);
        }
        Err(invalid) => assert!(!invalid.message.is_empty() && invalid.message.len() < 4096, "{}", invalid.message),
    }
});
