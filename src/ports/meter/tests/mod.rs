mod strict;

use std::collections::BTreeMap;

use self::strict::{Family, Sample};
use super::*;
use crate::model::decode::Readable;
use crate::model::ids::{JobId, RequestId};
use crate::model::progress::Progress;
use crate::model::result::Ending;

fn volcengine() -> ProviderName {
    ProviderName::parse("volcengine").unwrap()
}

/// One registered provider.
fn meter() -> Meter {
    let meter = Meter::new("1.2.3");
    meter.register(&volcengine(), 60);
    meter
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

fn record(verdict: VerdictLabel, request_id: Option<&str>, duration_ms: u64) -> AttemptRecord {
    let request_id = request_id.map(|id| RequestId::parse(id).unwrap());
    AttemptRecord { at: at(1_700_000_000_000), verdict, http_status: None, request_id, error: None, duration_ms }
}

fn result(provider: Option<&str>, lane: Option<Lane>, job_id: &str, request_id: Option<&str>) -> DismissResult {
    let mut progress = Progress::received(at(1_700_000_000_000));
    progress.note(record(VerdictLabel::Dismissed, request_id, 30));
    let provider = provider.map(|name| ProviderName::parse(name).unwrap());
    let readable = Readable { provider, lane, ..Readable::default() };
    let ending = Ending { outcome: Outcome::Dismissed, error: None };
    DismissResult::of_readable(JobId::parse(job_id).unwrap(), readable, progress, ending, at(1_700_000_002_500), "w")
}

fn open(meter: &Meter) -> BTreeMap<String, Family> {
    strict::parse(&meter.render(Exposition::OpenMetrics))
}

fn find<'a>(families: &'a BTreeMap<String, Family>, name: &str, labels: &[(&str, &str)]) -> Option<&'a Sample> {
    let has = |sample: &&Sample| {
        sample.name == name
            && sample.labels.len() == labels.len()
            && labels.iter().all(|(name, value)| sample.labels.get(*name).is_some_and(|v| v == value))
    };
    families.values().flat_map(|family| &family.samples).find(has)
}

fn value(meter: &Meter, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    find(&open(meter), name, labels).map(|sample| sample.value)
}

#[test]
fn every_metric_has_the_contracts_name_type_and_labels() {
    let meter = meter();
    meter.backlog_jobs(&volcengine(), Lane::Bulk, BacklogState::Ready, 1);
    meter.backlog_seconds(&volcengine(), 1.0);
    let expected: [(&str, &str, &[&str]); 17] = [
        ("roomsweep_attempt_duration_seconds", "histogram", &["provider"]),
        ("roomsweep_attempts", "counter", &["provider", "result"]),
        ("roomsweep_backlog_jobs", "gauge", &["lane", "provider", "state"]),
        ("roomsweep_backlog_seconds", "gauge", &["provider"]),
        ("roomsweep_build_info", "gauge", &["version"]),
        ("roomsweep_dedupe", "counter", &["provider", "result"]),
        ("roomsweep_deferred_jobs", "gauge", &[]),
        ("roomsweep_effective_qps", "gauge", &["provider"]),
        ("roomsweep_in_flight", "gauge", &["provider"]),
        ("roomsweep_job_duration_seconds", "histogram", &["lane", "provider"]),
        ("roomsweep_jobs_settled", "counter", &["lane", "outcome", "provider"]),
        ("roomsweep_lane_waiting", "gauge", &["lane", "provider"]),
        ("roomsweep_log_lines_dropped", "counter", &[]),
        ("roomsweep_provider_suspended", "gauge", &["provider", "reason"]),
        ("roomsweep_queue_connected", "gauge", &[]),
        ("roomsweep_quota_qps", "gauge", &["provider"]),
        ("roomsweep_token_wait_seconds", "histogram", &["provider"]),
    ];
    let families = open(&meter);
    let actual: Vec<(&str, &str, Vec<&str>)> = families
        .iter()
        .map(|(name, family)| {
            let labels = family.samples[0].labels.keys().map(String::as_str).filter(|label| *label != "le");
            (name.as_str(), family.kind.as_str(), labels.collect())
        })
        .collect();
    let expected: Vec<_> = expected.into_iter().map(|(name, kind, labels)| (name, kind, labels.to_vec())).collect();
    assert_eq!(actual, expected);
}

#[test]
fn plain_text_names_counters_in_full_and_has_no_exemplars() {
    let meter = meter();
    meter.settled(&result(Some("volcengine"), Some(Lane::Bulk), "j", Some("q")));
    let text = meter.render(Exposition::PrometheusText);
    assert!(text.contains("# TYPE roomsweep_jobs_settled_total counter\n"), "{text}");
    assert!(
        text.contains(
            "\nroomsweep_jobs_settled_total{lane=\"bulk\",outcome=\"dismissed\",provider=\"volcengine\"} 1\n"
        )
    );
    assert!(!text.contains("request_id") && !text.contains("EOF"));
}

#[test]
fn a_meter_without_providers_renders_too() {
    let meter = Meter::new("1");
    assert_eq!(value(&meter, "roomsweep_build_info", &[("version", "1")]), Some(1.0));
    assert!(meter.render(Exposition::PrometheusText).contains("roomsweep_build_info{version=\"1\"} 1\n"));
}

#[test]
fn a_label_may_hold_any_character() {
    let odd = "a\"b\\n\nc{},=房";
    let meter = Meter::new(odd);
    assert_eq!(value(&meter, "roomsweep_build_info", &[("version", odd)]), Some(1.0));
}

#[test]
fn a_registered_providers_series_exist_from_the_start() {
    let meter = meter();
    let check = |name: &str, labels: &[(&str, &str)], expected: f64| {
        assert_eq!(value(&meter, name, labels), Some(expected), "{name} {labels:?}");
    };
    for outcome in Outcome::ALL {
        let labels = [("provider", "volcengine"), ("lane", "urgent"), ("outcome", outcome.as_str())];
        check("roomsweep_jobs_settled_total", &labels, 0.0);
    }
    for verdict in VerdictLabel::ALL {
        check("roomsweep_attempts_total", &[("provider", "volcengine"), ("result", verdict.as_str())], 0.0);
    }
    for reason in SuspensionReason::ALL {
        check("roomsweep_provider_suspended", &[("provider", "volcengine"), ("reason", reason.as_str())], 0.0);
    }
    check("roomsweep_quota_qps", &[("provider", "volcengine")], 60.0);
    check("roomsweep_effective_qps", &[("provider", "volcengine")], 60.0);
    check("roomsweep_job_duration_seconds_count", &[("provider", "volcengine"), ("lane", "bulk")], 0.0);
}

#[test]
fn a_new_quota_changes_nothing_else() {
    let meter = meter();
    meter.effective_qps(&volcengine(), 30.5);
    meter.attempt(&volcengine(), &record(VerdictLabel::Dismissed, None, 1));
    meter.register(&volcengine(), 20);
    assert_eq!(value(&meter, "roomsweep_quota_qps", &[("provider", "volcengine")]), Some(20.0));
    assert_eq!(value(&meter, "roomsweep_effective_qps", &[("provider", "volcengine")]), Some(30.5));
    let labels = [("provider", "volcengine"), ("result", "dismissed")];
    assert_eq!(value(&meter, "roomsweep_attempts_total", &labels), Some(1.0));
}

#[test]
fn a_settled_job_is_counted_with_both_ids_as_exemplar() {
    let meter = meter();
    meter.settled(&result(Some("volcengine"), Some(Lane::Bulk), "job-\"1\"", Some(r"back\slash")));
    let families = open(&meter);
    let labels = [("provider", "volcengine"), ("lane", "bulk"), ("outcome", "dismissed")];
    let sample = find(&families, "roomsweep_jobs_settled_total", &labels).unwrap();
    assert_eq!(sample.value, 1.0);
    let exemplar = sample.exemplar.clone().unwrap();
    assert_eq!(exemplar.labels["request_id"], r"back\slash");
    assert_eq!(exemplar.labels["job_id"], "job-\"1\"");
    assert_eq!((exemplar.value, exemplar.seconds), (1.0, 1_700_000_002.5));

    let labels = [("provider", "volcengine"), ("lane", "bulk")];
    assert_eq!(find(&families, "roomsweep_job_duration_seconds_sum", &labels).unwrap().value, 2.5);
}

#[test]
fn an_exemplar_that_is_too_long_loses_the_job_id_and_then_all() {
    let check = |request_id: &str, expected: Option<usize>| {
        let meter = meter();
        meter.settled(&result(Some("volcengine"), Some(Lane::Bulk), &"j".repeat(100), Some(request_id)));
        let labels = [("provider", "volcengine"), ("lane", "bulk"), ("outcome", "dismissed")];
        let families = open(&meter);
        let sample = find(&families, "roomsweep_jobs_settled_total", &labels).unwrap();
        assert_eq!(sample.exemplar.as_ref().map(|exemplar| exemplar.labels.len()), expected, "{request_id}");
    };
    check(&"q".repeat(12), Some(2));
    check(&"q".repeat(13), Some(1));
    check(&"q".repeat(118), Some(1));
    check(&"q".repeat(119), None);
}

#[test]
fn an_attempts_exemplar_stands_on_the_bucket_of_its_duration() {
    let meter = meter();
    let check = |duration_ms: u64, le: &str| {
        meter.attempt(&volcengine(), &record(VerdictLabel::Dismissed, Some(&format!("q{duration_ms}")), duration_ms));
        let labels = [("provider", "volcengine"), ("le", le)];
        let families = open(&meter);
        let exemplar = find(&families, "roomsweep_attempt_duration_seconds_bucket", &labels).unwrap().exemplar.clone();
        let exemplar = exemplar.unwrap_or_else(|| panic!("none at {le}"));
        assert_eq!(exemplar.labels["request_id"], format!("q{duration_ms}"));
        assert_eq!(exemplar.value, duration_ms as f64 / 1000.0);
        assert_eq!(exemplar.seconds, (1_700_000_000_000_u64 + duration_ms) as f64 / 1000.0);
    };
    check(0, "0.005");
    check(5, "0.005");
    check(6, "0.01");
    check(1000, "1.0");
    check(30_000, "30.0");
    check(30_001, "+Inf");
}

#[test]
fn ids_are_never_labels() {
    let meter = meter();
    meter.settled(&result(Some("volcengine"), Some(Lane::Bulk), "j", Some("q")));
    meter.attempt(&volcengine(), &record(VerdictLabel::Dismissed, Some("q"), 1));
    let ids = ["request_id", "job_id", "room_id", "batch_id"];
    for sample in open(&meter).values().flat_map(|family| &family.samples) {
        assert!(sample.labels.keys().all(|label| !ids.contains(&label.as_str())), "{sample:?}");
    }
}

#[test]
fn what_no_one_configured_counts_as_unknown() {
    let meter = meter();
    meter.settled(&result(None, None, "j", None));
    meter.settled(&result(Some("volcengin"), Some(Lane::Urgent), "j", None));
    let check = |lane: &str| {
        let labels = [("provider", "unknown"), ("lane", lane), ("outcome", "dismissed")];
        assert_eq!(value(&meter, "roomsweep_jobs_settled_total", &labels), Some(1.0), "{lane}");
    };
    check("unknown");
    check("urgent");
    assert!(!meter.render(Exposition::PrometheusText).contains("\"volcengin\""));
}

#[test]
fn one_reason_suspends_at_a_time() {
    let meter = meter();
    let seen = |reason: SuspensionReason| {
        value(&meter, "roomsweep_provider_suspended", &[("provider", "volcengine"), ("reason", reason.as_str())])
    };
    let for_reason = |reason| Some(Suspended { reason, since: at(7), next_probe: None });
    meter.suspended(&volcengine(), for_reason(SuspensionReason::Outage));
    meter.suspended(&volcengine(), for_reason(SuspensionReason::Paused));
    assert_eq!(seen(SuspensionReason::Outage), Some(0.0));
    assert_eq!(seen(SuspensionReason::Paused), Some(1.0));
    assert_eq!(meter.providers()[0].suspended, Some(SuspensionReason::Paused));
    meter.suspended(&volcengine(), None);
    assert_eq!(seen(SuspensionReason::Paused), Some(0.0));
}

#[test]
fn a_replica_that_no_longer_sends_tells_no_backlog() {
    let meter = meter();
    meter.forget_backlog(&volcengine());
    meter.backlog_jobs(&volcengine(), Lane::Bulk, BacklogState::Ready, 7);
    meter.backlog_jobs(&volcengine(), Lane::Bulk, BacklogState::InFlight, 2);
    meter.backlog_seconds(&volcengine(), f64::INFINITY);
    let labels = [("provider", "volcengine"), ("lane", "bulk"), ("state", "ready")];
    assert_eq!(value(&meter, "roomsweep_backlog_jobs", &labels), Some(7.0));
    assert_eq!(value(&meter, "roomsweep_backlog_seconds", &[("provider", "volcengine")]), Some(f64::INFINITY));
    meter.forget_backlog(&volcengine());
    assert!(open(&meter).keys().all(|name| !name.contains("backlog")));
}

#[test]
fn a_status_says_what_the_gauges_say() {
    let meter = meter();
    meter.in_flight(&volcengine(), 3);
    meter.effective_qps(&volcengine(), 12.5);
    let slowed = ProviderStatus {
        name: volcengine(),
        health: ProviderHealth::Throttled,
        suspended: None,
        since: None,
        next_probe: None,
        quota_qps: 60.0,
        effective_qps: 12.5,
        in_flight: 3,
        waiting: None,
    };
    assert_eq!(meter.providers()[0], slowed);
    let suspended = Suspended { reason: SuspensionReason::Outage, since: at(1), next_probe: Some(at(2)) };
    meter.suspended(&volcengine(), Some(suspended));
    meter.backlog_jobs(&volcengine(), Lane::Bulk, BacklogState::Ready, 40);
    meter.backlog_jobs(&volcengine(), Lane::Bulk, BacklogState::InFlight, 5);
    meter.lane_waiting(&volcengine(), Lane::Bulk, 2);
    meter.lane_waiting(&volcengine(), Lane::Urgent, 1);
    let expected = ProviderStatus {
        health: ProviderHealth::Suspended,
        suspended: Some(SuspensionReason::Outage),
        since: Some(at(1)),
        next_probe: Some(at(2)),
        waiting: Some(Waiting { urgent: 1, bulk: 42 }),
        ..slowed
    };
    assert_eq!(meter.providers(), [expected]);
    meter.forget_backlog(&volcengine());
    assert_eq!(meter.providers()[0].waiting, None, "another replica sends");
    assert_eq!(meter.queue_link(), QueueLink::Down);
    meter.queue_connected(QueueLink::Up);
    assert_eq!(meter.queue_link(), QueueLink::Up);
}

#[test]
fn a_clock_that_was_set_back_makes_no_negative_duration() {
    let meter = meter();
    let mut result = result(Some("volcengine"), Some(Lane::Bulk), "j", None);
    result.settled_at = at(0);
    meter.settled(&result);
    let labels = [("provider", "volcengine"), ("lane", "bulk")];
    assert_eq!(value(&meter, "roomsweep_job_duration_seconds_sum", &labels), Some(0.0));
}

#[test]
fn waits_and_gauges_are_told_by_provider() {
    let meter = meter();
    meter.token_wait(&volcengine(), Duration::from_millis(40));
    meter.lane_waiting(&volcengine(), Lane::Urgent, 4);
    meter.deferred_jobs(9);
    let by_provider = [("provider", "volcengine")];
    assert_eq!(value(&meter, "roomsweep_token_wait_seconds_sum", &by_provider), Some(0.04));
    let labels = [("provider", "volcengine"), ("lane", "urgent")];
    assert_eq!(value(&meter, "roomsweep_lane_waiting", &labels), Some(4.0));
    assert_eq!(value(&meter, "roomsweep_deferred_jobs", &[]), Some(9.0));
}
