//! Every metric, declared once: names, labels and buckets as the contract has them.

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

pub(super) const SETTLED: &str = "roomsweep_jobs_settled_total";
const ATTEMPTS: &str = "roomsweep_attempts_total";
pub(super) const ATTEMPT_DURATION: &str = "roomsweep_attempt_duration_seconds";
const JOB_DURATION: &str = "roomsweep_job_duration_seconds";
const TOKEN_WAIT: &str = "roomsweep_token_wait_seconds";

/// One provider answers in tens of milliseconds; timeouts are around ten seconds.
pub(super) const ATTEMPT_BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// From a job alone in the queue to one that was enqueued at booking time, a day ahead.
const JOB_BUCKETS: [f64; 17] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0];

const TOKEN_BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

pub(super) struct Families {
    pub settled: IntCounterVec,
    pub attempts: IntCounterVec,
    pub attempt_duration: HistogramVec,
    pub job_duration: HistogramVec,
    pub token_wait: HistogramVec,
    pub in_flight: IntGaugeVec,
    pub lane_waiting: IntGaugeVec,
    pub suspended: IntGaugeVec,
    pub effective_qps: GaugeVec,
    pub quota_qps: GaugeVec,
    pub backlog_jobs: IntGaugeVec,
    pub backlog_seconds: GaugeVec,
    pub deferred_jobs: IntGauge,
    pub dedupe: IntCounterVec,
    pub log_lines_dropped: IntCounter,
    pub queue_connected: IntGauge,
    pub build_info: IntGaugeVec,
}

impl Families {
    pub fn declared_in(registry: &Registry) -> Self {
        Self {
            settled: counter(registry, SETTLED, "Jobs that ended, by outcome.", &["provider", "lane", "outcome"]),
            attempts: counter(registry, ATTEMPTS, "Dismiss requests sent, by result.", &["provider", "result"]),
            attempt_duration: histogram(
                registry,
                (ATTEMPT_DURATION, "From sending a dismiss request to its whole reply, or to giving up."),
                &["provider"],
                &ATTEMPT_BUCKETS,
            ),
            job_duration: histogram(
                registry,
                (JOB_DURATION, "From receiving a job to settling it."),
                &["provider", "lane"],
                &JOB_BUCKETS,
            ),
            token_wait: histogram(
                registry,
                (TOKEN_WAIT, "How long a job at hand waited for the quota."),
                &["provider"],
                &TOKEN_BUCKETS,
            ),
            in_flight: gauge(registry, "roomsweep_in_flight", "Dismiss requests on the wire.", &["provider"]),
            lane_waiting: gauge(
                registry,
                "roomsweep_lane_waiting",
                "Jobs in this worker's hands that wait to be sent.",
                &["provider", "lane"],
            ),
            suspended: gauge(
                registry,
                "roomsweep_provider_suspended",
                "1 while nothing is sent to the provider for this reason.",
                &["provider", "reason"],
            ),
            effective_qps: float_gauge(
                registry,
                "roomsweep_effective_qps",
                "Requests a second after adapting to throttling.",
            ),
            quota_qps: float_gauge(registry, "roomsweep_quota_qps", "Requests a second as configured."),
            backlog_jobs: gauge(
                registry,
                "roomsweep_backlog_jobs",
                "Jobs in the provider's queues, told by its active sender; in_flight ones are with a worker.",
                &["provider", "lane", "state"],
            ),
            backlog_seconds: float_gauge(
                registry,
                "roomsweep_backlog_seconds",
                "How long the backlog takes at the effective rate, told by the active sender.",
            ),
            deferred_jobs: single(
                registry,
                "roomsweep_deferred_jobs",
                "Jobs of all providers that wait for their time.",
            ),
            dedupe: counter(
                registry,
                "roomsweep_dedupe_total",
                "Jobs looked up in the ledger before they were sent, by what was found.",
                &["provider", "result"],
            ),
            log_lines_dropped: registered(
                registry,
                IntCounter::new(
                    "roomsweep_log_lines_dropped_total",
                    "Log lines that could not be written: the reader of stderr was behind, or there was no room.",
                ),
            ),
            queue_connected: single(registry, "roomsweep_queue_connected", "1 while the queue can be reached."),
            build_info: gauge(registry, "roomsweep_build_info", "Always 1; the label tells the version.", &["version"]),
        }
    }
}

/// The upper bound of the bucket that `value` falls into.
pub(super) fn bucket_of(buckets: &[f64], value: f64) -> f64 {
    buckets.iter().copied().find(|bound| value <= *bound).unwrap_or(f64::INFINITY)
}

fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn histogram(registry: &Registry, (name, help): (&str, &str), labels: &[&str], buckets: &[f64]) -> HistogramVec {
    registered(registry, HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
}

fn gauge(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(registry, IntGaugeVec::new(Opts::new(name, help), labels))
}

fn float_gauge(registry: &Registry, name: &str, help: &str) -> GaugeVec {
    registered(registry, GaugeVec::new(Opts::new(name, help), &["provider"]))
}

fn single(registry: &Registry, name: &str, help: &str) -> IntGauge {
    registered(registry, IntGauge::new(name, help))
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let collector = made.expect("a declared metric is well formed");
    registry.register(Box::new(collector.clone())).expect("a metric is declared once");
    collector
}
