//! Many jobs for both providers through both doors: results, clouds and metrics tell the same story.

use std::collections::BTreeMap;
use std::time::Duration;

use super::evidence::{
    self, Metrics, Results, Seen, Settled, assert_empty, assert_one_each, assert_within_quota, by_room,
};
use super::stage::{self, Job, Worker};
use crate::support::eventually;
use crate::support::sandbox::Sandbox;

const JOBS: usize = 1_800;

/// Pairs of neighbours take different doors, so every kind of job takes both.
fn job(index: usize) -> Job {
    let pair = index / 2;
    let provider = if pair.is_multiple_of(6) { "huawei" } else { "volcengine" };
    let fault = match pair % 100 {
        7 | 24 | 42 | 66 | 90 => "fail500x1-",
        33 => "gone-",
        _ => "",
    };
    Job::new(provider, "bulk", format!("{fault}storm-{index}"))
}

#[tokio::test]
async fn every_job_of_a_storm_has_one_result_and_everybody_agrees_on_it() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&[]).await;
    let tables = stage::volcengine(&sandbox.endpoint(), "") + &stage::huawei(&sandbox.endpoint(), "");
    let worker = Worker::start(&namespace, &tables).await;
    let jobs: Vec<Job> = (0..JOBS).map(job).collect();
    assert_eq!(jobs.iter().filter(|job| job.provider == "huawei").count(), 300);
    assert_eq!(jobs.iter().filter(|job| job.id.starts_with("fail")).count(), JOBS / 20);

    stage::publish(&namespace, &jobs).await;
    let results = evidence::results_of(&namespace, &jobs, Duration::from_secs(120)).await;
    let metrics = metrics_once_settled(&worker, jobs.len()).await;
    worker.stop().await;

    let seen = evidence::seen(&sandbox).await;
    assert_one_each(&results, &jobs);
    check_against_the_log(&jobs, &results, &seen);
    check_metrics(&metrics, &results, &seen);
    for (cloud, quota) in [("volcengine", 60), ("huawei", 20)] {
        assert_within_quota(&sandbox, cloud, quota).await;
        assert_eq!(sandbox.stats().await["clouds"][cloud]["refused_signatures"], 0, "{cloud}");
        let rate = evidence::mean_rate(seen.iter().filter(|seen| seen.cloud == cloud));
        let busiest = evidence::busiest_second(&sandbox, cloud).await;
        println!("{cloud}: {rate:.1} requests a second, {busiest} in the busiest");
    }
    assert_empty(&namespace).await;
}

/// The last jobs are counted a moment after their results were published.
async fn metrics_once_settled(worker: &Worker, jobs: usize) -> Metrics {
    eventually("all jobs are counted", Duration::from_secs(10), || async {
        let metrics = worker.metrics().await;
        (metrics.count("roomsweep_jobs_settled_total", &[]) >= jobs).then_some(metrics)
    })
    .await
}

fn expected(job: &Job) -> (&'static str, Vec<&'static str>) {
    match job.id.split('-').next() {
        Some("fail500x1") => ("dismissed", vec!["transient", "dismissed"]),
        Some("gone") => ("already_gone", vec!["already_gone"]),
        _ => ("dismissed", vec!["dismissed"]),
    }
}

/// Every attempt is a request that the sandbox logged, and the other way round.
fn check_against_the_log(jobs: &[Job], results: &Results, seen: &[Seen]) {
    let rooms = by_room(seen);
    assert_eq!(rooms.len(), jobs.len(), "rooms that nobody asked for, or missing ones");
    for job in jobs {
        let (result, requests) = (&results[&job.id][0], &rooms[job.id.as_str()]);
        let (outcome, verdicts) = expected(job);
        assert_eq!((result.outcome.as_str(), result.attempts), (outcome, verdicts.len()), "{result:#?}");
        assert_eq!((result.provider.as_str(), result.lane.as_str()), (job.provider, job.lane), "{result:#?}");
        let noted = |attempt: &evidence::Attempt| (attempt.request_id.clone(), attempt.http_status);
        let logged = |request: &&Seen| (Some(request.request_id.clone()), request.status);
        let attempts: Vec<_> = result.attempt_log.iter().map(noted).collect();
        assert_eq!(attempts, requests.iter().map(logged).collect::<Vec<_>>(), "{}", job.id);
        assert_eq!(Some(&(result.request_id.clone(), result.http_status)), attempts.last(), "{}", job.id);
        let said: Vec<_> = result.attempt_log.iter().map(|attempt| attempt.verdict.as_str()).collect();
        assert_eq!(said, verdicts, "{}", job.id);
        assert!(requests.iter().all(|request| request.cloud == job.provider), "{requests:?}");
    }
}

fn check_metrics(metrics: &Metrics, results: &Results, seen: &[Seen]) {
    let results: Vec<&Settled> = results.values().flatten().collect();
    let mut settled = BTreeMap::<_, usize>::new();
    let mut attempts = BTreeMap::<_, usize>::new();
    for result in &results {
        *settled.entry((&result.provider, &result.lane, &result.outcome)).or_default() += 1;
        for attempt in &result.attempt_log {
            *attempts.entry((&result.provider, &attempt.verdict)).or_default() += 1;
        }
    }
    for ((provider, lane, outcome), count) in settled {
        let labels = [format!("provider=\"{provider}\""), format!("lane=\"{lane}\""), format!("outcome=\"{outcome}\"")];
        let labels = labels.each_ref().map(String::as_str);
        assert_eq!(metrics.count("roomsweep_jobs_settled_total", &labels), count, "{labels:?}");
    }
    for ((provider, verdict), count) in attempts {
        let labels = [format!("provider=\"{provider}\""), format!("result=\"{verdict}\"")];
        let labels = labels.each_ref().map(String::as_str);
        assert_eq!(metrics.count("roomsweep_attempts_total", &labels), count, "{labels:?}");
    }
    assert_eq!(metrics.count("roomsweep_jobs_settled_total", &[]), results.len());
    assert_eq!(metrics.count("roomsweep_job_duration_seconds_count", &[]), results.len());
    assert_eq!(metrics.count("roomsweep_attempts_total", &[]), seen.len());
    assert_eq!(metrics.count("roomsweep_attempt_duration_seconds_count", &[]), seen.len());
    assert_eq!(metrics.count("roomsweep_provider_suspended", &[]), 0);
    assert_eq!(metrics.count("roomsweep_queue_connected", &[]), 1);
    assert_eq!(metrics.count("roomsweep_quota_qps", &["provider=\"volcengine\""]), 60);
    assert_eq!(metrics.count("roomsweep_effective_qps", &["provider=\"huawei\""]), 20);
}
