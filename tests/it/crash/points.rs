//! A worker that dies at a named point of a job's way, and another that goes on.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use roomsweep::ports::crash::Point;
use rustix::process::Signal;

use crate::checker::Losses;
use crate::flow::evidence::{self, assert_empty};
use crate::flow::stage::{self, Job, Worker};
use crate::flow::story;
use crate::support::rabbit::{Namespace, URL, text_headers};
use crate::support::sandbox::Sandbox;

/// Some points at once keep a busy machine busy.
const SOON: Duration = Duration::from_secs(120);
/// A broker as it is installed has 1024 file descriptors, and sets three aside for each of a namespace's 21 queues.
const AT_A_TIME: usize = 4;
const JOBS: usize = 24;
/// Half of the jobs come in by the intake: so many messages are passed on before the first request.
const FORWARDED: u32 = JOBS as u32 / 2;

/// A third each: fine at once, fine at the second try, and never; each by either door.
fn job(index: usize) -> Job {
    let fault = ["", "fail500x1-", "badparam-"][index / 2 % 3];
    Job::new("volcengine", "bulk", format!("{fault}point-{index}"))
}

fn outcome(job: &Job) -> &'static str {
    if job.id.starts_with("badparam-") { "rejected" } else { "dismissed" }
}

/// Where on AMQP a worker dies, and at which passage.
fn crashes() -> Vec<(Point, u32)> {
    let first = Point::ALL.into_iter().filter(|point| match point {
        Point::Uncommitted | Point::Committed => false,
        Point::Received
        | Point::Forwarded
        | Point::Led
        | Point::Picked
        | Point::Signed
        | Point::Written
        | Point::Answered
        | Point::Unconfirmed
        | Point::Told
        | Point::Buried
        | Point::Deferred
        | Point::Acked => true,
    });
    // The first message without a confirm is a job passed on; this one is what a request brought.
    first.map(|point| (point, 1)).chain([(Point::Unconfirmed, FORWARDED + 1), (Point::Acked, FORWARDED + 1)]).collect()
}

#[tokio::test]
async fn a_worker_that_dies_anywhere_on_a_jobs_way_loses_nothing() {
    let crashes = crashes().into_iter().map(|(point, passage)| outlived(point, passage));
    stream::iter(crashes).buffer_unordered(AT_A_TIME).collect::<()>().await;
}

async fn outlived(point: Point, passage: u32) {
    let name = format!("{point:?}:{passage}");
    let namespace = Namespace::new(&["volcengine"]).await;
    let sandbox = Sandbox::start(&[]).await;
    let table = stage::volcengine(&sandbox.endpoint(), "");
    let jobs: Vec<Job> = (0..JOBS).map(job).collect();
    // For the queues.
    Worker::start(&namespace, &table).await.stop().await;
    stage::publish(&namespace, &jobs).await;

    let mut doomed = Worker::launch(URL, &namespace, &table, &[("ROOMSWEEP_CRASH_AT", &name)]);
    let ended = doomed.process.ended(SOON).await;
    assert_eq!(ended.signal(), Some(Signal::ABORT.as_raw()), "{name}: {ended}: {}", doomed.process.log());
    let by_the_doomed = evidence::arrived(&sandbox).await;

    let heir = Worker::start(&namespace, &table).await;
    let mut results = evidence::results_of(&namespace, &jobs, SOON).await;
    evidence::until_idle(&namespace, &heir, Duration::from_secs(60)).await;
    let log = heir.process.log();
    heir.stop().await;
    evidence::take_rest(&namespace, &mut results).await;
    for job in &jobs {
        assert!(
            results[&job.id].iter().all(|result| result.outcome == outcome(job)),
            "{name}: {:#?}",
            results[&job.id]
        );
    }
    // What the doomed one had been answered, nobody else knows; after that nothing is forgotten.
    let losses = Losses::Senders { unknown_ids: by_the_doomed as usize };
    story::check(&jobs, &results, &evidence::seen(&sandbox).await, &[("volcengine", 60)], losses, &[log]);
    assert_buried(&namespace, &jobs, &name).await;
    assert_empty(&namespace).await;
    let repeated = results.values().map(Vec::len).sum::<usize>() - JOBS;
    println!("{name}: after {by_the_doomed} requests; {repeated} results twice");
    namespace.delete_all().await;
}

/// Every rejected job is among the dead letters, and nothing else.
async fn assert_buried(namespace: &Namespace, jobs: &[Job], name: &str) {
    let dead = evidence::drain_all(namespace, "dead").await;
    let found: BTreeSet<String> = dead.iter().map(|dead| text_headers(&dead.properties)["x-job-id"].clone()).collect();
    let expected: BTreeSet<String> =
        jobs.iter().filter(|job| outcome(job) == "rejected").map(|job| job.id.clone()).collect();
    assert_eq!(found, expected, "{name}");
}
