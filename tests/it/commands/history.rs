//! `history`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use roomsweep::model::ids::{AppId, RequestId, RoomId};
use roomsweep::model::result::{DismissResult, Outcome};

use super::books::{Books, Said, of_batch, provider, result};

/// One of everything; by age: a minute, an hour, a day.
fn mixed() -> Vec<DismissResult> {
    let mut other = result("other", Outcome::AlreadyGone, 3_600);
    other.provider = Some(provider("huawei"));
    other.app_id = Some(AppId::parse("app-2").unwrap());
    other.room_id = Some(RoomId::parse("room \"7\", 房").unwrap());
    let again = DismissResult { run: 2, ..result("again", Outcome::Dismissed, 60) };
    vec![
        of_batch("b1", result("one", Outcome::Dismissed, 60)),
        of_batch("b1", result("two", Outcome::Exhausted, 86_400)),
        other,
        result("again", Outcome::Rejected, 86_400),
        again,
    ]
}

fn read(said: &Said) -> Vec<DismissResult> {
    said.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

pub async fn every_filter_finds_its_results_and_only_those(books: &Books) {
    books.record(&mixed()).await;
    let cases: [(&str, &[(&str, u32)]); 16] = [
        ("--provider volcengine", &[("again", 1), ("again", 2), ("one", 1), ("two", 1)]),
        ("--provider huawei", &[("other", 1)]),
        ("--app app-2", &[("other", 1)]),
        ("--room room-one", &[("one", 1)]),
        ("--batch b1", &[("one", 1), ("two", 1)]),
        ("--batch b1 --outcome exhausted", &[("two", 1)]),
        ("--job again", &[("again", 1), ("again", 2)]),
        ("--request-id q-two-1", &[("two", 1)]),
        ("--request-id q-two-2", &[("two", 1)]),
        ("--outcome rejected --outcome already_gone", &[("again", 1), ("other", 1)]),
        ("--since 2h", &[("again", 2), ("one", 1), ("other", 1)]),
        ("--until 2h", &[("again", 1), ("two", 1)]),
        ("--since 2h --until 10m", &[("other", 1)]),
        ("--since 2000-01-01T00:00:00Z --job one", &[("one", 1)]),
        ("--room nothing", &[]),
        ("--provider huawei --batch b1", &[]),
    ];
    for (filters, expected) in cases {
        let said = books.run(&format!("history --json {filters}")).await.ends(0);
        let mut found: Vec<(String, u32)> =
            read(&said).iter().map(|result| (result.job_id.to_string(), result.run)).collect();
        found.sort();
        let found: Vec<(&str, u32)> = found.iter().map(|(job, run)| (job.as_str(), *run)).collect();
        assert_eq!(found, expected, "{filters}");
        assert_eq!(said.err.contains("no result matches"), expected.is_empty(), "{filters}: {}", said.err);
    }
    let said = books.run("history").await.ends(2);
    assert!(said.err.contains("--room <ROOM>") && said.err.contains("--request-id <ID>"), "{}", said.err);
    books.run("history --job one --json --csv").await.ends(2);
    books.run("history --limit 5").await.ends(2);
}

pub async fn csv_and_json_tell_the_same(books: &Books) {
    books.record(&mixed()).await;
    let json = read(&books.run("history --since 30d --json").await.ends(0));
    let whole: BTreeSet<String> = json.iter().map(|result| serde_json::to_string(result).unwrap()).collect();
    assert_eq!(whole, mixed_as_kept(&json), "results are whole, as they were published");
    let csv = books.run("history --since 30d --csv").await.ends(0).out;
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    let rows: Vec<BTreeMap<String, String>> = rows.deserialize().map(Result::unwrap).collect();
    assert_eq!(rows.len(), json.len());
    for (row, result) in rows.iter().zip(&json) {
        assert_eq!(row["job_id"], result.job_id.as_str());
        assert_eq!(row["room_id"], result.room_id.as_ref().unwrap().as_str());
        assert_eq!(row["settled_at"], result.settled_at.to_string());
        let ids: Vec<&str> = row["request_ids"].split(' ').collect();
        assert_eq!(ids, [format!("q-{}-1", result.job_id), format!("q-{}-2", result.job_id)]);
    }
}

/// What was recorded, with the times at which it was.
fn mixed_as_kept(kept: &[DismissResult]) -> BTreeSet<String> {
    let find = |made: &DismissResult| kept.iter().find(|kept| kept.job_id == made.job_id && kept.run == made.run);
    let as_kept = mixed().into_iter().map(|made| {
        let kept = find(&made).unwrap_or_else(|| panic!("{} is missing", made.job_id));
        let apart = kept.settled_at.duration_since(made.settled_at);
        assert!(apart.unsigned_abs() < Duration::from_secs(60), "{apart:?}");
        let mut attempts = made.attempt_log.clone();
        attempts.iter_mut().zip(&kept.attempt_log).for_each(|(made, kept)| made.at = kept.at);
        DismissResult { settled_at: kept.settled_at, received_at: kept.received_at, attempt_log: attempts, ..made }
    });
    as_kept.map(|result| serde_json::to_string(&result).unwrap()).collect()
}

pub async fn a_table_shows_few_results_with_their_attempts(books: &Books) {
    books.record(&mixed()).await;
    let said = books.run("history --room room-two").await.ends(0);
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(lines[0].starts_with("SETTLED") && lines[0].contains("OUTCOME    PROVIDER    APP  ROOM"), "{}", said.out);
    for cell in ["exhausted", "volcengine", "app", "room-two", "two", "q-two-2", "end of class"] {
        assert!(lines[1].contains(cell), "{cell}: {}", lines[1]);
    }
    assert!(lines[2].contains("attempt 1 at ") && lines[2].contains("request ID q-two-1, InternalError: try again"));
    assert!(lines[3].contains("attempt 2 at ") && lines[3].ends_with("request ID q-two-2"), "{}", said.out);
    assert_eq!((lines.len(), said.err.as_str()), (4, ""));
}

fn many(count: usize, padding: &str) -> Vec<DismissResult> {
    let padded = |n: usize| DismissResult {
        reason: Some(padding.to_owned()),
        // A few share each moment.
        ..result(&format!("j{n:05}"), Outcome::Dismissed, i64::try_from(n / 7).unwrap())
    };
    (0..count).map(padded).map(|result| of_batch("many", result)).collect()
}

pub async fn all_pages_hold_each_result_once(books: &Books) {
    books.record(&many(1_203, "")).await;
    let said = books.run("history --batch many --limit 0 --json").await.ends(0);
    let all = read(&said);
    let ids: BTreeSet<_> = all.iter().map(|result| result.job_id.clone()).collect();
    assert_eq!((all.len(), ids.len()), (1_203, 1_203));
    assert!(all.is_sorted_by(|a, b| a.settled_at >= b.settled_at), "the last first");
    assert_eq!(said.err, "");
    for (limit, shown, more) in [("", 100, true), ("--limit 1203", 1_203, false), ("--limit 1000", 1_000, true)] {
        let said = books.run(&format!("history --batch many --json {limit}")).await.ends(0);
        assert_eq!(said.out.lines().count(), shown, "{limit}");
        let told = format!("there are more than these {shown}: --limit 0 shows all");
        assert_eq!(said.err.contains(&told), more, "{limit}: {}", said.err);
    }
    let said = books.run("history --batch many --limit 600").await.ends(0);
    assert_eq!((said.out.lines().count(), said.out.matches("SETTLED").count()), (601, 1), "one title over all pages");
}

pub async fn many_results_are_written_in_little_memory(books: &Books) {
    const RESULTS: usize = 12_000;
    let padding = "x".repeat(512);
    books.record(&many(RESULTS, &padding)).await;
    let mut peaks = Vec::new();
    for limit in [1_000, RESULTS] {
        let out = books.directory.path().join("out");
        let mut command = books.command(&format!("history --batch many --json --limit {limit}"));
        let mut running = command.stdout(fs::File::create(&out).unwrap()).spawn().expect("starts");
        let status = format!("/proc/{}/status", running.id());
        let mut peak = 0;
        while running.try_wait().expect("our own child").is_none() {
            peak = fs::read_to_string(&status).ok().and_then(|status| most(&status)).unwrap_or(0).max(peak);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Said::of(running).await.ends(0);
        assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), limit);
        peaks.push(peak);
    }
    println!("{peaks:?} KiB at most");
    assert!(peaks[1] < peaks[0] + 4 * 1024, "{peaks:?} KiB");
}

/// The most memory that a process had, in KiB.
fn most(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

pub async fn a_reader_that_has_seen_enough_ends_it_quietly(books: &Books) {
    books.record(&many(1_500, "")).await;
    for format in ["--json", "--csv", ""] {
        let mut running = books.start(&format!("history --batch many --limit 0 {format}"));
        let mut line = String::new();
        BufReader::with_capacity(64, running.stdout.take().unwrap()).read_line(&mut line).expect("a line");
        let said = Said::of(running).await.ends(0);
        assert!(!line.is_empty() && said.err.is_empty(), "{format}: {}", said.err);
    }
    let id = RequestId::parse("q-j00007-1").unwrap();
    let said = books.run(&format!("history --request-id {id} --json")).await.ends(0);
    assert_eq!(read(&said).len(), 1);
}
