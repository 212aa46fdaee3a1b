//! Whose a refusal is: the course of single doubts, and of whole queues of good and bad jobs under a good or a bad key.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::policy::breaker::{Breaker, Event, Role};

const T: Duration = Duration::from_secs(100);
const MS: Duration = Duration::from_millis(1);
const KEY: SuspensionReason = SuspensionReason::Credentials;

fn job(name: &str) -> JobId {
    JobId::parse(name).unwrap()
}

fn refused_as(breaker: &mut Breaker, name: &str, written: Duration, role: Role, disproved: u32) -> Option<Blame> {
    let refusal = Refusal { job: &job(name), reason: KEY, written, disproved };
    breaker.observe_refusal(&refusal, role, written + MS)
}

fn refused(breaker: &mut Breaker, name: &str, written: Duration) -> Option<Blame> {
    refused_as(breaker, name, written, Role::Ordinary, 0)
}

/// A witness is asked for, and refused.
fn attested(breaker: &mut Breaker, name: &str, written: Duration) -> Option<Blame> {
    assert_eq!(breaker.admit(written), Admission::Probe);
    refused_as(breaker, name, written, Role::Probe, 0)
}

#[test]
fn a_refused_job_has_another_one_asked_at_once_and_one_alone() {
    let mut breaker = Breaker::default();
    assert_eq!(refused(&mut breaker, "a", T), None);
    assert_eq!((breaker.suspended(), breaker.is_closed()), (None, false));
    assert_eq!((breaker.admit(T), breaker.admit(T)), (Admission::Probe, Admission::Hold));
    breaker.probe_unsent(T);
    assert_eq!(breaker.admit(T), Admission::Probe);
}

#[test]
fn what_was_written_later_and_taken_lays_the_refusal_on_its_job() {
    let mut breaker = Breaker::default();
    assert_eq!(refused(&mut breaker, "a", T), None);
    breaker.observe(Event::Taken(T - MS), T);
    assert_eq!(breaker.blame(&job("a")), None, "the key may have gone bad between them");
    breaker.observe(Event::Answered, T);
    breaker.observe(Event::Failed, T);
    assert_eq!(breaker.blame(&job("a")), None, "a throttle or a failure shows nothing");
    breaker.observe(Event::Taken(T + MS), T);
    assert_eq!(breaker.blame(&job("a")), Some(Blame::Job(1)));
    assert_eq!(breaker.blame(&job("a")), Some(Blame::Provider), "it was told once");
    assert_eq!(breaker.admit(T), Admission::Go);
    assert_eq!(refused(&mut breaker, "b", T), Some(Blame::Job(1)), "answers come in any order");
}

#[test]
fn several_jobs_in_a_row_and_a_witness_among_them_are_the_providers_refusal() {
    let mut breaker = Breaker::default();
    for name in ["a", "b", "c", "d", "e"] {
        assert_eq!(refused(&mut breaker, name, T), None, "neighbours may be bad together");
    }
    assert_eq!(breaker.admit(T), Admission::Wait(T + MS + SECOND), "later jobs may be good");
    assert_eq!(attested(&mut breaker, "w", T + 2 * SECOND), Some(Blame::Provider));
    assert_eq!(breaker.suspended(), Some(KEY));
    assert_eq!(breaker.blame(&job("a")), Some(Blame::Provider));
}

/// How many jobs have to be refused one after another.
fn proved_by(breaker: &mut Breaker, from: Duration) -> usize {
    let first = refused(breaker, "0", from);
    assert_eq!(first, None);
    (1..20).find(|n| attested(breaker, &n.to_string(), from + 2 * *n as u32 * SECOND) == Some(Blame::Provider)).unwrap()
        + 1
}

#[test]
fn the_more_is_known_for_the_provider_the_more_it_takes_against_it() {
    assert_eq!(proved_by(&mut Breaker::default(), T), 3);
    let mut breaker = Breaker::default();
    breaker.observe(Event::Taken(T), T);
    assert_eq!(proved_by(&mut breaker, T + MS), 4);
    for disproved in [5, 6, 6] {
        let mut breaker = Breaker::default();
        for n in 4..disproved {
            refused(&mut breaker, "x", T + n * MS);
            breaker.observe(Event::Taken(T + (n + 1) * MS), T);
        }
        assert_eq!(proved_by(&mut breaker, T + SECOND), disproved as usize);
    }
    let mut breaker = Breaker::default();
    breaker.observe(Event::Taken(T), T);
    assert_eq!(proved_by(&mut breaker, T + 301 * SECOND), 3, "old news");
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn one_job_alone_proves_nothing_however_often_it_is_refused() {
    let mut breaker = Breaker::default();
    refused(&mut breaker, "a", T);
    for n in 1..50 {
        assert_eq!(attested(&mut breaker, "a", T + n * SECOND), None);
    }
    assert_eq!(breaker.refusing(), None, "another job would go out at once");
}

#[test]
fn a_job_without_another_one_to_ask_suspends_the_provider_until_there_is_one() {
    let mut breaker = Breaker::default();
    breaker.observe(Event::Taken(T - SECOND - MS), T);
    assert_eq!(refused(&mut breaker, "a", T), None);
    assert_eq!(breaker.admit(T), Admission::Probe);
    breaker.declare(T + 2 * SECOND);
    assert_eq!((breaker.suspended(), breaker.blame(&job("a"))), (None, None), "a witness is under way");
    breaker.probe_unsent(T);
    breaker.declare(T + 2 * SECOND);
    assert_eq!(breaker.blame(&job("a")), Some(Blame::Provider));
    let told = breaker.suspension().map(|told| (told.reason, told.since, told.next_probe));
    assert_eq!((told, breaker.refusing()), (Some((KEY, T + MS, None)), None));

    assert_eq!(breaker.admit(T + 20 * SECOND), Admission::Probe);
    breaker.observe_probe(Event::Taken(T + 20 * SECOND), T + 20 * SECOND);
    assert_eq!((breaker.suspended(), breaker.admit(T)), (None, Admission::Go));
    assert_eq!(refused(&mut breaker, "a", T + 30 * SECOND), Some(Blame::Job(2)), "the first refusal counts by now");
}

#[test]
fn the_last_job_of_a_batch_is_refused_for_itself() {
    let mut breaker = Breaker::default();
    breaker.observe(Event::Taken(T - SECOND), T);
    assert_eq!(refused(&mut breaker, "a", T), None);
    breaker.declare(T + 2 * SECOND);
    assert_eq!((breaker.blame(&job("a")), breaker.suspended()), (Some(Blame::Job(1)), None));

    let mut breaker = Breaker::default();
    breaker.observe(Event::Taken(T - MS), T);
    for name in ["a", "b", "c"] {
        assert_eq!(refused(&mut breaker, name, T), None);
    }
    breaker.declare(T + 2 * SECOND);
    assert_eq!((breaker.blame(&job("a")), breaker.suspended()), (Some(Blame::Provider), Some(KEY)), "so many are none");
}

#[test]
fn a_job_that_others_disproved_before_needs_no_witness_for_some_minutes() {
    let check = |after: Duration, expected: Option<Blame>| {
        let mut breaker = Breaker::default();
        breaker.observe(Event::Taken(T), T);
        assert_eq!(refused_as(&mut breaker, "a", T + after, Role::Ordinary, 1), expected, "{after:?}");
    };
    check(300 * SECOND, Some(Blame::Job(1)));
    check(301 * SECOND, None);
    assert_eq!(refused_as(&mut Breaker::default(), "a", T, Role::Ordinary, 2), None, "nothing was ever taken");
}

#[test]
fn a_job_that_was_disproved_before_counts_for_nothing_while_another_is_in_doubt() {
    let mut breaker = Breaker::default();
    breaker.observe(Event::Taken(T), T);
    assert_eq!(refused(&mut breaker, "a", T + 2 * SECOND), None);
    for _ in 0..10 {
        assert_eq!(breaker.admit(T), Admission::Probe);
        let known = refused_as(&mut breaker, "b", T + 3 * SECOND, Role::Probe, 2);
        assert_eq!((known, breaker.suspended()), (None, None));
    }
    for (name, expected) in [("b", None), ("c", None), ("d", Some(KEY))] {
        assert_eq!(breaker.admit(T), Admission::Probe);
        refused_as(&mut breaker, name, T + 20 * SECOND, Role::Probe, 2);
        assert_eq!(breaker.suspended(), expected, "{name}, in a doubt that lasts");
    }
}

#[test]
fn a_suspension_that_a_later_request_disproves_is_over_at_once() {
    let proved = || {
        let mut breaker = Breaker::default();
        refused(&mut breaker, "a", T);
        refused(&mut breaker, "b", T + MS);
        attested(&mut breaker, "c", T + 2 * SECOND);
        breaker
    };
    let check = |written: Duration, expected: Option<SuspensionReason>| {
        let mut breaker = proved();
        breaker.observe(Event::Taken(written), T + SECOND);
        assert_eq!(breaker.suspended(), expected, "{written:?}");
    };
    check(T + 2 * SECOND, Some(KEY));
    check(T + 2 * SECOND + MS, None);
    let mut breaker = proved();
    refused(&mut breaker, "d", T + 3 * SECOND);
    breaker.observe(Event::Taken(T + 3 * SECOND - MS), T + 4 * SECOND);
    assert_eq!(breaker.suspended(), Some(KEY), "one was refused since");
}

#[test]
fn witnesses_that_fail_open_the_breaker_like_all_others() {
    let mut breaker = Breaker::default();
    refused(&mut breaker, "a", T);
    for _ in 0..20 {
        assert_eq!((breaker.admit(T), breaker.suspended()), (Admission::Probe, None));
        breaker.observe_probe(Event::Failed, T);
    }
    assert_eq!(breaker.suspended(), Some(SuspensionReason::Outage));
    assert_eq!(breaker.blame(&job("a")), Some(Blame::Provider), "it costs the job nothing");
}

#[test]
fn a_provider_that_refuses_the_probe_of_an_outage_is_asked_with_another_job() {
    let mut breaker = Breaker::default();
    (0..20).for_each(|_| breaker.observe(Event::Failed, T));
    assert_eq!(breaker.admit(T + SECOND), Admission::Probe);
    assert_eq!(refused_as(&mut breaker, "a", T + SECOND, Role::Probe, 0), None);
    assert_eq!((breaker.suspended(), breaker.admit(T + SECOND)), (None, Admission::Probe));
}

/// One cloud and one queue. Requests take a while, and are written a while apart.
struct Course {
    breaker: Breaker,
    now: Duration,
    /// Where each bad job stands: how many of its refusals are disproved.
    queue: VecDeque<(usize, u32)>,
    wire: VecDeque<(usize, u32, Duration, Role)>,
    refused: usize,
    refusals: BTreeMap<usize, u32>,
    rejected: Vec<usize>,
    dismissed: usize,
    suspended: usize,
    /// Refused jobs that come again when the others are through.
    later: Vec<(usize, u32)>,
}

impl Course {
    fn new(jobs: usize) -> Self {
        Self {
            breaker: Breaker::default(),
            now: T,
            queue: (0..jobs).map(|n| (n, 0)).collect(),
            wire: VecDeque::new(),
            refused: 0,
            refusals: BTreeMap::new(),
            rejected: Vec::new(),
            dismissed: 0,
            suspended: 0,
            later: Vec::new(),
        }
    }

    /// Until all is settled, or nothing is sent any more for a while.
    fn run(&mut self, in_flight: usize, refuses: impl Fn(usize) -> bool) {
        let mut doubted: Vec<(usize, u32)> = Vec::new();
        loop {
            if self.queue.is_empty() && self.wire.is_empty() && doubted.is_empty() {
                self.queue.extend(self.later.drain(..));
                if self.queue.is_empty() {
                    return;
                }
            }
            self.now += 10 * MS;
            let role = match (self.queue.is_empty(), self.wire.len() < in_flight) {
                (false, true) => match self.breaker.admit(self.now) {
                    Admission::Go => Some(Role::Ordinary),
                    Admission::Probe => Some(Role::Probe),
                    Admission::Wait(until) if self.breaker.suspended().is_none() => {
                        // What is on the wire comes back meanwhile.
                        if self.wire.is_empty() {
                            self.now = until;
                            continue;
                        }
                        None
                    }
                    Admission::Wait(_) => {
                        self.suspended += 1;
                        return;
                    }
                    Admission::Hold => None,
                },
                (true, _) | (_, false) => None,
            };
            if let Some(role) = role {
                let next = match role {
                    Role::Ordinary => self.queue.pop_front(),
                    Role::Probe => self.queue.pop_back(),
                };
                let (n, disproved) = next.unwrap();
                self.wire.push_back((n, disproved, self.now, role));
            } else if let Some((n, disproved, written, role)) = self.wire.pop_front() {
                self.answer(refuses(n), (n, disproved, written, role), &mut doubted);
            } else {
                // Nobody is left to ask.
                self.breaker.declare(self.now);
                if self.breaker.suspended().is_some() {
                    self.suspended += 1;
                    return;
                }
            }
            for (n, disproved) in std::mem::take(&mut doubted) {
                let id = job(&n.to_string());
                match self.breaker.blame(&id) {
                    None => doubted.push((n, disproved)),
                    Some(blame) => self.judged(n, disproved, blame),
                }
            }
        }
    }

    fn answer(
        &mut self,
        refused: bool,
        (n, disproved, written, role): (usize, u32, Duration, Role),
        doubted: &mut Vec<(usize, u32)>,
    ) {
        if !refused {
            self.dismissed += 1;
            let event = Event::Taken(written);
            return match role {
                Role::Ordinary => self.breaker.observe(event, self.now),
                Role::Probe => self.breaker.observe_probe(event, self.now),
            };
        }
        self.refused += 1;
        *self.refusals.entry(n).or_default() += 1;
        let id = job(&n.to_string());
        let refusal = Refusal { job: &id, reason: KEY, written, disproved };
        match self.breaker.observe_refusal(&refusal, role, self.now) {
            None => doubted.push((n, disproved)),
            Some(blame) => self.judged(n, disproved, blame),
        }
    }

    fn judged(&mut self, n: usize, disproved: u32, blame: Blame) {
        match blame {
            Blame::Provider => self.later.push((n, disproved)),
            Blame::Job(refusals) if disproved + refusals >= 3 => self.rejected.push(n),
            Blame::Job(refusals) => self.queue.push_back((n, disproved + refusals)),
        }
    }
}

proptest! {
    /// A few bad jobs, wherever they stand, cost their three tries and nothing else.
    #[test]
    fn bad_jobs_end_rejected_and_good_ones_never_wait_for_them(
        bad in prop::collection::btree_set(0_usize..200, 0..3),
        in_flight in 1_usize..30,
    ) {
        let mut course = Course::new(200);
        course.run(in_flight, |n| bad.contains(&n));
        prop_assert_eq!(course.suspended, 0);
        prop_assert_eq!(course.dismissed, 200 - bad.len());
        course.rejected.sort_unstable();
        prop_assert_eq!(&course.rejected, &bad.iter().copied().collect::<Vec<_>>());
        prop_assert!(course.refusals.values().all(|refusals| *refusals == 3), "{:?}", course.refusals);
    }

    /// Bad jobs that stand together at the head, in the middle or at the end are no bad key.
    #[test]
    fn bad_neighbours_suspend_nobody(first in 0_usize..750, in_flight in 1_usize..60) {
        let mut course = Course::new(1_000);
        course.run(in_flight, |n| (first..first + 50).contains(&n));
        prop_assert_eq!((course.suspended, course.dismissed, course.rejected.len()), (0, 950, 50));
    }

    /// A bad key suspends the provider after what was on the wire and a few more, and no job is blamed.
    #[test]
    fn a_bad_key_burns_no_job_and_few_requests(good in 0_usize..100, in_flight in 1_usize..60) {
        let mut course = Course::new(200);
        course.run(in_flight, |n| n >= good);
        // The witness comes from the end of the queue.
        let lost = course.refused;
        prop_assert_eq!((course.suspended, course.rejected.len()), (1, 0));
        prop_assert!(lost <= in_flight + 5, "{} refused", lost);
    }
}
