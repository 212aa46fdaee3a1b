use std::fmt::Write as _;

use super::*;

fn provider(name: &str) -> ProviderName {
    ProviderName::parse(name).unwrap()
}

/// Provider and application given, as by `--provider v --app A`.
fn given() -> Fill {
    Fill { provider: Some(provider("v")), app_id: Some(AppId::parse("A").unwrap()), ..Fill::default() }
}

fn batch(name: &str) -> Fill {
    Fill { batch_id: Some(BatchId::parse(name).unwrap()), ..given() }
}

fn try_read(name: &str, text: impl AsRef<[u8]>, fill: &Fill) -> Result<Vec<DismissJob>, InputError> {
    let mut count = 0;
    let mut fresh_id = || {
        count += 1;
        JobId::parse(format!("fresh-{count}")).unwrap()
    };
    read(text.as_ref(), name, Terms { fill, known: None, fresh_id: &mut fresh_id })
}

fn good(name: &str, text: &str, fill: &Fill) -> Vec<DismissJob> {
    try_read(name, text, fill).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn bad(name: &str, text: impl AsRef<[u8]>, fill: &Fill) -> Vec<String> {
    match try_read(name, text, fill) {
        Err(InputError::Rows { faults, .. }) => faults.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

fn room_ids(jobs: &[DismissJob]) -> Vec<&str> {
    jobs.iter().map(|job| job.room_id.as_str()).collect()
}

#[test]
fn json_lines_are_jobs_and_what_they_leave_out_is_filled() {
    let text = "{\"provider\":\"p\",\"app_id\":\"B\",\"room_id\":\"r1\",\"job_id\":\"mine\",\"lane\":\"bulk\",\"labels\":{\"k\":\"v\"}}\r\n\
                \n  {\"room_id\":\"r2\",\"reason\":null}\n{\"room_id\":\"r3\",\"provider\":null}";
    let fill = Fill {
        lane: Some(Lane::Urgent),
        reason: Some("storm".into()),
        requested_by: Some("me".into()),
        not_before: Some("2026-01-31T18:00:00Z".parse().unwrap()),
        expires_at: Some("2026-01-31T19:00:00Z".parse().unwrap()),
        ..given()
    };
    let jobs = good("-", text, &fill);
    assert_eq!(room_ids(&jobs), ["r1", "r2", "r3"]);
    assert_eq!((jobs[0].provider.as_str(), jobs[0].app_id.as_str(), jobs[0].lane), ("p", "B", Lane::Bulk));
    assert_eq!((jobs[0].job_id.as_str(), jobs[0].labels["k"].as_str()), ("mine", "v"));
    assert_eq!((jobs[1].provider.as_str(), jobs[1].app_id.as_str(), jobs[1].lane), ("v", "A", Lane::Urgent));
    assert_eq!((jobs[1].reason.as_deref(), jobs[1].requested_by.as_deref()), (Some("storm"), Some("me")));
    assert_eq!((jobs[1].not_before, jobs[1].expires_at), (fill.not_before, fill.expires_at));
    assert_eq!((jobs[1].job_id.as_str(), jobs[2].job_id.as_str()), ("fresh-1", "fresh-2"));
    assert_eq!(jobs[2].provider.as_str(), "v");
}

#[test]
fn csv_columns_name_fields_and_empty_cells_are_absent() {
    let text = "\u{feff}room_id, app_id,provider,batch_id,batch_size,lane,not_before,reason,labels.team,labels.k\r\n\
                r1,A,v,b,7,urgent,2026-01-31T18:00:00Z,\"said \"\"stop\"\",\r\nat once\",red,\r\n\
                \"r,2\",A,v,,,,,,,\r\n";
    let error = bad("jobs.csv", text, &Fill::default());
    assert_eq!(error, ["line 2: reason: contains the control character U+000D"]);
    let jobs = good("jobs.csv", &text.replace(",\r\nat", " at"), &Fill::default());
    assert_eq!(room_ids(&jobs), ["r1", "r,2"]);
    assert_eq!((jobs[0].batch_size, jobs[0].lane), (Some(7), Lane::Urgent));
    assert_eq!(jobs[0].reason.as_deref(), Some("said \"stop\" at once"));
    assert_eq!(jobs[0].not_before, Some("2026-01-31T18:00:00Z".parse().unwrap()));
    assert_eq!(jobs[0].labels.iter().collect::<Vec<_>>(), [(&"team".to_owned(), &"red".to_owned())]);
    let rest = &jobs[1];
    assert!(rest.batch_id.is_none() && rest.batch_size.is_none() && rest.reason.is_none() && rest.labels.is_empty());
    assert_eq!(rest.lane, Lane::Bulk);
}

#[test]
fn plain_lines_are_rooms_without_blanks_and_comments() {
    let jobs = good("rooms.txt", "\u{feff}# rooms of today\r\nr1\r\n\r\n  r 2 \n#r3\n房间\nr1", &given());
    assert_eq!(room_ids(&jobs), ["r1", "r 2", "房间", "r1"]);
    assert_eq!((jobs[0].provider.as_str(), jobs[0].app_id.as_str()), ("v", "A"));
}

#[test]
fn rooms_can_be_given_one_by_one() {
    let mut fresh_id = || JobId::parse("fresh").unwrap();
    let fill = batch("b");
    let jobs = rooms(&["r1".into(), "r2".into()], Terms { fill: &fill, known: None, fresh_id: &mut fresh_id }).unwrap();
    assert_eq!(room_ids(&jobs), ["r1", "r2"]);
    assert_eq!(jobs[0].batch_size, None, "more rooms of the batch may be given later");
    let error = rooms(&["r1".into(), String::new()], Terms { fill: &fill, known: None, fresh_id: &mut fresh_id });
    assert!(error.unwrap_err().to_string().ends_with("line 2: room_id: must not be empty"));
}

#[test]
fn an_empty_file_holds_no_jobs() {
    for text in ["", "\n \r\n", "\u{feff}"] {
        assert!(good("-", text, &Fill::default()).is_empty());
    }
}

#[test]
fn a_bad_row_is_named_by_its_line() {
    let json = "{\"provider\":\"v\",\"app_id\":\"A\",\"room_id\":\"r\"}\n\nnot json\n{\"provider\":\"v\",\"app_id\":\"A\",\"room_id\":\"r\",\"room_id\":\"s\",\"not_befor\":1}\n";
    let faults = bad("-", json, &Fill::default());
    assert!(faults[0].starts_with("line 3: body: is not a JSON object"), "{faults:?}");
    assert!(
        faults[1].starts_with("line 4: room_id: stands twice; \"not_befor\": is not a field of a job"),
        "{faults:?}"
    );

    assert_eq!(bad("rooms.txt", b"r1\n\xff\n", &given()), ["line 2: is not UTF-8 (byte 0)"]);
    assert_eq!(
        bad("rooms.txt", format!("r1\n{}", "x".repeat(257)), &given()),
        ["line 2: room_id: is 257 bytes long, at most 256 are allowed"]
    );
}

#[test]
fn a_csv_row_is_named_by_the_line_it_begins_on() {
    for newline in ["\n", "\r\n"] {
        let lines = [
            "",
            "room_id,reason",
            "",
            "r1,ok",
            "r2",
            "",
            "",
            "r3,\"two",
            "lines\"",
            "r4,x,y",
            "r5 ,x",
            ",x",
            "r6,\u{7}",
        ];
        let faults = bad("a.csv", lines.join(newline), &given());
        let shown: Vec<&str> = faults.iter().map(String::as_str).collect();
        let control = if newline == "\n" { "U+000A" } else { "U+000D" };
        assert_eq!(
            shown,
            [
                "line 5: the header has 2 cells, this row 1",
                &format!("line 8: reason: contains the control character {control}"),
                "line 10: the header has 2 cells, this row 3",
                "line 11: room_id: begins or ends with a space (if it is meant, write JSON lines)",
                "line 12: room_id: is required",
                "line 13: reason: contains the control character U+0007",
            ]
        );
    }
    assert_eq!(bad("a.csv", b"room_id\nr1\n\xff\n", &given()), ["line 3: room_id: is not UTF-8"]);
    let size = bad("a.csv", "room_id,batch_size\nr1,many", &given());
    assert_eq!(size, ["line 2: batch_size: must be a whole number of 0 or more, not \"many\""]);
}

#[test]
fn a_header_that_names_no_fields_is_refused_once() {
    let check = |header: &str, fill: &Fill, expected: &[&str]| {
        let faults = bad("a.csv", format!("{header}\nr1\nr2\n"), fill);
        assert_eq!(faults.len(), expected.len(), "{faults:?}");
        for (fault, expected) in faults.iter().zip(expected) {
            assert!(fault.starts_with(&format!("line 1: {expected}")), "{fault}");
        }
    };
    check("room_id", &Fill::default(), &["the header has no column provider", "the header has no column app_id"]);
    check("rom_id", &given(), &["the column \"rom_id\" is not a field of a job", "the header has no column room_id"]);
    check("room_id,room_id", &given(), &["the column \"room_id\" stands twice"]);
    check("room_id,labels", &given(), &["labels stand in columns of their own"]);
    check("room_id,labels.", &given(), &["the column \"labels.\" is not a field"]);
}

#[test]
fn all_bad_rows_are_counted_and_the_first_are_shown() {
    let error = try_read("a.csv", format!("room_id\n{}", "x,y\n".repeat(100)), &given()).unwrap_err();
    let InputError::Rows { faults, total, .. } = &error else { panic!("{error}") };
    assert_eq!((faults.len(), *total), (SHOWN, 100));
    let text = error.to_string();
    assert!(
        text.starts_with(
            "a.csv: 100 bad rows, so nothing of it is taken\n  line 2: the header has 1 cells, this row 2"
        ),
        "{text}"
    );
    assert!(text.ends_with("\n  … and 80 more"), "{text}");
}

#[test]
fn a_provider_that_is_not_configured_is_refused_where_the_configured_ones_are_known() {
    let fill = given();
    let mut fresh_id = || JobId::parse("fresh").unwrap();
    let mut check = |known: Option<&[ProviderName]>| {
        read(&b"r1\n"[..], "-", Terms { fill: &fill, known, fresh_id: &mut fresh_id }).map(|jobs| jobs.len())
    };
    assert_eq!(check(None).unwrap(), 1);
    assert_eq!(check(Some(&[provider("v")])).unwrap(), 1);
    let error = check(Some(&[provider("a"), provider("b")])).unwrap_err();
    assert!(error.to_string().ends_with("line 1: provider: v is not configured (configured: a, b)"), "{error}");
}

#[test]
fn in_a_batch_the_same_room_has_the_same_id_in_every_run_and_format() {
    let first = good("-", "r1\nr2\nr1\n", &batch("b"));
    let again = good("a.csv", "room_id\nr1\nr2\nr1\n", &batch("b"));
    assert_eq!(first, again);
    assert_eq!(first[0].job_id, first[2].job_id, "a room that stands twice is kept twice");
    assert_ne!(first[0].job_id, first[1].job_id);
    assert_ne!(first[0].job_id, good("-", "r1", &batch("c"))[0].job_id);
    // Fixed for ever: a run of a later version must find the jobs of an earlier one.
    assert_eq!(first[0].job_id.as_str(), "83dfc8e71c715948a6798ad20568e0b1");
    let own = good("-", "{\"room_id\":\"r1\",\"job_id\":\"mine\"}\n{\"room_id\":\"r1\",\"job_id\":null}", &batch("b"));
    assert_eq!(own[0].job_id.as_str(), "mine");
    assert_eq!(own[1].job_id, first[0].job_id);
}

#[test]
fn a_derived_id_keeps_its_parts_apart() {
    let id = |app: &str, room: &str| {
        derived_id(
            &BatchId::parse("b").unwrap(),
            &provider("v"),
            &AppId::parse(app).unwrap(),
            &RoomId::parse(room).unwrap(),
        )
    };
    assert_ne!(id("ab", "c"), id("a", "bc"));
}

#[test]
fn the_size_of_a_batch_is_what_the_file_has_for_it() {
    let text = "{\"room_id\":\"r1\"}\n{\"room_id\":\"r2\"}\n{\"room_id\":\"r1\"}\n\
                {\"room_id\":\"r3\",\"batch_size\":9}\n{\"room_id\":\"r4\",\"batch_id\":\"other\"}";
    let sizes: Vec<_> = good("-", text, &batch("b")).iter().map(|job| job.batch_size).collect();
    assert_eq!(sizes, [Some(3), Some(3), Some(3), Some(9), None]);
    assert_eq!(good("-", "r1", &given())[0].batch_size, None);
}

#[test]
fn a_file_that_breaks_off_is_an_error() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("disk on fire"))
        }
    }
    for begin in [&b"room_id\nr1\n"[..], b"r1\n", b"{\"room_id\":\"r1\"}\n", b""] {
        let fill = given();
        let mut fresh_id = || JobId::parse("fresh").unwrap();
        let source = io::BufReader::new(begin.chain(Broken));
        let error = read(source, "-", Terms { fill: &fill, known: None, fresh_id: &mut fresh_id }).unwrap_err();
        assert!(matches!(&error, InputError::Read { source, .. } if source.to_string() == "disk on fire"), "{error:?}");
    }
}

#[test]
fn a_hundred_thousand_rows_are_read() {
    let mut text = "room_id,app_id,provider,reason,labels.team\n".to_owned();
    for row in 0..100_000 {
        writeln!(text, "room-{row},app-{},v,end of session,red", row % 7).unwrap();
    }
    let jobs = good("big.csv", &text, &Fill { batch_id: Some(BatchId::parse("b").unwrap()), ..Fill::default() });
    assert_eq!((jobs.len(), jobs[99_999].room_id.as_str(), jobs[0].batch_size), (100_000, "room-99999", Some(100_000)));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(
        extension in proptest::sample::select(vec!["csv", "jsonl", "txt"]),
        tokens in proptest::collection::vec(
            proptest::sample::select(vec!["room_id", ",", "\"", "\r", "\n", "{", "}", ":", "é", "\u{feff}", "labels.x", "#", "\0"]), 0..32),
    ) {
        let _ = try_read(&format!("a.{extension}"), tokens.concat(), &given());
    }
}
