//! Connections that break, and messages that would break them.

use std::time::Duration;

use lapin::BasicProperties;

use super::evidence::{self, assert_empty, assert_one_each};
use super::stage::{self, Job, Worker};
use crate::support::eventually;
use crate::support::proxy::Proxy;
use crate::support::rabbit::Namespace;
use crate::support::sandbox::Sandbox;

const SOON: Duration = Duration::from_secs(30);

fn connections(worker: &Worker) -> usize {
    worker.process.log().matches("connected to the broker").count()
}

#[tokio::test]
async fn requests_on_the_wire_outlive_a_cut_and_are_not_sent_again() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&["--latency", "3s"]).await;
    let broker = Proxy::start("127.0.0.1:5672".parse().expect("an address")).await;
    let url = format!("amqp://guest:guest@{}/%2f", broker.address);
    let worker = Worker::start_by(&url, &namespace, &stage::volcengine(&sandbox.endpoint(), "")).await;
    let jobs = stage::bulk("volcengine", "cut", 60);
    stage::publish(&namespace, &jobs).await;
    evidence::until_arrived(&sandbox, 60).await;
    broker.cut();

    let results = evidence::results_of(&namespace, &jobs, SOON).await;
    assert_one_each(&results, &jobs);
    assert_eq!(evidence::arrived(&sandbox).await, 60, "nothing is sent twice");
    assert!(connections(&worker) <= 2, "one cut costs one connection: {}", worker.process.log());
    worker.stop().await;
    assert_empty(&namespace).await;
}

#[tokio::test]
async fn a_job_that_expires_in_the_intake_is_settled() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&[]).await;
    let table = stage::volcengine(&sandbox.endpoint(), "");
    Worker::start(&namespace, &table).await.stop().await;
    let jobs = stage::bulk("volcengine", "late", 1);
    let expiring = BasicProperties::default().with_expiration("1".into());
    namespace.publish("", &namespace.of("jobs"), &jobs[0].body(), expiring).await;
    eventually("the queue hands it on", SOON, || async {
        (namespace.depth(&namespace.of("ended")).await == Some(1)).then_some(())
    })
    .await;

    let worker = Worker::start(&namespace, &table).await;
    let results = evidence::results_of(&namespace, &jobs, SOON).await;
    assert_eq!(results["late-0"][0].outcome, "expired");
    assert_eq!(evidence::arrived(&sandbox).await, 0);
    worker.stop().await;
    assert_empty(&namespace).await;
}

async fn publish_with(namespace: &Namespace, job: &Job, properties: BasicProperties) {
    namespace.publish("", &namespace.of("jobs"), &job.body(), properties).await;
}

#[tokio::test]
async fn an_address_for_replies_that_the_broker_abhors_costs_no_session() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&[]).await;
    let worker = Worker::start(&namespace, &stage::volcengine(&sandbox.endpoint(), "")).await;
    let jobs = stage::bulk("volcengine", "reply", 3);
    let poison = BasicProperties::default().with_reply_to("amq.rabbitmq.reply-to.g1h2AA.xx".into());
    publish_with(&namespace, &jobs[0], poison).await;
    publish_with(&namespace, &jobs[1], BasicProperties::default().with_reply_to("nobody-home".into())).await;
    publish_with(&namespace, &jobs[2], BasicProperties::default()).await;

    let results = evidence::results_of(&namespace, &jobs, SOON).await;
    assert_one_each(&results, &jobs);
    assert_eq!(connections(&worker), 1);
    worker.stop().await;
    assert_empty(&namespace).await;
}

#[tokio::test]
async fn a_full_results_queue_stops_sending_and_repeats_nothing() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&[]).await;
    let table = stage::volcengine(&sandbox.endpoint(), "[results]\nmax_bytes = 4000");
    let worker = Worker::start(&namespace, &table).await;
    let jobs = stage::bulk("volcengine", "full", 60);
    stage::publish(&namespace, &jobs).await;
    let suspended = ["reason=\"results\"", "provider=\"volcengine\""];
    eventually("sending stops for the results", SOON, || async {
        (worker.metrics().await.sum("roomsweep_provider_suspended", &suspended) == 1.0).then_some(())
    })
    .await;

    // The queue takes a few results at a time: whoever drains it gets them all.
    let results = evidence::results_of(&namespace, &jobs, Duration::from_secs(120)).await;
    assert_one_each(&results, &jobs);
    assert_eq!(evidence::arrived(&sandbox).await, 60, "what was sent is not sent again for want of a result");
    worker.stop().await;
    assert_empty(&namespace).await;
}
