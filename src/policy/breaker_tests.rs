//! The breaker's course, event by event.

use super::*;

const T: Duration = Duration::from_secs(100);
const REFUSED: Event = Event::Refused(SuspensionReason::Credentials);
const TYPO: Event = Event::Refused(SuspensionReason::Configuration);
const SECOND: Duration = Duration::from_secs(1);

fn broken() -> Breaker {
    let mut breaker = Breaker::default();
    for _ in 0..FAILURES_TO_OPEN {
        assert_eq!(breaker.admit(T), Admission::Go);
        breaker.observe(Event::Failed, T);
    }
    breaker
}

#[test]
fn failures_in_a_row_open_it_and_an_answer_between_them_does_not() {
    let mut breaker = Breaker::default();
    for _ in 0..10 {
        for _ in 1..FAILURES_TO_OPEN {
            breaker.observe(Event::Failed, T);
        }
        breaker.observe(Event::Answered, T);
    }
    assert_eq!(breaker.suspended(), None);
    assert_eq!(broken().suspended(), Some(SuspensionReason::Outage));
}

#[test]
fn one_probe_at_a_time_with_growing_pauses() {
    let mut breaker = broken();
    let mut now = T;
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let Admission::Wait(until) = breaker.admit(now) else { panic!("must wait") };
        pauses.push((until - now).as_secs());
        now = until;
        assert_eq!(breaker.admit(now), Admission::Probe);
        assert_eq!(breaker.admit(now), Admission::Hold);
        breaker.observe_probe(Event::Failed, now);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 15, 15]);
}

#[test]
fn a_probe_that_is_answered_closes_it() {
    let mut breaker = broken();
    assert_eq!(breaker.admit(T + FIRST_PAUSE), Admission::Probe);
    breaker.observe_probe(Event::Answered, T + FIRST_PAUSE);
    assert_eq!(breaker.admit(T + FIRST_PAUSE), Admission::Go);
}

#[test]
fn late_news_neither_closes_it_nor_makes_the_pause_longer() {
    let mut breaker = broken();
    breaker.observe(Event::Answered, T);
    breaker.observe(Event::Failed, T + FIRST_PAUSE / 2);
    assert_eq!(breaker.admit(T), Admission::Wait(T + FIRST_PAUSE));
}

#[test]
fn a_refusal_is_probed_once_in_thirty_seconds() {
    let mut breaker = Breaker::default();
    breaker.observe(Event::Refused(SuspensionReason::Credentials), T);
    breaker.observe(Event::Answered, T);
    assert_eq!(breaker.admit(T), Admission::Wait(T + REFUSAL_PAUSE));
    breaker.observe(Event::Refused(SuspensionReason::Credentials), T + Duration::from_secs(1));
    assert_eq!(breaker.admit(T + REFUSAL_PAUSE), Admission::Wait(T + REFUSAL_PAUSE + Duration::from_secs(1)));
}

fn after(events: &[Event]) -> Breaker {
    let mut breaker = Breaker::default();
    events.iter().for_each(|event| breaker.observe(*event, T));
    breaker
}

#[test]
fn new_settings_are_tried_at_once_unless_credentials_were_refused() {
    let check = |events: &[Event], expected: Admission| {
        let mut breaker = after(events);
        breaker.reconfigured(T + SECOND / 2);
        assert_eq!(breaker.admit(T + SECOND / 2), expected, "{events:?}");
    };
    check(&[TYPO], Admission::Probe);
    check(&[], Admission::Go);
    check(&[REFUSED], Admission::Wait(T + REFUSAL_PAUSE));
    check(&[REFUSED, TYPO], Admission::Wait(T + REFUSAL_PAUSE));
    check(&[Event::Failed; FAILURES_TO_OPEN as usize], Admission::Wait(T + FIRST_PAUSE));
}

#[test]
fn no_later_trouble_shortens_the_pause_of_refused_credentials() {
    for reason in SuspensionReason::ALL {
        let mut breaker = after(&[REFUSED, Event::Refused(reason)]);
        assert_eq!(breaker.admit(T), Admission::Wait(T + REFUSAL_PAUSE), "{reason}");
    }
}

#[test]
fn a_refusal_of_replaced_settings_does_not_suspend_the_new_ones() {
    for reason in [SuspensionReason::Credentials, SuspensionReason::Configuration] {
        assert_eq!(after(&[Event::Outdated(reason)]).suspended(), None);
    }
    let mut breaker = after(&[TYPO]);
    breaker.reconfigured(T);
    breaker.observe(Event::Outdated(SuspensionReason::Configuration), T + SECOND);
    assert_eq!(breaker.admit(T + SECOND), Admission::Probe);
    breaker.observe_probe(Event::Outdated(SuspensionReason::Configuration), T + SECOND);
    assert_eq!(breaker.admit(T + SECOND), Admission::Probe, "that probe still asked the old way");
}

#[test]
fn a_refused_key_rests_although_it_was_replaced_meanwhile() {
    let mut breaker = after(&[REFUSED]);
    breaker.observe(Event::Outdated(SuspensionReason::Credentials), T + SECOND);
    let rested = T + SECOND + REFUSAL_PAUSE;
    assert_eq!(breaker.admit(T + REFUSAL_PAUSE), Admission::Wait(rested));
    assert_eq!(breaker.admit(rested), Admission::Probe);
    breaker.observe_probe(Event::Outdated(SuspensionReason::Credentials), rested);
    assert_eq!(breaker.admit(rested), Admission::Wait(rested + REFUSAL_PAUSE));
}

#[test]
fn a_probe_that_fails_leaves_a_refused_key_refused() {
    let mut breaker = Breaker::default();
    breaker.observe(Event::Refused(SuspensionReason::Credentials), T);
    let later = T + REFUSAL_PAUSE;
    assert_eq!(breaker.admit(later), Admission::Probe);
    breaker.observe_probe(Event::Failed, later);
    let next_probe = Some(later + REFUSAL_PAUSE);
    let expected = Suspension { reason: SuspensionReason::Credentials, since: T, next_probe };
    assert_eq!(breaker.suspension(), Some(expected));
}

#[test]
fn a_suspension_tells_since_when_for_what_and_until_when() {
    let mut breaker = broken();
    let outage = |next_probe| Suspension { reason: SuspensionReason::Outage, since: T, next_probe };
    let probed = T + FIRST_PAUSE;
    assert_eq!(breaker.suspension(), Some(outage(Some(probed))));
    assert_eq!(breaker.admit(probed), Admission::Probe);
    assert_eq!(breaker.suspension(), Some(outage(None)));
    breaker.observe_probe(Event::Failed, probed);
    assert_eq!(breaker.suspension(), Some(outage(Some(probed + 2 * FIRST_PAUSE))));
    breaker.observe(Event::Refused(SuspensionReason::Configuration), probed);
    assert_eq!(
        breaker.suspension().map(|known| (known.reason, known.since)),
        Some((SuspensionReason::Configuration, probed))
    );
    breaker.admit(probed + REFUSAL_PAUSE);
    breaker.observe_probe(Event::Answered, probed + REFUSAL_PAUSE);
    assert_eq!(breaker.suspension(), None);
}

#[test]
fn a_probe_that_was_not_sent_may_be_taken_again() {
    let mut breaker = broken();
    let later = T + FIRST_PAUSE;
    assert_eq!(breaker.admit(later), Admission::Probe);
    breaker.probe_unsent(later);
    assert_eq!(breaker.admit(later), Admission::Probe);
}
