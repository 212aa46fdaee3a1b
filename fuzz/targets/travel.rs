//! What must hold of a message's properties on their way through.

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::protocol::basic::gen_properties;
use roomsweep::adapters::amqp::message::{dead, onward, read, result, step};
use roomsweep::model::decode::Readable;
use roomsweep::model::ids::JobId;
use roomsweep::model::progress::{MAX_LOG, MAX_WAIT_MS, Progress};
use roomsweep::model::result::{DismissResult, Ending, Outcome};
use roomsweep::model::verdict::{Fault, MAX_MESSAGE};
use roomsweep::ports::broker::JobTime;

/// The head of a message has to fit into one frame of 128 KiB.
const MOST: u64 = 120 * 1024;
const STRIPPED: [&str; 7] =
    ["CC", "BCC", "x-death", "x-first-death-reason", "x-delivery-count", "x-opt-rabbitmq-received-time", "x-last-death-queue"];

pub fn check(properties: &BasicProperties) {
    let message = read(b"{}".to_vec(), &properties.clone().into(), "dismiss");
    if let Some(progress) = &message.progress {
        assert!(progress.log.len() <= MAX_LOG && progress.run >= 1, "{progress:?}");
        for fault in progress.log.iter().filter_map(|record| record.error.as_ref()) {
            assert!(fault.code.len() <= 128 && fault.message.len() <= MAX_MESSAGE);
        }
        assert!(progress.wait_ms <= MAX_WAIT_MS);
        let time = JobTime { not_before: None, now: Timestamp::UNIX_EPOCH };
        let _ = step(&mut progress.clone(), time);
    }

    let next = onward(properties, &message);
    travels(&next);
    let mut again = read(b"{}".to_vec(), &next.into(), "dismiss");
    // Why a queue gave up on it does not travel on.
    again.ended = message.ended.clone();
    assert_eq!(again, message);

    let now = Timestamp::UNIX_EPOCH;
    let ending = Ending { outcome: Outcome::Invalid, error: Some(Fault::new("c".repeat(200), "m".repeat(900))) };
    let job_id = JobId::parse("j").expect("a job ID");
    let progress = message.progress.clone().unwrap_or_else(|| Progress::received(now));
    let settled = DismissResult::of_readable(job_id, Readable::default(), progress, ending, now, "worker");
    travels(&dead(&properties.clone().into(), &message, &settled));
    travels(&result(&message, &settled));
    assert!(serde_json::to_vec(&settled).expect("a result can be written").len() < 256 * 1024);
}

fn travels(properties: &BasicProperties) {
    assert_eq!((properties.user_id(), properties.expiration()), (&None, &None));
    assert_eq!(properties.delivery_mode(), &Some(2));
    for name in properties.headers().iter().flat_map(|headers| headers.inner().keys()) {
        assert!(!STRIPPED.contains(&name.as_str()), "{name}");
    }
    let (_, bytes) = cookie_factory::r#gen(gen_properties(properties), Vec::new()).expect("what was read can be written");
    assert!(bytes <= MOST, "{bytes} bytes");
}
