use super::*;

const NOW: i64 = 1_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn letter(body: &str) -> DeadLetter {
    DeadLetter {
        mark: Mark(1),
        body: body.into(),
        job_id: Some(JobId::parse("j").unwrap()),
        outcome: Some(Outcome::Exhausted),
        error: "InternalError: why".into(),
        settled_at: Some(at(NOW - 60)),
        last_run: Some(Progress { run: 3, attempts: 8, transient: 8, ..Progress::received(at(NOW - 90)) }),
        properties: Value::Null,
        unreadable: None,
    }
}

fn job() -> DeadLetter {
    letter(r#"{"provider":"volcengine","app_id":"a","room_id":"r","batch_id":"b","lane":"urgent"}"#)
}

#[test]
fn a_redriven_job_starts_afresh_in_its_next_run() {
    let redrive = job().redrive(at(NOW)).unwrap();
    assert_eq!((redrive.job.job_id.as_str(), redrive.job.lane), ("j", Lane::Urgent));
    assert_eq!(redrive.progress, Progress { run: 4, ..Progress::received(at(NOW)) });
    let unknown = DeadLetter { last_run: None, ..job() };
    assert_eq!(unknown.redrive(at(NOW)).unwrap().progress.run, 2);
}

#[test]
fn what_is_no_job_cannot_be_redriven_and_says_why() {
    let invalid = letter(r#"{"provider":"volcengine","rom_id":"r"}"#);
    assert!(invalid.redrive(at(NOW)).unwrap_err().message.contains("rom_id"));
    assert_eq!(invalid.summary().provider.unwrap().as_str(), "volcengine", "what could be read is shown");
}

#[test]
fn a_filter_takes_what_agrees_in_all_that_it_names() {
    let summary = job().summary();
    let check = |filter: Filter, expected: bool| {
        assert_eq!(filter.matches(&summary, at(NOW)), expected, "{filter:?}");
    };
    let any = Filter::default;
    check(any(), true);
    for (name, expected) in [("volcengine", true), ("huawei", false)] {
        check(Filter { provider: Some(ProviderName::parse(name).unwrap()), ..any() }, expected);
    }
    check(Filter { outcome: Some(Outcome::Exhausted), ..any() }, true);
    check(Filter { outcome: Some(Outcome::Invalid), ..any() }, false);
    for (id, expected) in [("b", true), ("c", false)] {
        check(Filter { batch: Some(BatchId::parse(id).unwrap()), ..any() }, expected);
    }
    for (id, expected) in [("a", true), ("b", false)] {
        check(Filter { app: Some(AppId::parse(id).unwrap()), ..any() }, expected);
    }
    for (id, expected) in [("r", true), ("R", false)] {
        check(Filter { room: Some(RoomId::parse(id).unwrap()), ..any() }, expected);
    }
    for (id, expected) in [("j", true), ("k", false)] {
        let job = Some(JobId::parse(id).unwrap());
        check(Filter { job, outcome: Some(Outcome::Exhausted), ..any() }, expected);
    }
}

#[test]
fn a_letter_is_older_or_newer_than_a_limit_and_one_of_unknown_age_is_neither() {
    let known = job().summary();
    let unknown = Summary { settled_at: None, ..known.clone() };
    for limit in [0, 1, 59, 60, 61, u64::MAX] {
        let limit = Some(Duration::from_secs(limit));
        let older = Filter { older_than: limit, ..Filter::default() };
        let newer = Filter { newer_than: limit, ..Filter::default() };
        let is_older = limit <= Some(Duration::from_secs(60));
        assert_eq!(
            (older.matches(&known, at(NOW)), newer.matches(&known, at(NOW))),
            (is_older, !is_older),
            "{limit:?}"
        );
        assert!(!older.matches(&unknown, at(NOW)) && !newer.matches(&unknown, at(NOW)));
    }
}
