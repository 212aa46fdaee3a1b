use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::policy::bucket::Bucket;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// `each` requests pass in every one of the last seconds before `now`.
fn passing(pace: &mut Pace, each: u64, now: Duration) {
    for n in (0..each).rev() {
        pace.passed(now - ms(1000 * n / each));
    }
}

#[test]
fn it_starts_at_the_quota_and_never_passes_it() {
    let pace = Pace::new(60);
    assert_eq!(pace.rate(s(0)), 60.0);
    assert_eq!(pace.rate(s(1000)), 60.0);
}

#[test]
fn a_throttle_brings_it_a_little_below_what_was_just_seen_to_pass() {
    let check = |passed: u64, expected: f64| {
        let mut pace = Pace::new(60);
        passing(&mut pace, passed, s(10));
        pace.throttled(s(10), s(10), None);
        assert!((pace.rate(s(10)) - expected).abs() < 0.01, "{passed}: {}", pace.rate(s(10)));
    };
    check(60, 55.2);
    check(40, 36.8);
    // Few may have been sent: one throttle halves it at most.
    check(10, 30.0);
    check(0, 30.0);
}

#[test]
fn throttles_of_requests_that_went_out_before_it_could_help_are_the_same_news() {
    let mut pace = Pace::new(60);
    for n in 0..50 {
        pace.throttled(s(10) + ms(100 * n), s(10), None);
    }
    assert_eq!(pace.rate(s(15)), 30.0);
    pace.throttled(s(15), s(11), None);
    assert_eq!(pace.rate(s(15)), 15.0);
}

#[test]
fn it_rests_where_it_passes_and_then_grows_by_two_a_second_or_more() {
    for quota in [1, 20, 60, 1000] {
        let mut pace = Pace::new(quota);
        pace.throttled(s(10), s(10), None);
        let low = pace.rate(s(10));
        assert_eq!(pace.rate(s(10) + REST), low);
        let mut now = s(11) + REST;
        while pace.rate(now) < f64::from(quota) {
            assert!(pace.rate(now) - pace.rate(now - s(1)) > 1.999, "{quota} at {now:?}");
            now += s(1);
        }
    }
}

#[test]
fn it_is_back_at_the_quota_within_thirty_seconds_of_half_of_it() {
    for quota in [2, 20, 40, 60, 500] {
        let mut pace = Pace::new(quota);
        pace.throttled(s(10), s(10), Some(s(1)));
        assert!(pace.rate(s(10)) <= f64::from(quota) / 2.0);
        assert_eq!(pace.rate(s(40)), f64::from(quota));
    }
}

#[test]
fn retry_after_holds_everything_and_does_not_count_as_recovery() {
    let mut pace = Pace::new(60);
    pace.throttled(s(10), s(10), Some(s(5)));
    pace.throttled(s(11), s(10), Some(s(5)));
    assert_eq!(pace.hold_until(), s(16));
    assert_eq!(pace.rate(s(15) + REST), 30.0);
}

#[test]
fn the_rate_never_falls_to_nothing() {
    let mut pace = Pace::new(1);
    for second in 0..100 {
        pace.throttled(s(second), s(second), None);
        assert!(pace.rate(s(second)) >= FLOOR);
    }
}

/// Sends as fast as a pace lets it to a provider that takes `limit` in any closed second.
struct World {
    pace: Pace,
    bucket: Bucket,
    taken: VecDeque<Duration>,
    /// When an answer comes, when its request went out, and whether that passed.
    answers: VecDeque<(Duration, Duration, bool)>,
    round_trip: Duration,
    retry_after: Option<Duration>,
}

impl World {
    fn new(quota: u32, round_trip: Duration, retry_after: Option<Duration>) -> Self {
        Self {
            pace: Pace::new(quota),
            bucket: Bucket::default(),
            taken: VecDeque::new(),
            answers: VecDeque::new(),
            round_trip,
            retry_after,
        }
    }

    /// Sends from one moment to another; tells how many passed and how many did not.
    fn run(&mut self, from: Duration, to: Duration, limit: usize) -> (u64, u64) {
        let (mut passed, mut refused) = (0, 0);
        let mut now = from;
        while now < to {
            self.listen(now);
            if now >= self.pace.hold_until() && self.bucket.take(now, self.pace.rate(now)).is_ok() {
                let arrives = now + self.round_trip / 2;
                while self.taken.front().is_some_and(|&time| time + s(1) < arrives) {
                    self.taken.pop_front();
                }
                let passes = self.taken.len() < limit;
                if passes {
                    self.taken.push_back(arrives);
                    passed += 1;
                } else {
                    refused += 1;
                }
                self.answers.push_back((now + self.round_trip, now, passes));
            }
            now += ms(1);
        }
        (passed, refused)
    }

    fn listen(&mut self, now: Duration) {
        while let Some(&(at, sent, passes)) = self.answers.front()
            && at <= now
        {
            self.answers.pop_front();
            if passes {
                self.pace.passed(now);
            } else {
                self.pace.throttled(now, sent, self.retry_after);
                self.bucket.rest_until(self.pace.hold_until());
            }
        }
    }
}

/// Half the quota for a minute: the rate it settles at, the share of refused requests, and the time until it is back.
#[track_caller]
fn half_for_a_minute(quota: u32, round_trip: Duration, retry_after: Option<Duration>) {
    let what = format!("{quota} a second, {round_trip:?} away, told to wait {retry_after:?}");
    let mut world = World::new(quota, round_trip, retry_after);
    world.run(s(10), s(20), quota as usize + 3);
    let limit = quota / 2;
    let (passed, refused) = world.run(s(20), s(80), limit as usize);
    let rate = f64::from(u32::try_from(passed).unwrap()) / 60.0 / f64::from(limit);
    let share = refused as f64 / (passed + refused) as f64;
    println!("{what}: {:.0} % used, {:.1} % refused", 100.0 * rate, 100.0 * share);
    assert!((0.8..=1.02).contains(&rate), "{what}: {rate}");
    assert!(share < 0.05, "{what}: {share}");
    world.run(s(80), s(110), quota as usize + 3);
    assert_eq!(world.pace.rate(s(110)), f64::from(quota), "{what}");
}

#[test]
fn half_the_quota_is_used_well_and_seldom_exceeded() {
    for quota in [20, 40, 60, 200] {
        for round_trip in [ms(2), ms(50), ms(400)] {
            half_for_a_minute(quota, round_trip, None);
        }
        half_for_a_minute(quota, ms(20), Some(s(1)));
    }
}

proptest! {
    #[test]
    fn it_stays_between_its_floor_and_its_quota_whatever_happens(
        quota in 1_u32..500,
        events in prop::collection::vec((0_u64..3000, prop::option::of(0_u64..4000), any::<bool>()), 0..200),
    ) {
        let mut pace = Pace::new(quota);
        let mut now = s(10);
        for (later, retry_after, throttled) in events {
            now += ms(later);
            if throttled {
                pace.throttled(now, now, retry_after.map(ms));
            } else {
                pace.passed(now);
            }
            let rate = pace.rate(now);
            prop_assert!(FLOOR.min(f64::from(quota)) <= rate && rate <= f64::from(quota));
            prop_assert!(pace.hold_until() <= now + ms(4000));
        }
        // From the floor: the rest, and a step a second.
        let steps = (f64::from(quota) / (f64::from(quota) * STEP_OF_QUOTA).max(LEAST_STEP)).ceil();
        let back = pace.hold_until().max(now) + REST + Duration::from_secs_f64(steps);
        prop_assert_eq!(pace.rate(back), f64::from(quota));
    }
}
