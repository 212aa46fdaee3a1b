use super::*;
use crate::model::suspension::SuspensionReason;

fn provider(name: &str) -> ProviderName {
    ProviderName::parse(name).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

const NOW: i64 = 1000;

/// `waiting` where this replica is the sender.
fn own(waiting: Option<u64>) -> Own<'static> {
    let status = ProviderStatus {
        name: provider("p"),
        health: ProviderHealth::Ok,
        suspended: None,
        since: None,
        next_probe: None,
        quota_qps: 60.0,
        effective_qps: 60.0,
        in_flight: 1,
        waiting: waiting.map(|bulk| Waiting { urgent: 0, bulk }),
    };
    Own { worker: "me", providers: vec![status], rates: BTreeMap::from([(provider("p"), vec![100, 200])]) }
}

fn report(name: &str, worker: &str, second: i64) -> SenderReport {
    SenderReport {
        provider: provider(name),
        worker: worker.to_owned(),
        at: at(second),
        quota_qps: 60.0,
        effective_qps: 30.0,
        in_flight: 9,
        waiting_urgent: 7,
        waiting_bulk: 8,
        deferred: 5,
        suspended: None,
        since: None,
        next_probe: None,
        rates: vec![10, 20, 150],
    }
}

fn merged(own: Own<'_>, reports: &[SenderReport]) -> Providers {
    Providers::of(LedgerState::Up, own, reports, &Controls::default(), at(NOW))
}

/// Of "p": sender, in flight, the bulk that waits, rate, since when it is silent.
type Told<'a> = (Option<&'a str>, i64, Option<u64>, Option<f64>, Option<Timestamp>);

#[track_caller]
fn check(own: Own<'_>, reports: &[SenderReport], expected: Told<'_>) {
    let merged = merged(own, reports);
    let view = &merged.providers[0];
    let waiting = view.status.waiting.map(|waiting| waiting.bulk);
    let told = (view.sender.as_deref(), view.status.in_flight, waiting, view.rate, view.silent_since);
    assert_eq!(told, expected);
}

#[test]
fn whoever_sends_is_believed() {
    check(own(Some(4)), &[], (Some("me"), 1, Some(4), Some(40.0), None));
    check(own(Some(4)), &[report("p", "other", NOW)], (Some("me"), 1, Some(4), Some(30.0), None));
    check(own(None), &[report("p", "other", NOW)], (Some("other"), 9, Some(8), Some(30.0), None));
}

#[test]
fn old_news_are_told_as_such() {
    let silent = NOW - STALE.as_secs() as i64;
    check(own(None), &[report("p", "other", silent + 1)], (Some("other"), 9, Some(8), Some(30.0), None));
    check(own(None), &[report("p", "other", silent)], (None, 1, None, Some(40.0), Some(at(silent))));
    check(own(None), &[report("p", "me", NOW)], (None, 1, None, Some(40.0), None));
    check(own(None), &[], (None, 1, None, Some(40.0), None));
    assert_eq!(merged(own(None), &[report("p", "other", silent)]).deferred, None);
}

#[test]
fn a_provider_of_other_replicas_is_shown_and_cannot_be_changed_here() {
    let merged = merged(own(Some(4)), &[report("a", "other", NOW), report("z", "other", 1)]);
    let told: Vec<_> = merged.providers.iter().map(|view| (view.status.name.as_str(), view.configured)).collect();
    assert_eq!(told, [("a", false), ("p", true), ("z", false)]);
    assert_eq!((merged.deferred, merged.providers[2].silent_since), (Some(5), Some(at(1))));
}

#[test]
fn a_provider_that_was_configured_once_is_forgotten_in_time() {
    let names = |day: i64| {
        let merged = Providers::of(
            LedgerState::Up,
            own(None),
            &[report("gone", "other", 0), report("p", "other", 0)],
            &Controls::default(),
            at(day * 24 * 3600),
        );
        merged.providers.into_iter().map(|view| view.status.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!((names(1), names(2)), (vec!["gone".to_owned(), "p".to_owned()], vec!["p".to_owned()]));
}

#[test]
fn health_is_what_the_sender_tells() {
    let health = |report: SenderReport| merged(own(None), &[report]).providers[0].status.health;
    assert_eq!(health(report("p", "other", NOW)), ProviderHealth::Throttled);
    assert_eq!(health(SenderReport { effective_qps: 60.0, ..report("p", "other", NOW) }), ProviderHealth::Ok);
    let suspended = Some(SuspensionReason::Outage);
    assert_eq!(health(SenderReport { suspended, ..report("p", "other", NOW) }), ProviderHealth::Suspended);
}

#[test]
fn a_pause_is_told_before_anybody_obeys_it() {
    let act = Act { by: "mira".to_owned(), why: None, at: at(999) };
    let controls = Controls { paused: BTreeMap::from([(provider("p"), act.clone())]), ..Controls::default() };
    let merged = Providers::of(LedgerState::Up, own(Some(1)), &[], &controls, at(NOW));
    assert_eq!(merged.providers[0].paused, Some(act));
}
