//! How fast the embedded queue lets jobs go: `cargo bench --bench embedded`. No HTTP, only the file.

use std::time::Duration;

use jiff::Timestamp;
use roomsweep::adapters::sqlite::{Part, SqliteQueue};
use roomsweep::model::decode::decode;
use roomsweep::model::ids::{JobId, ProviderName};
use roomsweep::model::job::DismissJob;
use roomsweep::model::progress::Progress;
use roomsweep::model::result::{DismissResult, Ending, Outcome};
use roomsweep::ports::broker::{Broker, Delivery, ProviderKnown, Settlement};
use roomsweep::ports::clock::Clock;
use tokio::task::JoinSet;

const JOBS: usize = 10_000;
const RUNS: usize = 5;

fn main() {
    // `cargo test --benches` starts it too, without this.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for in_flight in [1, 16, 128] {
        let mut rates: Vec<(f64, f64)> = (0..RUNS).map(|_| runtime.block_on(run(in_flight))).collect();
        rates.sort_by(|a, b| a.1.total_cmp(&b.1));
        let (put, settled) = rates[RUNS / 2];
        println!("{in_flight:>4} in flight: {put:>8.0} put in and {settled:>7.0} settled a second");
    }
}

/// Jobs put in, and settled, in a second.
async fn run(in_flight: usize) -> (f64, f64) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let queue =
        SqliteQueue::open(&folder.path().join("queue.db"), Part::Sender, Clock::system()).await.expect("a file");
    let many = if in_flight == 1 { JOBS / 10 } else { JOBS };
    let jobs: Vec<DismissJob> = (0..many).map(job).collect();
    let clock = Clock::system();
    queue.enqueue(&jobs, Some("bench")).await.expect("room");
    let put = clock.elapsed();

    let provider = ProviderName::parse("volcengine").expect("a name");
    let mut source = queue.lanes(&provider, 256).await.expect("a source");
    let mut flights = JoinSet::new();
    for _ in 0..many {
        while flights.len() >= in_flight {
            flights.join_next().await;
        }
        let delivery = loop {
            source.ready().await.expect("jobs");
            if let Some(delivery) = source.best() {
                break delivery;
            }
        };
        flights.spawn(settle(delivery));
    }
    flights.join_all().await;
    let settled = clock.elapsed().saturating_sub(put);
    assert_eq!(queue.tally("bench").await.expect("a tally").over(), many as u64);
    queue.close().await;
    (rate(many, put), rate(many, settled))
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand")]
fn rate(many: usize, took: Duration) -> f64 {
    many as f64 / took.as_secs_f64()
}

fn job(n: usize) -> DismissJob {
    let body = format!(r#"{{"provider": "volcengine", "app_id": "661e0000", "room_id": "room-{n}"}}"#);
    decode(body.as_bytes(), &JobId::parse(format!("job-{n}")).expect("an ID")).expect("a job")
}

async fn settle(delivery: Delivery) {
    let id = JobId::parse(delivery.message.message_id.clone().expect("an ID")).expect("an ID");
    let job = decode(&delivery.message.body, &id).expect("a job");
    let ending = Ending { outcome: Outcome::Dismissed, error: None };
    let progress = Progress::received(Timestamp::UNIX_EPOCH);
    let result = DismissResult::of(&job, progress, ending, Timestamp::UNIX_EPOCH, "bench");
    delivery.settle(&Settlement { result, provider_known: ProviderKnown::Yes }).await.expect("settled");
}
