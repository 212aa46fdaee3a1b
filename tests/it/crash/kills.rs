//! `kill -9` again and again, at any moment.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::checker::Losses;
use crate::flow::evidence::{self, assert_empty};
use crate::flow::stage::{self, Job, Worker};
use crate::flow::story;
use crate::support::rabbit::Namespace;
use crate::support::sandbox::Sandbox;

const IN_FLIGHT: usize = 64;
/// A sender that is killed again before it sends is one more moment to be killed at.
const IMPATIENCE: Duration = Duration::from_secs(5);

fn job(index: usize) -> Job {
    let fault = if (index / 2).is_multiple_of(20) { "fail500x1-" } else { "" };
    Job::new("volcengine", "bulk", format!("{fault}kill-{index}"))
}

/// How often; a hundred jobs come for each. `ROOMSWEEP_TEST_KILLS=50` takes four minutes.
fn kills() -> usize {
    #[expect(clippy::disallowed_methods, reason = "whoever runs the tests says how long they may take")]
    let asked = std::env::var("ROOMSWEEP_TEST_KILLS");
    asked.map_or(10, |kills| kills.parse().expect("a number of kills"))
}

#[tokio::test]
async fn killed_again_and_again_workers_lose_no_job() {
    let kills = kills();
    killed(kills * 100, kills).await;
}

async fn killed(count: usize, kills: usize) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let namespace = Namespace::new(&["volcengine"]).await;
    let sandbox = Sandbox::start(&["--qps-volcengine", "200", "--latency", "30ms"]).await;
    let more = format!("max_in_flight = {IN_FLIGHT}");
    let table = stage::volcengine(&sandbox.endpoint(), &more).replace("qps = 60", "qps = 200");
    let jobs: Vec<Job> = (0..count).map(job).collect();

    let mut workers = vec![Worker::start(&namespace, &table).await, Worker::start(&namespace, &table).await];
    // The first are killed while jobs still come in.
    let killing = kill(&namespace, &sandbox, &table, &mut workers, (count, kills), fastrand::Rng::with_seed(seed));
    let (killed_at, ()) = tokio::join!(killing, stage::publish(&namespace, &jobs));
    let within = Duration::from_secs(120) + Duration::from_millis(100) * count as u32;
    let mut results = evidence::results_of(&namespace, &jobs, within).await;
    for worker in &workers {
        evidence::until_idle(&namespace, worker, Duration::from_secs(60)).await;
    }
    let logs: Vec<String> = workers.iter().map(|worker| worker.process.log()).collect();
    for worker in workers {
        worker.stop().await;
    }
    evidence::take_rest(&namespace, &mut results).await;

    let seen = evidence::seen(&sandbox).await;
    let last = *killed_at.last().expect("kills");
    assert!((last as usize) < seen.len(), "the last of {kills} kills came when all was done: {killed_at:?}");
    assert!(results.values().flatten().all(|result| result.outcome == "dismissed"));
    let losses = Losses::Senders { unknown_ids: kills * IN_FLIGHT };
    story::check(&jobs, &results, &seen, &[("volcengine", 200)], losses, &logs);
    assert_empty(&namespace).await;
    let twice = results.values().map(Vec::len).sum::<usize>() - count;
    let requests = seen.len();
    println!("{kills} kills, {count} jobs: {requests} requests, {twice} results twice; killed after {killed_at:?}");
}

/// Kills the sender at moments that nobody chose, and has another worker stand by. Tells after how many requests.
async fn kill(
    namespace: &Namespace,
    sandbox: &Sandbox,
    table: &str,
    workers: &mut Vec<Worker>,
    (count, kills): (usize, usize),
    mut rng: fastrand::Rng,
) -> Vec<u64> {
    let mut killed_at = Vec::new();
    for _ in 0..kills {
        let more = rng.u64(0..(count / kills / 2) as u64);
        let (until, end) = (evidence::arrived(sandbox).await + more, Instant::now() + IMPATIENCE);
        while evidence::arrived(sandbox).await < until && Instant::now() < end {
            sleep(Duration::from_millis(5)).await;
        }
        sleep(Duration::from_micros(rng.u64(0..60_000))).await;
        let sender = workers.iter().position(|worker| worker.process.log().contains("active sender"));
        workers.remove(sender.unwrap_or_default()).process.kill();
        killed_at.push(evidence::arrived(sandbox).await);
        workers.push(Worker::start(namespace, table).await);
    }
    killed_at
}
