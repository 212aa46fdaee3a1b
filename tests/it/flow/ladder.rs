//! Jobs that must wait, and jobs whose time is over.

use std::time::Duration;

use super::evidence::{self, assert_empty, assert_one_each, by_room};
use super::stage::{self, Job, Worker, bulk, wall};
use crate::support::sandbox::Sandbox;

#[tokio::test]
async fn a_job_is_never_sent_early_nor_after_its_time() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&[]).await;
    let worker = Worker::start(&namespace, &stage::volcengine(&sandbox.endpoint(), "")).await;

    let now = wall();
    let with = |name: &str, count: usize, set: fn(&mut Job, jiff::Timestamp, u64)| {
        let mut jobs = bulk("volcengine", name, count);
        jobs.iter_mut().zip(0..).for_each(|(job, n)| set(job, now, n));
        jobs
    };
    let later = with("later", 60, |job, now, n| job.not_before = Some(now + Duration::from_millis(2_500 + 37 * n)));
    let over = with("over", 20, |job, now, n| job.expires_at = Some(now - Duration::from_millis(1 + 300 * n)));
    // Its time passes while it waits for its time.
    let missed = with("missed", 20, |job, now, n| {
        job.not_before = Some(now + Duration::from_millis(3_000 + n));
        job.expires_at = Some(now + Duration::from_millis(1_500));
    });
    let jobs = [later.clone(), over.clone(), missed.clone()].concat();
    stage::publish(&namespace, &jobs).await;
    let results = evidence::results_of(&namespace, &jobs, Duration::from_secs(60)).await;
    worker.stop().await;

    assert_one_each(&results, &jobs);
    for job in over.iter().chain(&missed) {
        let result = &results[&job.id][0];
        assert_eq!((result.outcome.as_str(), result.attempts), ("expired", 0), "{result:#?}");
    }
    let seen = evidence::seen(&sandbox).await;
    let rooms = by_room(&seen);
    assert_eq!(rooms.len(), later.len(), "an expired job was sent");
    let mut late = Vec::new();
    for job in &later {
        let due = job.not_before.expect("a time");
        let [request] = rooms[job.id.as_str()][..] else { panic!("{} was sent twice", job.id) };
        assert!(request.at >= due, "{} was sent at {}, due at {due}", job.id, request.at);
        late.push(request.at.duration_since(due).as_secs_f64() * 1e3);
    }
    let (median, most) = (evidence::quantile(late.clone(), 0.5), evidence::quantile(late, 1.0));
    println!("after not_before: median {median:.0} ms, at most {most:.0} ms");
    assert!(most < 5_000.0, "{most} ms late: the ladder was ridden too far");
    assert_empty(&namespace).await;
}
