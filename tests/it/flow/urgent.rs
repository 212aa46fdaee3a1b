//! Urgent jobs overtake whatever waits.

use std::time::Duration;

use lapin::BasicProperties;
use tokio::time::sleep;

use super::evidence::{self, quantile};
use super::stage::{self, Door, Job, Worker, bulk, wall};
use crate::support::rabbit::Published;
use crate::support::sandbox::Sandbox;

const URGENT: usize = 40;
/// A third of a second at the full rate; a job that queued up behind the others would find thousands.
const FEW: usize = 20;

#[tokio::test]
async fn an_urgent_job_overtakes_thousands_that_wait() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&[]).await;
    let worker = Worker::start(&namespace, &stage::volcengine(&sandbox.endpoint(), "")).await;
    stage::publish_by(&namespace, &bulk("volcengine", "bulk", 5_000), |_| Door::RoutingKey).await;
    evidence::until_arrived(&sandbox, 60).await;

    let mut published = Vec::new();
    for n in 0..URGENT {
        sleep(Duration::from_millis(110 + 7 * (n as u64 % 7))).await;
        let job = Job::new("volcengine", "urgent", format!("urgent-{n}"));
        let (exchange, key) = Door::of(n).address(&namespace, &job);
        let at = wall();
        let sent = namespace.publish(&exchange, &key, &job.body(), BasicProperties::default()).await;
        assert_eq!(sent, Published::Confirmed);
        published.push((job, at, evidence::arrived(&sandbox).await));
    }
    let urgent: Vec<Job> = published.iter().map(|(job, ..)| job.clone()).collect();
    let mut results = evidence::Results::new();
    while !urgent.iter().all(|job| results.contains_key(&job.id)) {
        evidence::take_results(&namespace, &mut results, 100, Duration::from_secs(1)).await;
        assert!(results.len() < 2_500, "urgent jobs wait behind bulk ones");
    }
    drop(worker);

    let seen = evidence::seen(&sandbox).await;
    let mut latencies = [Vec::new(), Vec::new()];
    for (index, (job, at, before)) in published.iter().enumerate() {
        let arrival = seen.iter().find(|seen| seen.room_id == job.id).expect("it was sent");
        let between = (before + 1..arrival.number).map(|number| &seen[number as usize - 1]);
        let overtaking = between.filter(|seen| seen.room_id.starts_with("bulk")).count();
        assert!(overtaking <= FEW, "{} came after {overtaking} bulk jobs", job.id);
        latencies[index % 2].push(arrival.at.duration_since(*at).as_secs_f64() * 1e3);
    }
    let all = latencies.concat();
    for (name, values) in [("all", &all), ("intake", &latencies[0]), ("routing key", &latencies[1])] {
        let (median, p95) = (quantile(values.clone(), 0.5), quantile(values.clone(), 0.95));
        println!("urgent, {name}: median {median:.0} ms, 95th percentile {p95:.0} ms of {}", values.len());
    }
}
