//! What results, clouds, queues and metrics say of the jobs.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use tokio::time::{Instant, sleep};

use super::stage::{Job, Worker};
use crate::support::eventually;
use crate::support::rabbit::{Delivered, Namespace};
use crate::support::sandbox::Sandbox;

// --- results ---------------------------------------------------------------------------------------------------------

/// A result, as far as these tests look at it.
#[derive(Debug, Clone, Deserialize)]
pub struct Settled {
    pub job_id: String,
    pub provider: String,
    pub lane: String,
    pub outcome: String,
    pub request_id: Option<String>,
    pub http_status: Option<u16>,
    pub attempts: usize,
    pub run: u32,
    pub attempt_log: Vec<Attempt>,
    pub attempts_omitted: u32,
    pub worker: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Attempt {
    pub at: Timestamp,
    pub duration_ms: u64,
    pub verdict: String,
    pub http_status: Option<u16>,
    pub request_id: Option<String>,
}

/// Results by job ID.
pub type Results = BTreeMap<String, Vec<Settled>>;

/// Takes results until each of `jobs` has one; panics with what is missing once `within` is over.
pub async fn results_of(namespace: &Namespace, jobs: &[Job], within: Duration) -> Results {
    let end = Instant::now() + within;
    let mut results = Results::new();
    loop {
        let missing: Vec<&Job> = jobs.iter().filter(|job| !results.contains_key(&job.id)).collect();
        if missing.is_empty() {
            return results;
        }
        assert!(Instant::now() < end, "after {within:?} {} have no result, like {:?}", missing.len(), missing[0]);
        take_results(namespace, &mut results, missing.len(), Duration::from_secs(1)).await;
    }
}

/// Takes what results are there, up to `most`, and puts them to the others.
pub async fn take_results(namespace: &Namespace, results: &mut Results, most: usize, within: Duration) {
    let messages = namespace.drain(&namespace.of("results"), most, within).await;
    put(results, messages);
}

/// Takes all that is left, whoever told it being gone.
pub async fn take_rest(namespace: &Namespace, results: &mut Results) {
    put(results, drain_all(namespace, "results").await);
}

fn put(results: &mut Results, messages: Vec<Delivered>) {
    for message in messages {
        let settled: Settled = serde_json::from_value(message.json()).expect("a result");
        results.entry(settled.job_id.clone()).or_default().push(settled);
    }
}

/// Takes all that one of its queues holds, however long it takes.
pub async fn drain_all(namespace: &Namespace, object: &str) -> Vec<Delivered> {
    let (queue, mut drained) = (namespace.of(object), Vec::new());
    while namespace.depth(&queue).await.is_some_and(|depth| depth > 0) {
        drained.extend(namespace.drain(&queue, usize::MAX, Duration::from_millis(500)).await);
    }
    drained
}

/// Each of `jobs` has exactly one result, and nothing else has any.
#[track_caller]
pub fn assert_one_each(results: &Results, jobs: &[Job]) {
    assert_eq!(results.len(), jobs.len(), "results of other jobs, or missing ones");
    for job in jobs {
        let mine = &results[&job.id];
        assert_eq!(mine.len(), 1, "{mine:#?}");
    }
}

/// All queues that can be asked. A lead holds no message, and is locked while somebody sends, as a cut sender may that is
/// back.
fn open_queues(namespace: &Namespace) -> impl Iterator<Item = String> {
    let lead = namespace.of("lead");
    namespace.queues().into_iter().filter(move |queue| !queue.starts_with(&lead))
}

/// Nothing is ready in any queue. Unacked messages are not seen: ask once the workers are gone.
pub async fn assert_empty(namespace: &Namespace) {
    for queue in open_queues(namespace) {
        let mut depth = namespace.depth(&queue).await;
        for _ in 0..20 {
            if depth.is_none_or(|depth| depth == 0) {
                break;
            }
            // What an ended connection held comes back a moment later, and so do the counts.
            sleep(Duration::from_millis(100)).await;
            depth = namespace.depth(&queue).await;
        }
        assert!(depth.is_none_or(|depth| depth == 0), "{queue} holds {depth:?}");
    }
}

/// How many jobs wait anywhere: intake, lanes, retries, ladder.
pub async fn waiting_jobs(namespace: &Namespace) -> usize {
    let mut waiting = 0;
    for queue in open_queues(namespace) {
        if !["results", "dead"].iter().any(|object| queue.starts_with(&namespace.of(object))) {
            waiting += namespace.depth(&queue).await.unwrap_or(0) as usize;
        }
    }
    waiting
}

/// Waits until no job is anywhere, not even a copy in the worker's hand.
pub async fn until_idle(namespace: &Namespace, worker: &Worker, within: Duration) {
    let mut idle = 0;
    let end = Instant::now() + within;
    // What a new active sender has in hand is not shown before its first request, two seconds on.
    while idle < 10 {
        let metrics = worker.metrics().await;
        let in_hand = metrics.count("roomsweep_in_flight", &[]) + metrics.count("roomsweep_lane_waiting", &[]);
        let waiting = waiting_jobs(namespace).await;
        assert!(Instant::now() < end, "after {within:?} {waiting} jobs wait, {in_hand} are in hand");
        idle = if in_hand + waiting == 0 { idle + 1 } else { 0 };
        sleep(Duration::from_millis(300)).await;
    }
}

// --- what the clouds saw ---------------------------------------------------------------------------------------------

/// One request, as the sandbox logged it.
#[derive(Debug, Clone, Deserialize)]
pub struct Seen {
    pub number: u64,
    pub at: Timestamp,
    pub t_us: u64,
    pub cloud: String,
    /// Empty where the request did not come whole.
    #[serde(deserialize_with = "or_empty")]
    pub room_id: String,
    pub kind: String,
    pub status: Option<u16>,
    pub request_id: String,
    pub answered: bool,
}

fn or_empty<'de, D: Deserializer<'de>>(value: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

/// Every dismissal that arrived so far, in order.
pub async fn seen(sandbox: &Sandbox) -> Vec<Seen> {
    let requests = sandbox.requests().await.into_iter().filter(|request| request["cloud"] != "iam");
    requests.map(|request| serde_json::from_value(request).expect("a dismissal")).collect()
}

/// Requests by room, each room's in order.
pub fn by_room(seen: &[Seen]) -> BTreeMap<&str, Vec<&Seen>> {
    let mut rooms = BTreeMap::<_, Vec<_>>::new();
    for request in seen {
        rooms.entry(request.room_id.as_str()).or_default().push(request);
    }
    rooms
}

/// How many requests have arrived.
pub async fn arrived(sandbox: &Sandbox) -> u64 {
    sandbox.stats().await["requests"].as_u64().expect("a number")
}

/// Waits until so many requests have arrived.
pub async fn until_arrived(sandbox: &Sandbox, requests: u64) {
    eventually(&format!("{requests} requests"), Duration::from_secs(60), || async {
        sleep(Duration::from_millis(20)).await;
        (arrived(sandbox).await >= requests).then_some(())
    })
    .await;
}

/// The most arrivals in any closed second, by the sandbox's clock.
pub async fn busiest_second(sandbox: &Sandbox, cloud: &str) -> u64 {
    sandbox.stats().await["clouds"][cloud]["busiest_second"]["arrived"].as_u64().expect("a number")
}

/// Never more than `quota` in any closed second, by the sandbox's figures and by its log; nothing was throttled.
pub async fn assert_within_quota(sandbox: &Sandbox, cloud: &str, quota: usize) {
    let busiest = busiest_second(sandbox, cloud).await;
    assert!(busiest <= quota as u64, "{cloud}: {busiest} requests in one second");
    let times: Vec<u64> = seen(sandbox).await.iter().filter(|seen| seen.cloud == cloud).map(|seen| seen.t_us).collect();
    for window in times.windows(quota + 1) {
        let span = window[quota] - window[0];
        assert!(span > 1_000_000, "{cloud}: {} requests within {span} us", quota + 1);
    }
    assert_eq!(sandbox.stats().await["clouds"][cloud]["throttled"], 0, "{cloud} throttled");
}

/// Requests a second between the first and the last of these.
pub fn mean_rate<'a>(seen: impl IntoIterator<Item = &'a Seen>) -> f64 {
    let times: Vec<u64> = seen.into_iter().map(|seen| seen.t_us).collect();
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return 0.0 };
    (times.len() - 1) as f64 * 1e6 / (last - first) as f64
}

/// The value below which `part` (0 to 1) of the values lie.
pub fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (part * values.len() as f64).ceil() as usize;
    values[index.saturating_sub(1)]
}

// --- metrics ---------------------------------------------------------------------------------------------------------

/// One scrape.
pub struct Metrics(String);

impl Metrics {
    /// From the text of `/metrics`.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The sum of all samples of this name whose labels hold each of `labels`, like `provider="huawei"`.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let samples = self.0.lines().filter_map(|line| line.strip_prefix(name));
        let mine =
            samples.filter(|rest| rest.starts_with(['{', ' ']) && labels.iter().all(|label| rest.contains(label)));
        mine.filter_map(|rest| rest.split(' ').next_back()?.parse::<f64>().ok()).sum()
    }

    /// The same for a counter.
    pub fn count(&self, name: &str, labels: &[&str]) -> usize {
        self.sum(name, labels) as usize
    }

    /// Whether any line begins like this.
    pub fn has(&self, beginning: &str) -> bool {
        self.0.lines().any(|line| line.starts_with(beginning))
    }
}
