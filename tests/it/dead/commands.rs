//! The commands as an operator meets them.

use serde_json::Value;

use super::house::{Grave, House};

/// One of everything.
fn mixed() -> Vec<Grave> {
    let batch = r#"{"provider":"volcengine","app_id":"other","room_id":"r1","job_id":"v2","batch_id":"b1"}"#;
    vec![
        Grave::new("v1", "volcengine", "exhausted").aged(30),
        Grave::new("v2", "volcengine", "rejected").aged(7_200).with_body(batch),
        Grave::new("h1", "huawei", "exhausted").aged(7_200),
        Grave::new("n1", "nobody", "invalid").aged(30),
        Grave::new("i1", "volcengine", "invalid").with_body(b"\xff\x00".to_vec()),
        Grave::new("i2", "volcengine", "invalid").with_body(r#"{"provider":"huawei","rom_id":"r"}"#),
    ]
}

pub async fn a_list_shows_what_matches(house: &impl House) {
    house.bury(&mixed()).await;
    let cases: [(&str, &[&str]); 13] = [
        ("", &["h1", "i1", "i2", "n1", "v1", "v2"]),
        ("--provider volcengine", &["v1", "v2"]),
        ("--provider huawei", &["h1", "i2"]),
        ("--outcome exhausted", &["h1", "v1"]),
        ("--outcome exhausted --provider huawei", &["h1"]),
        ("--batch b1", &["v2"]),
        ("--app other", &["v2"]),
        ("--room room-h1", &["h1"]),
        ("--job i1", &["i1"]),
        ("--older-than 1h", &["h1", "v2"]),
        ("--newer-than 1h", &["i1", "i2", "n1", "v1"]),
        ("--older-than 10s --newer-than 1h --provider volcengine", &["v1"]),
        ("--room none", &[]),
    ];
    for (filters, expected) in cases {
        let said = house.run(&format!("list --json {filters}")).await;
        assert_eq!(said.code, Some(0), "{filters}: {}", said.err);
        let rows: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let mut ids: Vec<&str> = rows.iter().map(|row| row["job_id"].as_str().expect("an ID")).collect();
        ids.sort_unstable();
        assert_eq!(ids, expected, "{filters}");
    }

    let said = house.run("list --outcome exhausted").await;
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(lines[0].starts_with("JOB  PROVIDER    OUTCOME    ROOM"), "{}", said.out);
    let row = lines.iter().find(|line| line.starts_with("h1 ")).expect("a row");
    for cell in ["huawei", "exhausted", "room-h1", " 2h ", "Code: why"] {
        assert!(row.contains(cell), "{cell}: {row}");
    }
    assert_eq!(lines.len(), 3, "{}", said.out);
    assert_eq!(house.run("list --json --limit 2").await.out.lines().count(), 2);
    assert_eq!(house.take_all().await.1.len(), 6, "a list changes nothing");
}

pub async fn show_tells_all_of_one_job(house: &impl House) {
    house.bury(&mixed()).await;
    house.bury(&[Grave { run: 2, ..Grave::new("v1", "volcengine", "rejected") }]).await;
    let said = house.run("show v1 --json").await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    let mut found: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    found.sort_by_key(|letter| letter["run"].as_u64());
    assert_eq!((found.len(), &found[0]["outcome"], &found[1]["outcome"]), (2, &"exhausted".into(), &"rejected".into()));
    let body: Value = serde_json::from_str(found[0]["body"].as_str().expect("text")).expect("JSON");
    assert_eq!((&body["room_id"], &found[0]["error"]), (&"room-v1".into(), &"Code: why".into()));
    assert_eq!((&found[0]["run"], &found[0]["attempts"]), (&1.into(), &1.into()));
    assert_eq!(found[0]["last_run"]["log"][0]["request_id"], "q-v1");
    assert!(found[0]["properties"]["headers"]["x-error"].is_string(), "{}", found[0]);

    let binary: Value = serde_json::from_str(&house.run("show i1").await.out).expect("indented JSON");
    assert_eq!((&binary["body_base64"], &binary["body"]), (&"/wA=".into(), &Value::Null));
    assert_eq!(house.run("show v1 --outcome rejected --json").await.out.lines().count(), 1);
    let said = house.run("show nothing").await;
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    assert!(said.err.contains("no dead letter of job nothing"), "{}", said.err);
}

pub async fn nothing_is_done_unasked(house: &impl House) {
    house.bury(&mixed()).await;
    for line in ["redrive", "purge"] {
        let said = house.run(line).await;
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{line}: {}", said.err);
        assert!(said.err.contains("6 of 6 dead letters match: 2 exhausted, 3 invalid, 1 rejected"), "{}", said.err);
        assert!(said.err.contains("no terminal to ask at: add --yes"), "{}", said.err);
    }
    let (jobs, dead) = house.take_all().await;
    assert_eq!((jobs.len(), dead.len()), (0, 6));
}

pub async fn purge_removes_what_matches_and_nothing_else(house: &impl House) {
    house.bury(&mixed()).await;
    let said = house.run("purge --older-than 1h --yes").await;
    assert_eq!((said.code, said.out.as_str()), (Some(0), "2 purged\n"), "{}", said.err);
    assert!(said.err.contains("2 of 6 dead letters match: 1 exhausted, 1 rejected; 1 at huawei"), "{}", said.err);
    let said = house.run("purge --outcome invalid --limit 2 --yes").await;
    assert_eq!((said.code, said.out.as_str()), (Some(0), "2 purged\n"), "{}", said.err);
    assert_eq!(house.run("purge --room none --yes").await.out, "0 purged\n");
    let (jobs, dead) = house.take_all().await;
    assert_eq!((jobs.len(), dead.len()), (0, 2));
    assert!(dead.contains(&"v1".to_owned()), "{dead:?}");
}

pub async fn redrive_sends_jobs_to_their_lanes_and_leaves_what_is_none(house: &impl House) {
    house.bury(&mixed()).await;
    let said = house.run("redrive --yes").await;
    assert_eq!((said.code, said.out.as_str()), (Some(0), "3 redriven\n"), "{}", said.err);
    let stays = "3 cannot be redriven and stay: 2 no job, 1 of provider nobody, which is not configured";
    assert!(said.err.contains("6 of 6 dead letters match") && said.err.contains(stays), "{}", said.err);
    let said = house.run("redrive --outcome invalid --yes").await;
    assert_eq!((said.code, said.out.as_str()), (Some(1), "0 redriven\n"), "{}", said.err);
    let (mut jobs, mut dead) = house.take_all().await;
    jobs.sort();
    dead.sort();
    assert_eq!(
        (jobs, dead),
        (vec!["h1".into(), "v1".into(), "v2".into()], vec!["i1".into(), "i2".into(), "n1".into()])
    );
}

pub async fn wrong_filters_are_usage_errors(house: &impl House) {
    for (line, says) in [
        ("list --outcome dismissed", "must be rejected, exhausted or invalid"),
        ("purge --older-than 5", "time unit needed"),
        ("show", "JOB_ID"),
        ("redrive --limit 0", "--limit"),
        ("bury", "unrecognized subcommand"),
    ] {
        let said = house.run(line).await;
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{line}: {}", said.err);
        assert!(said.err.contains(says), "{line}: {}", said.err);
    }
    for line in ["--help", "list --help", "show --help", "redrive --help", "purge --help"] {
        let said = house.run(line).await;
        assert!(said.out.contains("Example") && said.out.contains("roomsweep dead "), "{line}: {}", said.out);
    }
}
