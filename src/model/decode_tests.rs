use super::*;

pub(super) fn fallback() -> JobId {
    JobId::parse("given").unwrap()
}

fn refused(body: &str) -> String {
    decode(body.as_bytes(), &fallback()).expect_err(body).message
}

fn with(member: &str) -> String {
    format!(r#"{{"provider":"volcengine","app_id":"A","room_id":"R",{member}}}"#)
}

#[test]
fn three_fields_make_a_job() {
    let job = decode(br#"{"provider":"volcengine","app_id":"A","room_id":"R"}"#, &fallback()).unwrap();
    assert_eq!(job.job_id, fallback());
    assert_eq!(job.lane, Lane::Bulk);
    assert!(job.labels.is_empty());
}

#[test]
fn what_is_decoded_can_be_written_and_decoded_again() {
    let body = with(
        r#""job_id":"j","batch_id":"b","batch_size":3,"lane":"urgent","not_before":"2026-01-31T18:00:00Z",
           "expires_at":"2026-01-31T19:00:00+01:00","reason":"end","requested_by":"me","labels":{"k":"v"}"#,
    );
    let job = decode(body.as_bytes(), &fallback()).unwrap();
    let again = decode(&serde_json::to_vec(&job).unwrap(), &fallback()).unwrap();
    assert_eq!(job, again);
}

#[test]
fn a_fault_names_its_field() {
    let check = |member: &str, expected: &str| {
        let message = refused(&with(member));
        assert!(message.contains(expected), "{member}: {message}");
    };
    check(r#""not_befor":"2026-01-31T18:00:00Z""#, "\"not_befor\": is not a field of a job");
    check(r#""lane":"fast""#, "lane: must be \"urgent\" or \"bulk\", not \"fast\"");
    check(r#""lane":5"#, "lane: must be a string, not a number");
    check(r#""batch_size":-1"#, "batch_size: must be a whole number");
    check(r#""not_before":"tomorrow""#, "not_before: must be an RFC 3339 time");
    check(r#""not_before":"2026-01-31 18:00:00Z""#, "not_before: must be an RFC 3339 time");
    check(r#""not_before":"2026-01-31T18:00:00""#, "not_before: must be an RFC 3339 time");
    check(r#""job_id":"""#, "job_id: must not be empty");
    check(r#""room_id":"twice""#, "room_id: stands twice");
    check(r#""reason":"a\u0007b""#, "reason: contains the control character U+0007");
    check(r#""labels":{"k":1}"#, "labels: label \"k\": must be a string, not a number");
    check(r#""labels":[]"#, "labels: must be an object of strings, not an array");
    check(&format!(r#""reason":"{}""#, "x".repeat(513)), "reason: is 513 bytes long");
    check(&format!(r#""job_id":"{}""#, "x".repeat(129)), "job_id: is 129 bytes long");
}

#[test]
fn every_missing_field_is_named_and_what_could_be_read_is_kept() {
    let invalid = decode(br#"{"provider":"volcengine","lane":"urgent","room_id":7}"#, &fallback()).unwrap_err();
    assert_eq!(invalid.message, "room_id: must be a string, not a number; app_id: is required");
    assert_eq!(invalid.readable.provider.as_ref().unwrap().as_str(), "volcengine");
    assert_eq!(invalid.readable.lane, Some(Lane::Urgent));
    assert_eq!(invalid.readable.room_id, None);
}

#[test]
fn what_is_no_object_is_refused() {
    assert!(refused("[]").starts_with("body: is not a JSON object"));
    assert!(refused("").starts_with("body: is not a JSON object"));
    assert!(refused(r#"{"a":1} x"#).starts_with("body: is not a JSON object"));
    let invalid = decode(b"\xff{}", &fallback()).unwrap_err();
    assert_eq!(invalid.message, "body: is not UTF-8 (byte 0)");
    let long = vec![b' '; MAX_BODY + 1];
    assert!(decode(&long, &fallback()).unwrap_err().message.starts_with("body: is 65537 bytes long"));
}

#[test]
fn null_is_the_same_as_absent() {
    let job = decode(with(r#""batch_id":null,"labels":null"#).as_bytes(), &fallback()).unwrap();
    assert_eq!(job.batch_id, None);
    assert!(refused(&with(r#""foo":null"#)).contains("not a field"));
}

#[test]
fn many_faults_stay_a_readable_sentence() {
    let message = refused(r#"{"a":1,"b":1,"c":1,"d":1,"e":1}"#);
    assert!(message.ends_with("; and 4 more"), "{message}");
}
