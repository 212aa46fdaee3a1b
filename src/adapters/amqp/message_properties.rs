//! Whatever a producer writes beside its job: it harms nobody, and what travels on is bounded and clean.

use jiff::Timestamp;
use lapin::types::{ByteArray, DecimalValue};
use proptest::prelude::*;

use super::*;
use crate::model::decode::Readable;
use crate::model::ids::JobId;
use crate::model::progress::{MAX_LOG, MAX_WAIT_MS};
use crate::model::result::{Ending, Outcome};

/// RabbitMQ closes a connection that sends a larger head; a frame holds 128 KiB.
const MOST: usize = 120 * 1024;

fn value() -> impl Strategy<Value = AMQPValue> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(AMQPValue::Boolean),
        any::<i64>().prop_map(AMQPValue::LongLongInt),
        any::<f64>().prop_map(AMQPValue::Double),
        any::<u64>().prop_map(AMQPValue::Timestamp),
        any::<u32>().prop_map(|value| AMQPValue::DecimalValue(DecimalValue { scale: 1, value })),
        Just(AMQPValue::Void),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| AMQPValue::LongString(bytes.into())),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| AMQPValue::ByteArray(ByteArray::from(bytes))),
        (0_usize..40_000).prop_map(|length| text(&"x".repeat(length))),
        "[ -~]{0,20}".prop_map(|short| AMQPValue::ShortString(short.into())),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| AMQPValue::FieldArray(values.into())),
            table(inner).prop_map(AMQPValue::FieldTable),
        ]
    })
}

fn table(value: impl Strategy<Value = AMQPValue>) -> impl Strategy<Value = FieldTable> {
    let known = [
        PROGRESS,
        "traceparent",
        "CC",
        "BCC",
        "x-death",
        "x-first-death-queue",
        "x-last-death-reason",
        "queue",
        "reason",
        "x-delivery-count",
        "x-outcome",
        "x-error",
        "tenant",
    ];
    let name = prop_oneof![4 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,40}"];
    let name = name.prop_filter("a short string", |name| name.len() <= 255);
    prop::collection::btree_map(name, value, 0..8).prop_map(|entries| {
        let mut table = FieldTable::default();
        for (name, value) in entries {
            table.insert(name.into(), value);
        }
        table
    })
}

/// Near to what we write ourselves.
fn progress() -> impl Strategy<Value = String> {
    let record = r#"{"at":"2026-01-31T18:00:00Z","verdict":"transient","http_status":500,"request_id":"q","error":{"code":"C","message":"M"},"duration_ms":1}"#;
    let run = prop_oneof![Just("1".to_owned()), any::<i64>().prop_map(|run| run.to_string())];
    let wait =
        prop_oneof![Just(String::new()), any::<u64>().prop_map(|ms| format!(r#","wait_ms":{ms}"#)), "[ -~]{0,20}"];
    (run, 0_usize..120, 0_usize..2_000, wait).prop_map(move |(run, many, long, wait)| {
        let record = record.replace('M', &"m".repeat(long));
        let log = vec![record; many].join(",");
        format!(
            r#"{{"received_at":"2026-01-31T18:00:00Z","run":{run},"attempts":4294967295,"transient":0,"log":[{log}],"omitted":4294967295{wait}}}"#
        )
    })
}

fn properties() -> impl Strategy<Value = BasicProperties> {
    let short = || prop::option::of("\\PC{0,60}");
    let headers = (table(value()), prop::option::of(prop_oneof![progress(), "\\PC{0,80}"]));
    (headers, short(), short(), short(), short(), short()).prop_map(
        |((mut headers, progress), id, correlation, reply_to, user, expiration)| {
            if let Some(json) = progress {
                headers.insert(PROGRESS.into(), text(&json));
            }
            let mut properties = BasicProperties::default().with_headers(headers);
            let of = |value: String| ShortString::from(value);
            properties = match id {
                Some(id) => properties.with_message_id(of(id)),
                None => properties,
            };
            properties = match correlation {
                Some(correlation) => properties.with_correlation_id(of(correlation)),
                None => properties,
            };
            properties = match reply_to {
                Some(reply_to) => properties.with_reply_to(of(reply_to)),
                None => properties,
            };
            properties = match user {
                Some(user) => properties.with_user_id(of(user)),
                None => properties,
            };
            match expiration {
                Some(expiration) => properties.with_expiration(of(expiration)),
                None => properties,
            }
        },
    )
}

fn check_travelling(properties: &BasicProperties) {
    assert_eq!((properties.user_id(), properties.expiration()), (&None, &None));
    assert_eq!(properties.delivery_mode(), &Some(PERSISTENT));
    let headers = properties.headers().clone().unwrap_or_default();
    for name in headers.inner().keys().map(ShortString::as_str) {
        let stripped = matches!(name, "CC" | "BCC" | "x-delivery-count") || name.contains("-death");
        assert!(!stripped, "{name}");
    }
    let size = weight(&AMQPValue::FieldTable(headers));
    assert!(size <= MOST, "{size} bytes of headers");
}

/// What a wall clock shows.
fn moment() -> impl Strategy<Value = Timestamp> {
    let any =
        (Timestamp::MIN.as_second()..=Timestamp::MAX.as_second()).prop_map(|s| Timestamp::from_second(s).unwrap());
    prop_oneof![Just(Timestamp::MIN), Just(Timestamp::MAX), Just(Timestamp::UNIX_EPOCH), any]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_wait_is_the_same_whatever_clocks_show(
        wait in 0..=MAX_WAIT_MS, clocks in prop::collection::vec(moment(), 1..9)
    ) {
        let mut clocks = clocks.iter().cycle();
        let mut progress = Progress { wait_ms: wait, ..Progress::received(Timestamp::UNIX_EPOCH) };
        let mut ridden = 0;
        // Each rung is handed out by another replica.
        while let (Hop::Wait(rung), left) = step(&mut progress, JobTime { not_before: None, now: *clocks.next().unwrap() }) {
            prop_assert_eq!(left, Duration::from_millis(wait - ridden));
            ridden += u64::from(rung);
            if ridden < wait {
                prop_assert_eq!(progress.wait_ms, wait - ridden);
            }
        }
        prop_assert!(ridden >= wait && ridden < wait + 500, "{} of {} ms", ridden, wait);
    }

    #[test]
    fn no_job_is_handed_on_before_its_own_time_by_the_clock_of_whoever_has_it(
        wait in 0..=MAX_WAIT_MS, not_before in moment(), now in moment()
    ) {
        let mut progress = Progress { wait_ms: wait, ..Progress::received(Timestamp::UNIX_EPOCH) };
        let (hop, left) = step(&mut progress, JobTime { not_before: Some(not_before), now });
        prop_assert_eq!(hop == Hop::Now, wait == 0 && not_before <= now);
        prop_assert!(left >= Duration::from_millis(wait));
    }

    #[test]
    fn whatever_comes_beside_a_job_travels_on_bounded_and_clean(original in properties()) {
        let message = read(Vec::new(), &original.clone().into(), "dismiss");
        if let Some(progress) = &message.progress {
            prop_assert!(progress.log.len() <= MAX_LOG && progress.run >= 1 && progress.wait_ms <= MAX_WAIT_MS);
        }

        let next = onward(&original, &message);
        check_travelling(&next);
        let mut again = read(Vec::new(), &next.into(), "dismiss");
        again.ended = message.ended.clone();
        let (kept, came) = (again.progress.take(), message.progress.clone());
        // Too long a log loses its oldest entries on the way, but none uncounted.
        let count = |progress: &Progress| (progress.attempts, progress.run, progress.wait_ms);
        prop_assert_eq!(kept.as_ref().map(count), came.as_ref().map(count));
        again.progress = came;
        // A trace that did not fit beside the other headers stays behind.
        again.traceparent = message.traceparent.clone();
        prop_assert_eq!(&again, &message);

        let error = Fault::new("c".repeat(200), "m".repeat(900));
        let ending = Ending { outcome: Outcome::Invalid, error: Some(error) };
        let progress = message.progress.clone().unwrap_or_else(|| Progress::received(Timestamp::UNIX_EPOCH));
        let job_id = JobId::parse("j").unwrap();
        let settled =
            DismissResult::of_readable(job_id, Readable::default(), progress, ending, Timestamp::UNIX_EPOCH, "w");
        check_travelling(&dead(&original.into(), &message, &settled));
        check_travelling(&result(&message, &settled));
    }
}
