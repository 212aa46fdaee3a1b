//! The demo on a machine that has nothing.

use std::process::Stdio;
use std::time::Instant;

use tokio::process::Command;

/// The words of the first line that begins so.
fn words<'a>(out: &'a str, begins: &str) -> Vec<&'a str> {
    let line = out.lines().find(|line| line.starts_with(begins)).unwrap_or_else(|| panic!("{begins}: {out}"));
    line.split_whitespace().collect()
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how long a real process takes")]
async fn the_demo_ends_well_its_numbers_agree_and_it_leaves_nothing_behind() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let began = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_roomsweep"))
        .arg("demo")
        .env_clear()
        .env("TMPDIR", directory.path())
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the built program starts");
    let took = began.elapsed();
    let out = String::from_utf8(output.stdout).expect("UTF-8");
    let err = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(took.as_secs() < 30, "{took:?}");
    assert!(out.contains("the sandbox saw the same: yes"), "{out}");
    for (provider, rooms, quota) in [("volcengine", 480, 60), ("huawei", 120, 20)] {
        let row = words(&out, provider);
        let number = |place: usize| row[place].parse::<u64>().unwrap_or_else(|_| panic!("{row:?}"));
        assert_eq!(number(1), rooms, "{row:?}");
        assert_eq!(number(2) + number(3) + number(4), rooms, "every room has an outcome: {row:?}");
        assert!(number(3) > 0 && number(4) > 0 && number(5) > 0, "there was some trouble: {row:?}");
        let busiest = row[8].parse::<u64>().expect("a number");
        assert!((quota * 4 / 5..=quota).contains(&busiest), "{row:?}");
    }
    assert_eq!(words(&out, "metrics:")[1], "600");
    assert!(err.contains("of 600, "), "plain lines where there is no terminal: {err}");
    let left: Vec<_> = std::fs::read_dir(directory.path()).expect("ours").collect();
    assert!(left.is_empty(), "{left:?}");
}
