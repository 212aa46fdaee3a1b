//! Three workers, each with a wire of its own to the broker and to the cloud: what each sends is seen on it.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::checker::Losses;
use crate::flow::evidence::{self, assert_empty};
use crate::flow::stage::{self, Job, Worker, bulk};
use crate::flow::story;
use crate::support::eventually;
use crate::support::proxy::{Proxy, Way};
use crate::support::rabbit::Namespace;
use crate::support::sandbox::Sandbox;

/// Requests a second: few, so that there are jobs for as long as it takes.
pub const QPS: usize = 20;

pub struct Replica {
    pub worker: Worker,
    pub broker: Proxy,
    pub cloud: Proxy,
}

impl Replica {
    /// How much it has sent to the cloud.
    pub fn sent(&self) -> u64 {
        self.cloud.heard(Way::ToServer)
    }
}

pub struct Rig {
    pub namespace: Namespace,
    pub sandbox: Sandbox,
    pub replicas: Vec<Replica>,
    jobs: Vec<Job>,
}

/// A cloud that closes its connections, so that each request needs a new one.
pub async fn cloud() -> Sandbox {
    Sandbox::start(&["--qps-volcengine", "20", "--close"]).await
}

/// The provider's table for a worker that reaches the cloud there.
pub fn table(cloud: SocketAddr) -> String {
    stage::volcengine(&format!("http://{cloud}"), "allow_http = true\nmax_in_flight = 1000")
        .replace("qps = 60", "qps = 20")
}

impl Rig {
    /// Three workers, and `jobs` jobs for them.
    pub async fn new(jobs: usize) -> Self {
        let (namespace, sandbox) = (Namespace::new(&["volcengine"]).await, cloud().await);
        let replicas = join_all((0..3).map(|_| replica(&namespace, &sandbox))).await;
        Self::with(namespace, sandbox, replicas, jobs).await
    }

    /// One that is at work already, and two more.
    pub async fn beside(first: Replica, namespace: Namespace, sandbox: Sandbox, jobs: usize) -> Self {
        let mut replicas = vec![first];
        replicas.extend(join_all((0..2).map(|_| replica(&namespace, &sandbox))).await);
        Self::with(namespace, sandbox, replicas, jobs).await
    }

    async fn with(namespace: Namespace, sandbox: Sandbox, replicas: Vec<Replica>, jobs: usize) -> Self {
        let jobs = bulk("volcengine", "replicas", jobs);
        stage::publish(&namespace, &jobs).await;
        Self { namespace, sandbox, replicas, jobs }
    }

    /// Takes out the one that sends, once it is at full rate.
    pub async fn sender(&mut self) -> Replica {
        evidence::until_arrived(&self.sandbox, 2 * QPS as u64).await;
        let sender = self.replicas.iter().position(|replica| replica.sent() > 0).expect("a sender");
        let sender = self.replicas.remove(sender);
        assert!(self.replicas.iter().all(|replica| replica.sent() == 0), "two send");
        sender
    }

    /// Waits until another one sends; tells how long after `since`.
    pub async fn another_sends(&self, since: Instant, within: Duration) -> Duration {
        eventually("another one sends", within.saturating_sub(since.elapsed()), || async {
            self.replicas.iter().any(|replica| replica.sent() > 0).then_some(())
        })
        .await;
        since.elapsed()
    }

    /// Everything comes to its end, and is judged; `unknown_ids` is what may have been on the wire of the lost sender.
    pub async fn judged(self, unknown_ids: usize) {
        let mut results = evidence::results_of(&self.namespace, &self.jobs, Duration::from_secs(120)).await;
        for replica in &self.replicas {
            evidence::until_idle(&self.namespace, &replica.worker, Duration::from_secs(60)).await;
        }
        let logs: Vec<String> = self.replicas.iter().map(|replica| replica.worker.process.log()).collect();
        for replica in self.replicas {
            replica.worker.stop().await;
        }
        evidence::take_rest(&self.namespace, &mut results).await;
        assert!(results.values().flatten().all(|result| result.outcome == "dismissed"));
        let seen = evidence::seen(&self.sandbox).await;
        story::check(&self.jobs, &results, &seen, &[("volcengine", QPS)], Losses::Senders { unknown_ids }, &logs);
        assert_empty(&self.namespace).await;
        let twice = results.values().map(Vec::len).sum::<usize>() - self.jobs.len();
        println!("{} jobs, {} requests, {twice} results twice", self.jobs.len(), seen.len());
    }
}

async fn replica(namespace: &Namespace, sandbox: &Sandbox) -> Replica {
    let broker = Proxy::start("127.0.0.1:5672".parse().expect("an address")).await;
    let cloud = Proxy::narrow(sandbox.address);
    let url = format!("amqp://guest:guest@{}/%2f", broker.address);
    let worker = Worker::start_by(&url, namespace, &table(cloud.address)).await;
    Replica { worker, broker, cloud }
}

/// Sends nothing for as long as this.
pub async fn assert_silent(lost: &Replica, so_far: u64, how_long: Duration) {
    sleep(how_long).await;
    assert_eq!(lost.sent(), so_far, "a sender that was lost sends: {}", lost.worker.process.log());
}
