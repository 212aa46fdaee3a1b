//! The real pipeline under its real supervision on paused time, over a queue and clouds in memory that fail as a seed
//! says. A seed that fails is printed, and run alone by `ROOMSWEEP_SIM_SEED=… cargo test --test sim`; with
//! `ROOMSWEEP_SIM_SEEDS=20000` so many are run.

#[path = "../it/checker.rs"]
#[expect(dead_code, reason = "here violations are told, not asserted")]
mod checker;
mod cloud;
mod conn;
mod course;
mod fleet;
mod judge;
mod ledger;
mod plan;
mod queue;
mod receipt;
mod rules_clock;
mod rules_control;
mod rules_ledger;
mod rules_shortage;
mod stage;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use world::Notes;

/// How many seeds run by default.
const SEEDS: u64 = 2_000;
const THREADS: usize = 2;
/// No more than so many failures are told.
const TOLD: usize = 5;

#[expect(clippy::disallowed_methods, reason = "a seed that failed is to be run alone, and more than usual by night")]
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn outcome(seed: u64, notes: Notes) -> Result<course::Outcome, String> {
    catch_unwind(AssertUnwindSafe(|| course::run(seed, notes))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

fn faults(seed: u64) -> Vec<String> {
    match outcome(seed, Notes::Dropped) {
        Ok(outcome) => outcome.faults,
        Err(panic) => vec![format!("panicked: {panic}")],
    }
}

#[test]
fn whatever_fails_nothing_is_lost_nor_over_quota() {
    if let Some(seed) = number("ROOMSWEEP_SIM_SEED") {
        let outcome = outcome(seed, Notes::Kept).unwrap();
        outcome.trace.iter().for_each(|line| println!("{line}"));
        println!("{} jobs, {} requests, {:?}", outcome.jobs, outcome.requests, outcome.lasted);
        assert!(outcome.faults.is_empty(), "seed {seed}:\n{}", outcome.faults.join("\n"));
        return;
    }
    let (first, count) = (number("ROOMSWEEP_SIM_FIRST").unwrap_or(1), number("ROOMSWEEP_SIM_SEEDS").unwrap_or(SEEDS));
    let (next, failed) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || failed.lock().unwrap().len() >= TOLD {
                        return;
                    }
                    let faults = faults(seed);
                    if !faults.is_empty() {
                        failed.lock().unwrap().push(format!("seed {seed}:\n  {}", faults.join("\n  ")));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "run one alone with ROOMSWEEP_SIM_SEED=…\n{}", failed.join("\n"));
}

#[test]
fn a_seed_always_takes_the_same_course() {
    for seed in 1..=20 {
        let (one, other) = (outcome(seed, Notes::Kept).unwrap().trace, outcome(seed, Notes::Kept).unwrap().trace);
        let differs = one.iter().zip(&other).position(|(one, other)| one != other);
        let at = differs.unwrap_or(one.len().min(other.len()));
        assert!(one == other, "seed {seed} differs at {:?} and {:?}", one.get(at), other.get(at));
    }
}
