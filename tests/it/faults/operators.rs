//! What people and settings do to a broker while a worker is at work.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicNackOptions, BasicQosOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use tokio::time::timeout;

use crate::checker::Losses;
use crate::flow::evidence;
use crate::flow::stage::{self, Job, Worker, bulk};
use crate::flow::story;
use crate::side_by_side::side_by_side;
use crate::support::eventually;
use crate::support::node::Node;
use crate::support::proxy::Proxy;
use crate::support::rabbit::{Namespace, text_headers};
use crate::support::sandbox::Sandbox;

const SOON: Duration = Duration::from_secs(60);
/// A consumer that keeps a job for longer is given up by the broker, which looks every second. What only waits its turn at
/// full load is kept for three seconds.
const IMPATIENT: &str = "{consumer_timeout, 8000}, {channel_tick_interval, 1000}";
/// A provider that hangs is waited for longer than that.
const PATIENT: &str = "timeout = '20s'";
/// `x-delivery-limit` of a queue of jobs.
const DELIVERIES: usize = 1_000;

/// A worker on a broker that others use, too.
struct Desk {
    namespace: Namespace,
    sandbox: Sandbox,
    worker: Worker,
    jobs: Vec<Job>,
}

impl Desk {
    async fn start(node: &Node, url: &str, settings: &str) -> Self {
        let namespace = Namespace::on(&node.url(), &["volcengine"]).await;
        let sandbox = Sandbox::start(&[]).await;
        let worker = Worker::start_by(url, &namespace, &stage::volcengine(&sandbox.endpoint(), settings)).await;
        Self { namespace, sandbox, worker, jobs: Vec::new() }
    }

    async fn publish(&mut self, jobs: Vec<Job>) {
        stage::publish(&self.namespace, &jobs).await;
        self.jobs.extend(jobs);
    }

    /// Waits until so many requests have arrived and their jobs are gone.
    async fn until_settled(&self) {
        evidence::until_arrived(&self.sandbox, self.jobs.len() as u64).await;
        evidence::until_idle(&self.namespace, &self.worker, SOON).await;
    }

    fn connections(&self) -> usize {
        self.worker.process.log().matches("connected to the broker").count()
    }

    /// Judges everything, and tells the worker's last words.
    async fn end(self, losses: Losses) -> String {
        let Self { namespace, sandbox, worker, jobs } = self;
        let mut results = evidence::results_of(&namespace, &jobs, SOON).await;
        evidence::until_idle(&namespace, &worker, SOON).await;
        let log = worker.process.log();
        worker.stop().await;
        evidence::take_rest(&namespace, &mut results).await;
        story::check(
            &jobs,
            &results,
            &evidence::seen(&sandbox).await,
            &[("volcengine", 60)],
            losses,
            std::slice::from_ref(&log),
        );
        assert!(results.values().flatten().all(|settled| settled.outcome == "dismissed"));
        evidence::assert_empty(&namespace).await;
        log
    }
}

async fn a_lane_that_is_deleted_is_declared_anew(node: &Node) {
    let mut desk = Desk::start(node, &node.url(), "").await;
    desk.publish(bulk("volcengine", "before", 20)).await;
    desk.until_settled().await;
    let lane = desk.namespace.of("jobs.volcengine.bulk");
    let channel = desk.namespace.channel().await;
    channel.queue_delete(lane.as_str().into(), QueueDeleteOptions::default()).await.expect("deleted");
    eventually("the lane is declared anew", SOON, || async {
        (desk.namespace.depth(&lane).await.is_some()).then_some(())
    })
    .await;
    desk.publish(bulk("volcengine", "after", 20)).await;
    desk.end(Losses::None).await;
}

async fn a_lead_that_is_deleted_is_taken_again(node: &Node) {
    let mut desk = Desk::start(node, &node.url(), "").await;
    desk.publish(bulk("volcengine", "lead", 240)).await;
    evidence::until_arrived(&desk.sandbox, 60).await;
    node.control(&["delete_queue", &desk.namespace.of("lead.volcengine")]).await;
    let log = desk.end(Losses::Senders { unknown_ids: 0 }).await;
    assert!(log.contains("lead lost"), "{log}");
    assert_eq!(log.matches("active sender").count(), 2, "{log}");
}

async fn a_consumer_that_is_given_up_for_its_slowness_loses_nothing(node: &Node) {
    let mut desk = Desk::start(node, &node.url(), PATIENT).await;
    let hanging = (0..3).map(|index| Job::new("volcengine", "bulk", format!("hangx1-slow-{index}")));
    desk.publish(hanging.chain(bulk("volcengine", "brisk", 20)).collect()).await;
    eventually("the broker gives the consumer up", SOON, || async { (desk.connections() > 1).then_some(()) }).await;
    let log = desk.end(Losses::Senders { unknown_ids: 0 }).await;
    println!("consumer timeout: {} connections", log.matches("connected to the broker").count());
}

async fn changed_credentials_are_tried_until_they_are_right_again(node: &Node) {
    let (user, password) = ("sweeper", "canary-e8b1");
    node.control(&["add_user", user, password]).await;
    node.control(&["set_permissions", user, ".*", ".*", ".*"]).await;
    let proxy = Proxy::start(node.address()).await;
    let mut desk = Desk::start(node, &format!("amqp://{user}:{password}@{}/%2f", proxy.address), "").await;
    node.control(&["change_password", user, "another"]).await;
    desk.publish(bulk("volcengine", "still", 20)).await;
    desk.until_settled().await;
    assert_eq!(desk.connections(), 1, "a connection that stands is not asked again");

    proxy.cut();
    let refused = || desk.worker.process.log().matches("ACCESS_REFUSED").count();
    eventually("it tries again and again", SOON, || std::future::ready((refused() >= 3).then_some(()))).await;
    desk.publish(bulk("volcengine", "back", 20)).await;
    node.control(&["change_password", user, password]).await;
    let log = desk.end(Losses::None).await;
    assert!(!log.contains(password), "{log}");
    assert_eq!(log.matches("connected to the broker").count(), 2, "{log}");
}

async fn a_job_that_is_handed_out_too_often_is_exhausted(node: &Node) {
    let Desk { namespace, sandbox, worker, .. } = Desk::start(node, &node.url(), "").await;
    worker.stop().await;
    let jobs = bulk("volcengine", "poison", 1);
    stage::publish_by(&namespace, &jobs, |_| stage::Door::RoutingKey).await;
    let channel = namespace.channel().await;
    channel.basic_qos(1, BasicQosOptions::default()).await.expect("a prefetch");
    let (lane, options) = (namespace.of("jobs.volcengine.bulk"), BasicConsumeOptions::default());
    let consumer = channel.basic_consume(lane.as_str().into(), "".into(), options, FieldTable::default()).await;
    let mut consumer = consumer.expect("a lane");
    let mut handed_out = 0;
    while let Ok(Some(delivery)) = timeout(Duration::from_secs(5), consumer.next()).await {
        let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        delivery.expect("a delivery").acker.nack(requeue).await.expect("given back");
        handed_out += 1;
    }
    channel.close(200, "enough".into()).await.expect("a channel");
    assert_eq!(handed_out, DELIVERIES + 1);

    let worker = Worker::start_by(&node.url(), &namespace, &stage::volcengine(&sandbox.endpoint(), "")).await;
    let results = evidence::results_of(&namespace, &jobs, SOON).await;
    assert_eq!(results["poison-0"][0].outcome, "exhausted");
    let dead = namespace.drain(&namespace.of("dead"), 1, SOON).await;
    assert_eq!(dead[0].body, jobs[0].body());
    let headers = text_headers(&dead[0].properties);
    assert_eq!((headers["x-outcome"].as_str(), headers["x-job-id"].as_str()), ("exhausted", "poison-0"));
    assert_eq!(evidence::arrived(&sandbox).await, 0, "nobody was asked");
    worker.stop().await;
    evidence::assert_empty(&namespace).await;
}

/// All at once on one node, each in its own namespace.
#[tokio::test]
async fn what_operators_do_to_a_broker_loses_no_job() {
    let node = Node::start(IMPATIENT).await;
    side_by_side!(
        a_lane_that_is_deleted_is_declared_anew(&node),
        a_lead_that_is_deleted_is_taken_again(&node),
        a_consumer_that_is_given_up_for_its_slowness_loses_nothing(&node),
        changed_credentials_are_tried_until_they_are_right_again(&node),
        a_job_that_is_handed_out_too_often_is_exhausted(&node),
    );
}
