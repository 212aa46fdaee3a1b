//! Each call to the broker, left unanswered once: the worker says so, is not ready, and works on.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Signal;

use crate::edges_rig::{HUAWEI, VOLCENGINE, base, job};
use crate::side_by_side::side_by_side;
use crate::support::amqp::Message::Other;
use crate::support::amqp::Point::{Answered, Confirmed, Consuming, Led, Opened};
use crate::support::amqp::Queue::{Intake, Lane, Lead};
use crate::support::amqp::{Call, Deed, Fault, FaultyBroker, Point};
use crate::support::process::Process;
use crate::support::rabbit::Namespace;
use crate::support::sandbox::Sandbox;
use crate::support::{eventually, free_address, http};

/// A call is waited for 20 s; another connection, and a few calls on it, are soon there.
const SAID_WITHIN: Duration = Duration::from_secs(60);
const READY_WITHIN: Duration = Duration::from_secs(40);
const BROKER: &str = "127.0.0.1:5672";

struct Scene {
    worker: Process,
    admin: SocketAddr,
    namespace: Namespace,
    broker: FaultyBroker,
    _sandbox: Sandbox,
}

impl Scene {
    async fn set(point: Point, nth: usize) -> Self {
        let namespace = Namespace::new(&["volcengine", "huawei"]).await;
        let sandbox = Sandbox::start(&[]).await;
        let broker = FaultyBroker::start(BROKER.parse().unwrap(), Fault { point, nth, deed: Deed::Swallow }).await;
        let admin = free_address();
        let tables = format!("{VOLCENGINE}{HUAWEI}").replace("ENDPOINT", &sandbox.endpoint());
        let configuration = base(&broker.url(), namespace.name(), admin) + &tables;
        let worker = Process::start(&["worker"], &configuration, &[]);
        Self { worker, admin, namespace, broker, _sandbox: sandbox }
    }

    async fn readiness(&self) -> Option<http::Reply> {
        http::get(self.admin, "/readyz").await.ok()
    }

    async fn says(&self, word: &str) {
        eventually(&format!("{word}: {}", self.worker.log()), SAID_WITHIN, || async {
            self.worker.log().contains(word).then_some(())
        })
        .await;
        assert!(self.broker.has_struck(), "{word}");
    }

    async fn is_not_ready(&self, why: &str) {
        eventually(&format!("not ready: {why}"), SAID_WITHIN, || async {
            self.readiness().await.filter(|reply| reply.status == 503 && reply.body.contains(why))
        })
        .await;
    }

    async fn is_ready(&self) {
        eventually("it is ready", READY_WITHIN, || async {
            self.readiness().await.filter(|reply| reply.status == 200)
        })
        .await;
    }

    /// Both providers' jobs are settled.
    async fn works(&self) {
        for provider in ["volcengine", "huawei"] {
            let jobs = self.namespace.of("jobs");
            self.namespace.publish("", &jobs, &job(provider, provider), Default::default()).await;
        }
        let results = self.namespace.drain(&self.namespace.of("results"), 2, SAID_WITHIN).await;
        assert_eq!(results.len(), 2, "{}", self.worker.log());
    }

    fn connections(&self) -> usize {
        self.worker.log().matches("connected to the broker").count()
    }
}

/// The worker says so to whoever asks and in its log, tries anew, or goes on, and works in the end.
async fn left_unanswered(point: Point, nth: usize, told: &str, logged: &str) {
    let scene = Scene::set(point, nth).await;
    scene.is_not_ready(told).await;
    scene.says(logged).await;
    scene.is_ready().await;
    scene.works().await;
}

#[test]
fn a_call_that_is_not_answered_is_said_and_made_anew() {
    const SILENT: &str = "no answer within 15s";
    const CHANNEL: &str = "the broker did not answer channel.open within 20s";
    const EXCHANGE: &str = "the broker did not answer exchange.declare within 20s";
    const QUEUE: &str = "the broker did not answer queue.declare within 20s";
    const BINDING: &str = "the broker did not answer queue.bind within 20s";
    const PREFETCH: &str = "the broker did not answer basic.qos within 20s";
    const CONSUMER: &str = "the broker did not answer basic.consume within 20s";
    const ROUTER: &str = "the router stands still: the broker did not answer basic.consume within 20s";
    const UNPROVEN: &str = "the broker has confirmed no write for 10s";
    const NOTHING: &str = "the broker confirms nothing";
    // In rounds: a broker with its usual limit of file handles has no room for all of these namespaces at a time.
    side_by_side!(
        left_unanswered(Opened, 1, SILENT, SILENT),
        left_unanswered(Answered(Call::Channel), 1, CHANNEL, CHANNEL),
        left_unanswered(Answered(Call::Exchange), 3, EXCHANGE, EXCHANGE),
        left_unanswered(Answered(Call::Queue), 5, QUEUE, QUEUE),
        left_unanswered(Answered(Call::Binding), 5, BINDING, BINDING),
    );
    side_by_side!(
        left_unanswered(Answered(Call::Prefetch), 1, PREFETCH, PREFETCH),
        left_unanswered(Answered(Call::Confirms), 1, UNPROVEN, NOTHING),
        left_unanswered(Confirmed(Other), 1, UNPROVEN, NOTHING),
        left_unanswered(Led, 1, QUEUE, QUEUE),
        left_unanswered(Consuming(Lead), 1, CONSUMER, CONSUMER),
    );
    side_by_side!(
        left_unanswered(Consuming(Intake), 1, ROUTER, CONSUMER),
        left_unanswered(Consuming(Lane), 1, CONSUMER, CONSUMER),
        one_queue_stops_no_other_provider(),
        a_lead_that_is_not_confirmed_any_more_is_taken_anew(),
        a_number_that_is_missing_costs_nothing(),
        a_worker_that_stops_does_not_wait_for_ever(),
    );
}

async fn one_queue_stops_no_other_provider() {
    let scene = Scene::set(Consuming(Lane), 1).await;
    eventually("the fault", SAID_WITHIN, || async { scene.broker.has_struck().then_some(()) }).await;
    for provider in ["volcengine", "huawei"] {
        let jobs = scene.namespace.of("jobs");
        scene.namespace.publish("", &jobs, &job(provider, provider), Default::default()).await;
    }
    let results = scene.namespace.of("results");
    assert_eq!(scene.namespace.drain(&results, 1, READY_WITHIN).await.len(), 1);
    assert!(!scene.worker.log().contains("stands still"), "the other one was waited for");
    scene.says("stands still; trying again in").await;
    assert_eq!(scene.namespace.drain(&results, 1, READY_WITHIN).await.len(), 1);
    scene.is_ready().await;
    assert_eq!(scene.connections(), 1, "{}", scene.worker.log());
}

async fn a_lead_that_is_not_confirmed_any_more_is_taken_anew() {
    let scene = Scene::set(Led, 8).await;
    scene.is_ready().await;
    scene.is_not_ready("the broker did not answer queue.declare within 20s").await;
    scene.is_ready().await;
    scene.works().await;
}

async fn a_number_that_is_missing_costs_nothing() {
    let scene = Scene::set(Answered(Call::Count), 3).await;
    scene.says("cannot be counted; trying again").await;
    assert_eq!(scene.readiness().await.map(|reply| reply.status), Some(200));
    scene.works().await;
    assert_eq!(scene.connections(), 1, "{}", scene.worker.log());
}

async fn a_worker_that_stops_does_not_wait_for_ever() {
    let mut scene = Scene::set(Answered(Call::Cancel), 1).await;
    scene.is_ready().await;
    scene.worker.signal(Signal::TERM);
    assert!(scene.worker.ended(SAID_WITHIN).await.success());
}
