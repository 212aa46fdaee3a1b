//! Brokers that go away for a while, under a worker at full load: nothing is lost, and sending goes on soon after.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::checker::Losses;
use crate::flow::evidence;
use crate::flow::stage::{self, Job, Worker};
use crate::flow::story;
use crate::side_by_side::side_by_side;
use crate::support::node::Node;
use crate::support::rabbit::Namespace;
use crate::support::sandbox::Sandbox;
use crate::support::{eventually, http};

/// The bound for dispatch to go on after the broker's return.
const GOES_ON_WITHIN: Duration = Duration::from_secs(15);
/// More than the last straggler of a burst that was under way when the trouble began.
const FRESH: u64 = 60;
/// What a round adds: about seven seconds of sending.
const ROUND: usize = 400;
const QUOTA: usize = 60;
const FROZEN: Duration = Duration::from_secs(40);
const ALARMED: Duration = Duration::from_secs(30);

/// A worker with more to do than it can, on a broker of its own.
struct Load {
    node: Node,
    namespace: Namespace,
    sandbox: Sandbox,
    worker: Worker,
    jobs: Vec<Job>,
}

impl Load {
    async fn start() -> Self {
        let node = Node::start("").await;
        let namespace = Namespace::on(&node.url(), &["volcengine"]).await;
        let sandbox = Sandbox::start(&["--latency", "50ms"]).await;
        let table = stage::volcengine(&sandbox.endpoint(), "");
        let worker = Worker::start_by(&node.url(), &namespace, &table).await;
        let mut load = Self { node, namespace, sandbox, worker, jobs: Vec::new() };
        load.add().await;
        evidence::until_arrived(&load.sandbox, FRESH).await;
        load
    }

    /// Puts more in; every twentieth job needs a second attempt.
    async fn add(&mut self) {
        let first = self.jobs.len();
        let id =
            |index: usize| if index.is_multiple_of(20) { format!("fail500x1-o{index}") } else { format!("o{index}") };
        let more: Vec<Job> = (first..first + ROUND).map(|index| Job::new("volcengine", "bulk", id(index))).collect();
        stage::publish(&self.namespace, &more).await;
        self.jobs.extend(more);
    }

    /// To be asked at the broker's return.
    async fn goes_on(&mut self, after: &str) {
        let began = Instant::now();
        let before = evidence::arrived(&self.sandbox).await;
        eventually(&format!("{after}: dispatch goes on"), GOES_ON_WITHIN, || async {
            (evidence::arrived(&self.sandbox).await > before).then_some(())
        })
        .await;
        println!("{after}: {before} requests before, the next one {:?} after the broker's return", began.elapsed());
        self.add().await;
        evidence::until_arrived(&self.sandbox, before + FRESH).await;
    }

    /// Waits for all results, and judges them.
    async fn end(self, name: &str, losses: Losses) {
        let Self { node, namespace, sandbox, worker, jobs } = self;
        // The backlog at half of the rate, and a minute.
        let within = Duration::from_secs(60 + jobs.len() as u64 / 30);
        let mut results = evidence::results_of(&namespace, &jobs, within).await;
        // A copy that came of a confirm that was lost may still be on its way.
        evidence::until_idle(&namespace, &worker, within).await;
        let log = worker.process.log();
        worker.stop().await;
        evidence::take_rest(&namespace, &mut results).await;
        let seen = evidence::seen(&sandbox).await;
        let repeated: usize = results.values().map(|mine| mine.len() - 1).sum();
        println!("{name}: {} jobs, {} requests, {repeated} results came twice", jobs.len(), seen.len());
        story::check(&jobs, &results, &seen, &[("volcengine", QUOTA)], losses, &[log]);
        assert!(results.values().flatten().all(|settled| settled.outcome == "dismissed"), "{name}");
        evidence::assert_empty(&namespace).await;
        drop((namespace, node));
    }
}

/// The worker lives on, so no request ID is lost; what it could not know to be stored it stores again.
const LIVES_ON: Losses = Losses::Senders { unknown_ids: 0 };

async fn killed_stopped_and_restarted() {
    let mut load = Load::start().await;
    load.node.kill();
    load.node.restart().await;
    load.goes_on("killed").await;
    load.node.stop().await;
    load.node.restart().await;
    load.goes_on("stopped").await;
    for restart in 0..5 {
        match restart % 2 {
            0 => load.node.kill(),
            _ => load.node.stop().await,
        }
        load.node.restart().await;
        sleep(Duration::from_secs(2)).await;
    }
    load.goes_on("restarted five times").await;
    load.end("killed, stopped, restarted", LIVES_ON).await;
}

async fn frozen() {
    let mut load = Load::start().await;
    load.node.freeze();
    sleep(FROZEN).await;
    load.node.thaw();
    load.goes_on("frozen").await;
    load.end("frozen", LIVES_ON).await;
}

/// The broker takes no message, and keeps its connections: nothing is sent that could not be told of, and nothing is given
/// up, so that no job is told of twice.
async fn out_of_memory() {
    let mut load = Load::start().await;
    // The alarm is set by a command that takes its time.
    for _ in 0..3 {
        load.add().await;
    }
    load.node.alarm().await;
    let admin = load.worker.admin;
    let readiness = || async { http::get(admin, "/readyz").await.expect("an answer").status };
    eventually("it is not ready", ALARMED, || async { (readiness().await == 503).then_some(()) }).await;
    sleep(ALARMED).await;
    let sent = evidence::arrived(&load.sandbox).await;
    assert!(sent < load.jobs.len() as u64, "nothing was left to send: {sent}");
    load.node.end_alarm().await;
    load.goes_on("out of memory").await;
    assert_eq!(readiness().await, 200);
    let connections = load.worker.process.log().matches("connected to the broker").count();
    assert_eq!(connections, 1, "an alarm is waited out");
    load.end("out of memory", Losses::None).await;
}

/// All at once, each on a node of its own, for most of it is waiting.
#[test]
fn brokers_that_go_away_lose_no_job_and_are_taken_up_again_soon() {
    side_by_side!(killed_stopped_and_restarted(), frozen(), out_of_memory());
}
