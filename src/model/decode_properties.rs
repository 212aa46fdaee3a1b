//! Whatever a producer sends is a job within the contract's bounds, or is refused by name.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::tests::fallback;
use super::*;

/// Values that are right somewhere, and some that are right nowhere; long enough to cross every bound.
fn value() -> impl Strategy<Value = Value> {
    let words = ["volcengine", "urgent", "bulk", "2026-01-31T18:00:00Z", "2026-01-31T18:00:00+01:00", "R", ""];
    let leaf = prop_oneof![
        4 => prop::sample::select(words.to_vec()).prop_map(Value::from),
        2 => "\\PC{0,12}".prop_map(Value::from),
        1 => any::<String>().prop_map(Value::from),
        2 => (120_usize..600).prop_map(|length| Value::from("x".repeat(length))),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(3, 40, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..20)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![12 => prop::sample::select(FIELDS.to_vec()).prop_map(str::to_owned), 1 => "[a-z_]{0,12}"]
}

/// The text of an object with these members, a doubled name doubled in the text.
fn object(members: &[(String, Value)]) -> String {
    let members: Vec<String> =
        members.iter().map(|(name, value)| format!("{}:{value}", Value::from(name.as_str()))).collect();
    format!("{{{}}}", members.join(","))
}

/// A job with nothing wrong about it, every field at most as long as it may be.
fn good() -> impl Strategy<Value = Map<String, Value>> {
    let text = |most: usize| prop_oneof!["[^\\p{C}]{1,20}", Just("x".repeat(most))];
    let time = (0_i64..4_000_000_000).prop_map(|second| Timestamp::from_second(second).unwrap().to_string());
    let labels = prop::collection::btree_map("[a-z]{1,8}", text(MAX_LABEL), 0..=MAX_LABELS);
    let optional = (
        prop::option::of(text(128)),
        prop::option::of(text(128)),
        prop::option::of(any::<u64>()),
        prop::option::of(prop::sample::select(vec!["urgent", "bulk"])),
        prop::option::of(time.clone()),
        prop::option::of(time),
        prop::option::of(text(MAX_NOTE)),
        prop::option::of(labels),
    );
    ("[a-z0-9_-]{1,64}", text(256), text(256), optional).prop_map(|(provider, app, room, optional)| {
        let (job, batch, size, lane, from, until, reason, labels) = optional;
        let all = json!({
            "provider": provider, "app_id": app, "room_id": room, "job_id": job, "batch_id": batch, "batch_size": size,
            "lane": lane, "not_before": from, "expires_at": until, "reason": reason, "requested_by": reason,
            "labels": labels,
        });
        let Value::Object(all) = all else { unreachable!("an object") };
        all
    })
}

fn check_bounds(job: &DismissJob) {
    let texts = [
        (Some(job.provider.as_str()), 64),
        (Some(job.app_id.as_str()), 256),
        (Some(job.room_id.as_str()), 256),
        (Some(job.job_id.as_str()), 128),
        (job.batch_id.as_ref().map(BatchId::as_str), 128),
        (job.reason.as_deref(), MAX_NOTE),
        (job.requested_by.as_deref(), MAX_NOTE),
    ];
    let texts = texts.into_iter().filter_map(|(text, most)| Some((text?, most)));
    let labels = job.labels.iter().flat_map(|(name, text)| [(name.as_str(), MAX_LABEL), (text.as_str(), MAX_LABEL)]);
    for (text, most) in texts.chain(labels) {
        assert!(text.len() <= most && !text.chars().any(char::is_control), "{text:?}");
    }
    assert!(job.labels.len() <= MAX_LABELS);
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(body in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = decode(&body, &fallback());
    }

    #[test]
    fn what_is_nearly_a_job_is_a_bounded_one_or_refused_by_name(
        members in prop::collection::vec((name(), value()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let text = object(&members);
        match decode(text.as_bytes(), &fallback()) {
            Ok(job) => {
                check_bounds(&job);
                let written = serde_json::to_vec(&job).unwrap();
                prop_assert_eq!(decode(&written, &fallback()).unwrap(), job);
                let mut names: Vec<&String> = members.iter().map(|(name, _)| name).collect();
                names.sort();
                names.dedup();
                prop_assert_eq!(names.len(), members.len(), "a doubled name");
                prop_assert!(names.iter().all(|name| FIELDS.contains(&name.as_str())), "{}", text);
            }
            Err(invalid) => {
                prop_assert!(invalid.message.contains(": ") && invalid.message.len() < 4096, "{}", invalid.message);
                prop_assert!(!invalid.message.chars().any(char::is_control), "{:?}", invalid.message);
            }
        }
        let cut = &text.as_bytes()[..cut.index(text.len())];
        prop_assert!(decode(cut, &fallback()).is_err(), "half a job");
    }

    #[test]
    fn a_job_within_all_bounds_is_taken_and_one_slip_refuses_it(
        job in good(),
        which in any::<prop::sample::Index>(),
        stranger in "[a-z]{1,3}[0-9]",
    ) {
        let body = Value::Object(job.clone()).to_string();
        let decoded = decode(body.as_bytes(), &fallback());
        check_bounds(&decoded.expect("a good job"));

        let members: Vec<(String, Value)> = job.into_iter().collect();
        let with = |more: (String, Value)| {
            let all: Vec<_> = members.iter().cloned().chain([more]).collect();
            decode(object(&all).as_bytes(), &fallback()).expect_err("a slip").message
        };
        let twice = which.get(&members).clone();
        prop_assert_eq!(with(twice.clone()), format!("{}: stands twice", twice.0));
        prop_assert!(with((stranger, Value::Null)).contains("is not a field of a job"));
    }
}
