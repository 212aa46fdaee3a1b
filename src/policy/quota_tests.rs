//! The guarantee as a property: a simulated sender, network and provider.

use super::*;
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// What the network and the provider do to one request.
#[derive(Debug, Clone)]
struct Fate {
    /// From admission to the moment of writing: connecting, or a process that was stopped.
    write_after: u64,
    /// On the way to the provider; within `max_transit`.
    transit: u64,
    /// From arrival to the reply's arrival; None: no reply ever.
    reply_after: Option<u64>,
    /// How late we look after the slot has come free.
    late: u64,
}

fn fates(max_transit: u64) -> impl Strategy<Value = Vec<Fate>> {
    // A path changes in the middle: stretches of requests share a delay model.
    let fast = (0..3u64, 0..5u64, prop_oneof![(0..5u64).prop_map(Some), (2900..3100u64).prop_map(Some)], 0..3u64);
    let jittery = (0..20u64, 0..=max_transit, prop_oneof![4 => (0..200u64).prop_map(Some), 1 => Just(None)], 0..50u64);
    let stalled = (0..2000u64, max_transit..=max_transit, prop_oneof![Just(Some(0)), Just(None)], 0..1500u64);
    let fate = prop_oneof![4 => fast, 4 => jittery, 1 => stalled];
    let stretch = (fate, 1..40usize).prop_map(|((write_after, transit, reply_after, late), count)| {
        vec![Fate { write_after, transit, reply_after, late }; count]
    });
    prop::collection::vec(stretch, 1..12).prop_map(|stretches| stretches.concat())
}

/// A quota and the longest transit.
type Limit = (u32, Duration);

/// One request on its way to the provider.
#[derive(Debug, Clone, Copy)]
struct Sent {
    admitted: Duration,
    /// The quota at that moment.
    qps: u32,
    arrived: Duration,
}

/// Whether the network keeps the transit that was promised of it, or does what the fates say.
#[derive(Debug, Clone, Copy)]
enum Network {
    Kept,
    Fated,
}

/// Sends everything as fast as the slots allow, in the order of arrival; the limit `first` gives way to the others, each
/// from its moment on.
fn send(first: Limit, changes: &[(Duration, Limit)], network: Network, fates: &[Fate]) -> Vec<Sent> {
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
    enum News {
        Changed,
        Written,
        Answered,
        Gone,
    }
    let mut slots = Slots::new(first.0, first.1);
    let mut limit = first;
    let mut changes_left = changes.iter().copied();
    let nobody = SlotId { index: 0, serial: 0 };
    let mut news: Vec<(Duration, News, SlotId)> = changes.iter().map(|(at, _)| (*at, News::Changed, nobody)).collect();
    let mut now = Duration::ZERO;
    let mut sent = Vec::new();
    for fate in fates {
        let slot = loop {
            // All that happened up to now, in order.
            news.sort_by_key(|(at, kind, _)| (*at, *kind));
            while news.first().is_some_and(|(at, ..)| *at <= now) {
                let (at, kind, slot) = news.remove(0);
                match kind {
                    News::Written => slots.written(slot, at),
                    News::Answered => slots.answered(slot, at),
                    News::Gone => slots.gone(slot, at),
                    News::Changed => {
                        limit = changes_left.next().expect("as many as there is news of").1;
                        slots.reconfigure(limit.0, limit.1);
                    }
                }
            }
            let next = news.first().map(|(at, ..)| *at);
            now = match slots.admit(now) {
                Admit::Go(slot) => break slot,
                Admit::WaitUntil(free) => next.map_or(free, |at| at.min(free)),
                Admit::WaitForNews => next.expect("an unwritten request always brings news"),
            };
        };
        let admitted = now;
        now += MS * u32::try_from(fate.late).unwrap();
        let written = now + Duration::from_millis(fate.write_after);
        // It may be sent under any limit that there was meanwhile.
        let meanwhile = changes.iter().filter(|(at, _)| (admitted..=written).contains(at)).map(|(_, limit)| limit.1);
        let longest = meanwhile.fold(limit.1, Duration::max);
        let transit = Duration::from_millis(fate.transit);
        let arrived = match network {
            Network::Kept => written + transit.min(longest),
            Network::Fated => written + transit,
        };
        sent.push(Sent { admitted, qps: limit.0, arrived });
        news.push((written, News::Written, slot));
        match fate.reply_after {
            Some(wait) => news.push((arrived + Duration::from_millis(wait), News::Answered, slot)),
            None => news.push((written + Duration::from_secs(10), News::Gone, slot)),
        }
    }
    sent.sort_by_key(|sent| sent.arrived);
    sent
}

/// When each request arrived at the provider, under one limit.
fn arrivals(qps: u32, transit: Duration, fates: &[Fate]) -> Vec<Duration> {
    send((qps, transit), &[], Network::Fated, fates).iter().map(|sent| sent.arrived).collect()
}

/// The first requests within a closed second that are more than was allowed when the last of them was admitted.
fn too_many(sent: &[Sent]) -> Option<&[Sent]> {
    (0..sent.len()).find_map(|first| {
        let mut last: Option<&Sent> = None;
        let second = sent[first..].iter().take_while(|other| other.arrived - sent[first].arrived <= SECOND);
        second.enumerate().find_map(|(more, other)| {
            last = last.filter(|last| last.admitted > other.admitted).or(Some(other));
            (more + 1 > last?.qps as usize).then(|| &sent[first..=first + more])
        })
    })
}

/// The most arrivals in any closed second.
fn most_in_a_second(arrived: &[Duration]) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (last, end) in arrived.iter().enumerate() {
        while *end - arrived[first] > SECOND {
            first += 1;
        }
        most = most.max(last - first + 1);
    }
    most
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn never_more_than_the_quota_arrives_in_any_closed_second(
        qps in 1u32..80,
        (max_transit, fates) in (1u64..1500).prop_flat_map(|transit| (Just(transit), fates(transit))),
    ) {
        let transit = Pacing::Strict.transit(Duration::from_millis(max_transit));
        let arrived = arrivals(qps, transit, &fates);
        prop_assert!(most_in_a_second(&arrived) <= qps as usize, "{} > {qps}", most_in_a_second(&arrived));
    }

    #[test]
    fn by_our_own_clock_never_more_than_the_quota_is_written(qps in 1u32..80, fates in fates(1)) {
        let at_once: Vec<Fate> = fates.iter().map(|fate| Fate { transit: 0, ..fate.clone() }).collect();
        let written = arrivals(qps, Pacing::Send.transit(500 * MS), &at_once);
        prop_assert!(most_in_a_second(&written) <= qps as usize);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_second_keeps_the_quota_under_which_its_last_request_was_admitted(
        limits in prop::collection::vec((0u64..6_000, 1u32..80, 1u64..1500), 1..8),
        fates in fates(1500),
    ) {
        let mut now = Duration::ZERO;
        let limits: Vec<(Duration, Limit)> = limits
            .into_iter()
            .map(|(after, qps, transit)| {
                now += Duration::from_millis(after);
                (now, (qps, Duration::from_millis(transit)))
            })
            .collect();
        let sent = send(limits[0].1, &limits[1..], Network::Kept, &fates);
        prop_assert!(too_many(&sent).is_none(), "{:?}", too_many(&sent));
    }
}

/// A long run at full rate with `first` until the middle of the third second, and with `then` from there on.
fn changed(first: u32, then: u32) -> (Vec<Duration>, Duration) {
    let (transit, at) = (500 * MS, 2500 * MS);
    let fate = Fate { write_after: 0, transit: 25, reply_after: Some(25), late: 0 };
    let sent = send((first, transit), &[(at, (then, transit))], Network::Kept, &vec![fate; 400]);
    (sent.iter().map(|sent| sent.arrived).collect(), at)
}

#[test]
fn a_lower_quota_is_kept_from_one_window_after_the_change() {
    let (arrived, at) = changed(60, 20);
    let window = Slots::new(20, 500 * MS).window();
    let later: Vec<Duration> = arrived.iter().copied().filter(|arrived| *arrived > at + window).collect();
    assert_eq!((most_in_a_second(&arrived), most_in_a_second(&later)), (60, 20));
    let rate = (later.len() - 20) as f64 / (*later.last().unwrap() - later[0]).as_secs_f64();
    assert!((rate - 20.0 / 1.051).abs() < 0.5, "{rate}");
}

#[test]
fn a_higher_quota_is_used_at_once_and_not_passed() {
    let (arrived, at) = changed(20, 60);
    let before = arrived.iter().filter(|arrived| **arrived < at).count();
    let soon = arrived.iter().filter(|&arrived| (at..at + SECOND).contains(arrived)).count();
    assert_eq!((before, most_in_a_second(&arrived)), (60, 60));
    assert!(soon > 40, "{soon}");
}

#[test]
fn a_slot_that_is_closed_hears_no_late_news() {
    let mut slots = Slots::new(2, 500 * MS);
    let Admit::Go(first) = slots.admit(Duration::ZERO) else { panic!("free") };
    slots.written(first, Duration::ZERO);
    slots.reconfigure(1, 500 * MS);
    assert!(matches!(slots.admit(MS), Admit::WaitUntil(_)), "the free one was the one too many");
    let Admit::Go(second) = slots.admit(2 * SECOND) else { panic!("free") };
    slots.written(second, 2 * SECOND);
    slots.answered(first, 2 * SECOND);
    slots.reconfigure(2, 500 * MS);
    assert!(matches!(slots.admit(2 * SECOND), Admit::Go(_)));
    assert_eq!(slots.admit(2 * SECOND), Admit::WaitUntil(3501 * MS));
}

fn steady(qps: u32, transit: Duration, round_trip: u64) -> f64 {
    let half = round_trip / 2;
    let fate = Fate { write_after: 0, transit: half, reply_after: Some(round_trip - half), late: 0 };
    let arrived = arrivals(qps, transit, &vec![fate; 60 * qps as usize]);
    let span = *arrived.last().unwrap() - arrived[0];
    (arrived.len() - qps as usize) as f64 / span.as_secs_f64()
}

#[test]
fn the_price_is_the_round_trip_and_never_more_than_the_transit() {
    let (strict, send) = (Pacing::Strict.transit(500 * MS), Pacing::Send.transit(500 * MS));
    let check = |round_trip: u64, transit: Duration, expected: f64| {
        let rate = steady(60, transit, round_trip);
        assert!((rate - expected).abs() < 0.2, "{round_trip} ms: {rate}, not {expected}");
    };
    check(30, strict, 58.2);
    check(50, strict, 57.1);
    check(3000, strict, 60.0 / 1.501);
    check(50, send, 60.0 / 1.011);
}

#[test]
fn a_network_slower_than_promised_breaks_the_guarantee_so_the_check_can_fail() {
    let slow = Fate { write_after: 0, transit: 900, reply_after: None, late: 0 };
    let fast = Fate { write_after: 0, transit: 0, reply_after: Some(0), late: 0 };
    let fates = [vec![slow; 10], vec![fast; 10]].concat();
    let arrived = arrivals(10, 100 * MS, &fates);
    assert!(most_in_a_second(&arrived) > 10);
}

#[test]
fn what_was_never_written_frees_its_slot_at_once() {
    let mut slots = Slots::new(1, 500 * MS);
    let Admit::Go(slot) = slots.admit(Duration::ZERO) else { panic!("free") };
    assert_eq!(slots.admit(MS), Admit::WaitForNews);
    slots.gone(slot, 2 * MS);
    assert!(matches!(slots.admit(2 * MS), Admit::Go(_)));
}

#[test]
fn what_was_written_and_lost_keeps_its_slot_for_the_transit() {
    let mut slots = Slots::new(1, 500 * MS);
    let Admit::Go(slot) = slots.admit(Duration::ZERO) else { panic!("free") };
    slots.written(slot, MS);
    slots.gone(slot, 2 * MS);
    assert_eq!(slots.admit(3 * MS), Admit::WaitUntil(1502 * MS));
}
