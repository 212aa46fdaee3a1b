//! The guarantee as a property: a simulated sender, network and provider.

use super::*;
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);

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

/// Sends everything as fast as the slots allow; returns when each request arrived at the provider.
fn arrivals(qps: u32, transit: Duration, fates: &[Fate]) -> Vec<Duration> {
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
    enum News {
        Written,
        Answered,
        Gone,
    }
    let mut slots = Slots::new(qps, transit);
    let mut news: Vec<(Duration, News, SlotId)> = Vec::new();
    let mut now = Duration::ZERO;
    let mut arrived = Vec::new();
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
                }
            }
            let next = news.first().map(|(at, ..)| *at);
            now = match slots.admit(now) {
                Admit::Go(slot) => break slot,
                Admit::WaitUntil(free) => next.map_or(free, |at| at.min(free)),
                Admit::WaitForNews => next.expect("an unwritten request always brings news"),
            };
        };
        now += MS * u32::try_from(fate.late).unwrap();
        let written = now + Duration::from_millis(fate.write_after);
        let arrival = written + Duration::from_millis(fate.transit);
        arrived.push(arrival);
        news.push((written, News::Written, slot));
        match fate.reply_after {
            Some(wait) => news.push((arrival + Duration::from_millis(wait), News::Answered, slot)),
            None => news.push((written + Duration::from_secs(10), News::Gone, slot)),
        }
    }
    arrived.sort();
    arrived
}

/// The most arrivals in any closed second.
fn most_in_a_second(arrived: &[Duration]) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (last, end) in arrived.iter().enumerate() {
        while *end - arrived[first] > Duration::from_secs(1) {
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
