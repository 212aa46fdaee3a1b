//! Providers in trouble: what is sent to them meanwhile, what becomes of the jobs, and when all is well again.

mod backlog;
mod credentials;
mod outage;
mod outcasts;
mod refusal;
mod results;
mod stop;
mod throttle;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::checker::Losses;
use crate::flow::evidence::{self, Results, Seen, assert_empty, assert_one_each};
use crate::flow::stage::{self, Job, Worker};
use crate::flow::story;
use crate::support::rabbit::Namespace;
use crate::support::sandbox::Sandbox;
use crate::support::{eventually, http};

/// For whatever should come soon, on a busy machine too.
const SOON: Duration = Duration::from_secs(30);

/// A worker between a namespace and a cloud of its own.
struct Scene {
    worker: Worker,
    sandbox: Sandbox,
    namespace: Namespace,
}

impl Scene {
    /// `tables` makes the provider tables from the sandbox's endpoint.
    async fn start(options: &[&str], tables: impl Fn(&str) -> String) -> Self {
        let namespace = stage::namespace().await;
        let sandbox = Sandbox::start(options).await;
        let worker = Worker::start(&namespace, &tables(&sandbox.endpoint())).await;
        Self { worker, sandbox, namespace }
    }

    /// Waits until the provider is suspended for this reason.
    async fn suspended(&self, provider: &str, reason: &str) {
        let labels = [format!("provider=\"{provider}\""), format!("reason=\"{reason}\"")];
        let labels = labels.each_ref().map(String::as_str);
        eventually(&format!("{provider} is suspended for {reason}"), SOON, || async {
            (self.worker.metrics().await.count("roomsweep_provider_suspended", &labels) == 1).then_some(())
        })
        .await;
    }

    /// Waits until the provider is suspended for nothing.
    async fn back(&self, provider: &str, within: Duration) {
        let label = format!("provider=\"{provider}\"");
        eventually(&format!("{provider} is back"), within, || async {
            (self.worker.metrics().await.count("roomsweep_provider_suspended", &[&label]) == 0).then_some(())
        })
        .await;
    }

    /// What `/api/status` says of a provider.
    async fn status(&self, provider: &str) -> Value {
        let status = http::get(self.worker.admin, "/api/status").await.expect("a status").json();
        let providers = status["providers"].as_array().expect("providers").iter();
        providers.clone().find(|one| one["name"] == provider).expect("a configured provider").clone()
    }

    /// How many lines of the worker's log say this of the provider.
    fn said(&self, provider: &str, text: &str) -> usize {
        let log = self.worker.process.log();
        log.lines().filter(|line| line.contains(text) && line.contains(&format!("provider={provider}"))).count()
    }

    /// Waits for every result, stops the worker, and has the whole story judged.
    async fn end(self, jobs: &[Job], within: Duration, seen_before: Vec<Seen>) -> Results {
        let results = evidence::results_of(&self.namespace, jobs, within).await;
        let log = self.worker.process.log();
        self.worker.stop().await;
        let seen = [seen_before, by_wall(evidence::seen(&self.sandbox).await)].concat();
        story::check(jobs, &results, &seen, &[("volcengine", 60), ("huawei", 20)], Losses::None, &[log]);
        assert_one_each(&results, jobs);
        assert_empty(&self.namespace).await;
        results
    }
}

/// Dated by the machine's clock, which several sandboxes share.
fn by_wall(mut seen: Vec<Seen>) -> Vec<Seen> {
    for one in &mut seen {
        one.t_us = micros(one.at);
    }
    seen
}

fn micros(time: Timestamp) -> u64 {
    u64::try_from(time.as_microsecond()).expect("after 1970")
}

/// How long after `since` a whole second was at least `rate` requests full.
fn full_rate_after(seen: &[Seen], since: Timestamp, rate: usize) -> Option<Duration> {
    let times: Vec<u64> = seen.iter().map(|one| micros(one.at)).filter(|time| *time >= micros(since)).collect();
    let full = times.windows(rate).find(|window| window[rate - 1] - window[0] <= 1_000_000)?;
    Some(Duration::from_micros(full[0] - micros(since)))
}

#[track_caller]
fn assert_all(results: &Results, outcome: &str) {
    for result in results.values().flatten() {
        assert_eq!(result.outcome, outcome, "{result:#?}");
    }
}
