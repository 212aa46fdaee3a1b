//! `enqueue`: what it takes, what it refuses, and what lies in the queue afterwards.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use lapin::types::ShortString;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Said;
use crate::edges_rig::{SOON, VOLCENGINE, base};
use crate::support::free_address;
use crate::support::rabbit::{Delivered, Namespace, URL};

/// A directory with a configuration and files, and the queues behind it.
struct Desk {
    directory: TempDir,
    namespace: Namespace,
}

impl Desk {
    async fn new(url: &str) -> Self {
        let namespace = Namespace::new(&["volcengine"]).await;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let configuration = base(url, namespace.name(), free_address()) + VOLCENGINE;
        fs::write(directory.path().join("roomsweep.toml"), configuration).expect("written");
        Self { directory, namespace }
    }

    fn enqueue(&self, file: (&str, &str), arguments: &[&str]) -> Said {
        let path = self.directory.path().join(file.0);
        fs::write(&path, file.1).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_roomsweep"));
        command.current_dir(self.directory.path()).env_clear().arg("enqueue").args(arguments);
        let stdin = if file.0 == "stdin" { fs::File::open(path).expect("written").into() } else { Stdio::null() };
        Said::from(command.stdin(stdin).output().expect("the built program starts"))
    }

    /// The jobs in a lane: room, job ID, body.
    async fn jobs(&self, lane: &str, many: usize) -> Vec<Delivered> {
        let queue = self.namespace.of(&format!("jobs.volcengine.{lane}"));
        let jobs = self.namespace.drain(&queue, many, SOON).await;
        assert_eq!((jobs.len(), self.namespace.depth(&queue).await), (many, Some(0)), "{lane}");
        jobs
    }

    /// Neither in its lanes nor in the intake.
    async fn nothing_was_published(&self) {
        for queue in ["jobs", "jobs.volcengine.bulk", "jobs.volcengine.urgent"] {
            let depth = self.namespace.depth(&self.namespace.of(queue)).await;
            assert_eq!(depth.unwrap_or(0), 0, "{queue}");
        }
    }
}

fn ids(jobs: &[Delivered]) -> Vec<String> {
    jobs.iter().map(|job| job.properties.message_id().as_ref().map(ShortString::to_string).expect("an ID")).collect()
}

#[tokio::test]
async fn every_kind_of_input_becomes_confirmed_jobs() {
    let desk = Desk::new(URL).await;
    let fill = ["--provider", "volcengine", "--app", "app"];
    let with_fill = |file: &'static str| [&[file][..], &fill].concat();
    let csv = "\u{feff}room_id,app_id,provider,labels.team\nr1,app,volcengine,live\n\"r,2\",app,volcengine,\n";
    let lines = "{\"provider\":\"volcengine\",\"app_id\":\"app\",\"room_id\":\"r1\"}\n\n\
                 {\"provider\":\"volcengine\",\"app_id\":\"app\",\"room_id\":\"r,2\"}\n";
    let plain = "# rooms\nr1\n\nr,2\n";
    let rooms = [&fill[..], &["--room", "r1", "--room", "r,2"]].concat();
    let inputs: [((&str, &str), Vec<&str>); 5] = [
        (("rooms.csv", csv), vec!["rooms.csv"]),
        (("rooms.jsonl", lines), vec!["rooms.jsonl"]),
        (("rooms.txt", plain), with_fill("rooms.txt")),
        (("stdin", plain), with_fill("-")),
        (("unused", ""), rooms),
    ];
    for (file, arguments) in inputs {
        let said = desk.enqueue(file, &arguments);
        assert_eq!((said.code, said.out.as_str()), (Some(0), "2 confirmed\n"), "{arguments:?}: {}", said.err);
        let jobs = desk.jobs("bulk", 2).await;
        let rooms: Vec<Value> = jobs.iter().map(|job| job.json()["room_id"].clone()).collect();
        assert_eq!(rooms, ["r1", "r,2"], "{arguments:?}");
        for (job, id) in jobs.iter().zip(ids(&jobs)) {
            assert_eq!(job.json()["job_id"], id);
            assert_eq!(job.properties.delivery_mode(), &Some(2));
            assert_eq!(job.properties.content_type(), &Some("application/json".into()));
        }
    }
}

#[tokio::test]
async fn options_fill_what_rows_leave_out_and_a_batch_gives_the_same_ids_again() {
    let desk = Desk::new(URL).await;
    let rows = "room_id,lane,reason\na,,\nb,bulk,its own\nc,,\n";
    let options = "rooms.csv --provider volcengine --app app --batch b7 --lane urgent --reason storm \
                   --expires-at 2099-01-01T00:00:00Z --json";
    let arguments: Vec<&str> = options.split_whitespace().collect();
    let mut runs = Vec::new();
    for _ in 0..2 {
        let said = desk.enqueue(("rooms.csv", rows), &arguments);
        assert_eq!(said.code, Some(0), "{}", said.err);
        let mut told: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert!(told.iter().all(|line| line["state"] == "confirmed"), "{told:?}");
        let (urgent, bulk) = (desk.jobs("urgent", 2).await, desk.jobs("bulk", 1).await);
        let bodies = [urgent[0].json(), bulk[0].json(), urgent[1].json()];
        for (body, (room, reason)) in bodies.iter().zip([("a", "storm"), ("b", "its own"), ("c", "storm")]) {
            let found = (&body["room_id"], &body["reason"], &body["batch_id"], &body["batch_size"]);
            assert_eq!(found, (&json!(room), &json!(reason), &json!("b7"), &json!(3)));
            assert_eq!(body["expires_at"], "2099-01-01T00:00:00Z");
        }
        let published: Vec<Value> = bodies.iter().map(|body| body["job_id"].clone()).collect();
        assert_eq!(told.iter_mut().map(|line| line["job_id"].take()).collect::<Vec<_>>(), published);
        runs.push(published);
    }
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0][0] != runs[0][1] && runs[0][1] != runs[0][2] && runs[0][0] != runs[0][2]);
}

#[tokio::test]
async fn a_bad_row_is_named_and_nothing_of_the_file_is_published() {
    let desk = Desk::new(URL).await;
    let check = |file: (&str, &str), arguments: &[&str], says: &[&str]| {
        let said = desk.enqueue(file, arguments);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{says:?}: {}", said.err);
        says.iter().for_each(|says| assert!(said.err.contains(says), "{says} in {}", said.err));
    };
    let good = "{\"provider\":\"volcengine\",\"app_id\":\"app\",\"room_id\":\"r\"}\n";
    let lines =
        format!("{good}\n{{\"provider\":\"volcengine\",\"app_id\":\"app\",\"rom_id\":\"r\"}}\n{good}nonsense\n");
    let faults = ["r.jsonl: 2 bad rows", "line 3: \"rom_id\": is not a field of a job", "line 5: body: is not"];
    check(("r.jsonl", &lines), &["r.jsonl"], &faults);
    check(("r.csv", "room_id,not_befor\nr,x\n"), &["r.csv"], &["the column \"not_befor\" is not a field of a job"]);
    check(
        ("r.csv", "provider,app_id,room_id\nvolcengine,app,r\nnobody,app,r\n"),
        &["r.csv"],
        &["line 3: provider: nobody is not configured"],
    );
    check(("r.txt", "room\n"), &["r.txt"], &["cannot tell what it holds", "--provider and --app"]);
    check(("r.txt", ""), &["r.txt", "--provider", "Volc"], &["--provider", "may hold only"]);
    check(("r.txt", ""), &["r.txt", "--lane", "fast"], &["must be urgent or bulk"]);
    check(("r.txt", ""), &["r.txt", "--not-before", "noon"], &["RFC 3339"]);
    check(("r.txt", ""), &["--room", "r"], &["--provider"]);
    desk.nothing_was_published().await;
}

#[tokio::test]
async fn a_broker_that_is_away_is_told_apart_from_one_that_disagrees() {
    let away = Desk::new(&format!("amqp://guest:hunter2@{}/%2f", free_address())).await;
    let arguments = ["--provider", "volcengine", "--app", "app", "--room", "r"];
    let said = away.enqueue(("unused", ""), &arguments);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{}", said.err);
    assert!(said.err.contains("nothing was published") && !said.err.contains("hunter2"), "{}", said.err);

    let desk = Desk::new(URL).await;
    let intake = desk.namespace.of("jobs");
    let channel = desk.namespace.channel().await;
    channel.queue_declare(intake.as_str().into(), Default::default(), Default::default()).await.expect("declared");
    let said = desk.enqueue(("unused", ""), &arguments);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(
        said.err.contains(&format!("the queue {intake}")) && said.err.contains("nothing was published"),
        "{}",
        said.err
    );
    assert!(desk.namespace.drain(&intake, 1, Duration::from_millis(100)).await.is_empty());
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_keeps_no_job_from_the_queue() {
    let desk = Desk::new(URL).await;
    let rooms: String = (0..2_000).map(|n| format!("r{n}\n")).collect();
    fs::write(desk.directory.path().join("rooms.txt"), rooms).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_roomsweep"));
    command.current_dir(desk.directory.path()).env_clear();
    command.args(["enqueue", "rooms.txt", "--provider", "volcengine", "--app", "app", "--json"]);
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::with_capacity(64, running.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let said = Said::from(running.wait_with_output().expect("it ends"));
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "after {line}");
    assert_eq!(desk.jobs("bulk", 2_000).await.len(), 2_000);
}

#[tokio::test]
async fn what_cannot_be_written_is_told_once_and_is_no_success() {
    let desk = Desk::new(URL).await;
    fs::write(desk.directory.path().join("rooms.txt"), "a\nb\nc\n").expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_roomsweep"));
    command.current_dir(desk.directory.path()).env_clear();
    command.args(["enqueue", "rooms.txt", "--provider", "volcengine", "--app", "app", "--json"]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux");
    let output = command.stdout(full).stderr(Stdio::piped()).output().expect("it starts");
    let said = Said::from(output);
    assert_eq!(said.code, Some(1));
    assert_eq!(said.err.matches("standard output: No space left on device").count(), 1, "{}", said.err);
    assert_eq!(desk.jobs("bulk", 3).await.len(), 3);
}
