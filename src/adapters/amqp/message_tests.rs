use super::*;
use crate::model::progress::AttemptRecord;
use crate::model::verdict::{Fault, VerdictLabel};
use jiff::Timestamp;
use lapin::types::FieldArray;

#[path = "message_properties.rs"]
mod properties;

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn died(queue: &str, reason: &str, own: Option<&str>) -> Original {
    let mut death = FieldTable::default();
    if let Some(expiration) = own {
        death.insert("original-expiration".into(), text(expiration));
    }
    death.insert("queue".into(), text(queue));
    death.insert("reason".into(), text(reason));
    let mut headers = FieldTable::default();
    headers.insert("x-death".into(), AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::FieldTable(death)])));
    BasicProperties::default().with_headers(headers).into()
}

#[test]
fn the_ladder_is_ridden_by_the_largest_rung_that_is_not_too_long() {
    let check = |left: u64, expected: Hop| assert_eq!(hop(Duration::from_millis(left)), expected, "{left} ms");
    assert_eq!(hop(Duration::from_nanos(1)), Hop::Wait(500));
    check(0, Hop::Now);
    check(1, Hop::Wait(500));
    check(500, Hop::Wait(500));
    check(999, Hop::Wait(500));
    check(1000, Hop::Wait(1000));
    check(60_000, Hop::Wait(32_000));
    check(7 * 24 * 3_600_000, Hop::Wait(1_024_000));
}

/// A job that nobody holds up, from one surfacing to the next: how long it was on the ladder in the end, in milliseconds.
fn ride(mut progress: Progress, mut time: impl FnMut(u64) -> JobTime) -> u64 {
    let mut ridden = 0;
    while let (Hop::Wait(rung), _) = step(&mut progress, time(ridden)) {
        ridden += u64::from(rung);
    }
    ridden
}

fn waiting(wait_ms: u64) -> Progress {
    Progress { wait_ms, ..Progress::received(Timestamp::UNIX_EPOCH) }
}

#[test]
fn a_ride_is_never_early_and_at_most_half_a_second_late() {
    for wait in (0..200_000).step_by(77) {
        let ridden = ride(waiting(wait), |_| JobTime { not_before: None, now: Timestamp::MAX });
        assert!((wait..wait + 500).contains(&ridden), "{wait} ms: {ridden} ms");
    }
}

#[test]
fn a_jobs_own_time_is_looked_at_again_each_time_it_surfaces() {
    let start = Timestamp::from_second(1_000_000).unwrap();
    let shows = |ms: i64| JobTime { not_before: Some(start), now: Timestamp::from_millisecond(ms).unwrap() };
    let ridden = |now: &dyn Fn(u64) -> i64| ride(waiting(0), |ridden| shows(now(ridden)));
    let hour = 3_600_000;
    assert_eq!(ridden(&|ridden| 1_000_000_000 - hour + ridden as i64), hour as u64);
    // The clock is put right while the job waits.
    assert_eq!(ridden(&|ridden| if ridden == 0 { 1_000_000_000 - hour } else { 1_000_000_000 }), 1_024_000);
    // Both are over in the end, the decided wait and the job's own time.
    let both = |wait, left: i64| ride(waiting(wait), |ridden| shows(1_000_000_000 - left + ridden as i64));
    assert_eq!((both(4_000, 1_000), both(1_000, 4_000)), (4_000, 4_000));
}

#[test]
fn only_a_death_in_a_queue_of_jobs_ends_a_job() {
    let check = |queue: &str, reason: &str, expected: Option<QueueEnding>| {
        let died = died(queue, reason, Some("3000"));
        assert_eq!(read(Vec::new(), &died, "dismiss").ended, expected, "{queue} {reason}");
    };
    check("dismiss.jobs.volcengine.bulk", "delivery_limit", Some(QueueEnding::DeliveryLimit));
    check("dismiss.jobs", "expired", Some(QueueEnding::Expiration));
    check("dismiss.jobs.volcengine.bulk.retry", "expired", Some(QueueEnding::Expiration));
    check("dismiss.wait.500", "expired", None);
    check("dismiss.jobs-of-ours", "expired", None);
    check("bookings.delay", "expired", None);
    check("dismiss.jobs", "rejected", None);
    assert_eq!(read(Vec::new(), &Original::default(), "dismiss").ended, None);
}

#[test]
fn a_job_that_a_limit_of_its_queue_threw_out_goes_on() {
    let check = |queue: &str, reason: &str, limit: Option<QueueLimit>| {
        let ended = read(Vec::new(), &died(queue, reason, None), "dismiss").ended;
        let expected = limit.map(|limit| QueueEnding::Evicted { queue: queue.to_owned(), limit });
        assert_eq!(ended, expected, "{queue} {reason}");
    };
    for queue in ["dismiss.jobs", "dismiss.jobs.volcengine.bulk", "dismiss.jobs.volcengine.urgent.retry"] {
        check(queue, "expired", Some(QueueLimit::Time));
        check(queue, "maxlen", Some(QueueLimit::Length));
    }
    for queue in ["dismiss.wait.500", "dismiss.ended", "bookings.delay"] {
        check(queue, "expired", None);
        check(queue, "maxlen", None);
    }
}

#[test]
fn what_would_break_or_drop_a_job_does_not_travel_on() {
    let mut headers = FieldTable::default();
    for name in ["CC", "BCC", "x-death", "x-first-death-reason", "x-last-death-queue", "x-delivery-count"] {
        headers.insert(name.into(), text("v"));
    }
    headers.insert("tenant".into(), text("blue"));
    let original = BasicProperties::default()
        .with_headers(headers)
        .with_user_id("guest".into())
        .with_expiration("1000".into())
        .with_correlation_id("c".into());
    let mut message = read(Vec::new(), &original.clone().into(), "dismiss");
    message.message_id = Some("given".into());
    let properties = onward(&original, &message);
    let names: Vec<_> = properties.headers().iter().flat_map(|h| h.inner().keys()).map(ToString::to_string).collect();
    assert_eq!(names, ["tenant"]);
    assert_eq!((properties.user_id(), properties.expiration()), (&None, &None));
    assert_eq!(properties.correlation_id().as_ref().unwrap().as_str(), "c");
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), "given");
    assert_eq!(properties.delivery_mode(), &Some(PERSISTENT));
}

fn long_progress() -> Progress {
    let mut progress = Progress::received(Timestamp::UNIX_EPOCH);
    for _ in 0..32 {
        progress.note(AttemptRecord {
            at: Timestamp::UNIX_EPOCH,
            verdict: VerdictLabel::Transient,
            http_status: Some(500),
            request_id: None,
            error: Some(Fault::new("\u{1}".repeat(128), "\u{1}".repeat(512))),
            duration_ms: 1,
        });
    }
    progress
}

#[test]
fn progress_comes_back_as_it_went_and_never_outgrows_a_header() {
    let mut message = read(Vec::new(), &Original::default(), "dismiss");
    let mut small = Progress::received(Timestamp::UNIX_EPOCH);
    small.wait_ms = 1234;
    message.progress = Some(small);
    let again = read(Vec::new(), &onward(&BasicProperties::default(), &message).into(), "dismiss");
    assert_eq!(again, message);

    let json = encode(long_progress());
    assert!(json.len() <= MAX_PROGRESS);
    let cut: Progress = serde_json::from_str(&json).unwrap();
    assert_eq!((cut.attempts, cut.log.len() + cut.omitted as usize), (32, 32));
    assert!(cut.omitted > 0, "the case must need cutting to show anything");
}

#[test]
fn a_trace_that_is_none_is_left_behind() {
    let check = |text: String, expected: bool| {
        let mut headers = FieldTable::default();
        headers.insert("traceparent".into(), AMQPValue::LongString(text.into()));
        let properties = BasicProperties::default().with_headers(headers);
        assert_eq!(read(Vec::new(), &properties.into(), "dismiss").traceparent.is_some(), expected);
    };
    check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(), true);
    check("x".repeat(MAX_TRACEPARENT), true);
    check("x".repeat(MAX_TRACEPARENT + 1), false);
}

#[test]
fn huge_foreign_headers_stay_behind() {
    let mut headers = FieldTable::default();
    headers.insert("a".into(), text(&"x".repeat(MAX_FOREIGN + 1)));
    let original = BasicProperties::default().with_headers(headers);
    let message = read(Vec::new(), &original.clone().into(), "dismiss");
    assert!(onward(&original, &message).headers().as_ref().unwrap().inner().is_empty());
}
