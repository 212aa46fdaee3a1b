//! What a sweep came to.

use std::path::Path;
use std::time::Duration;

use super::follow::{self, Follow};
use crate::adapters::sqlite::Sweep;
use crate::app::cli::out::say;
use crate::app::cli::progress::per_second;

/// What the run that just ended did by itself.
pub struct Run {
    pub settled: u64,
    pub took: Duration,
}

/// Totals by outcome, how fast it was, and what failed.
pub fn print(sweep: &Sweep, follow: &Follow, run: &Run, results: Option<&Path>) {
    let outcomes: Vec<String> = follow.outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    say!("{} rooms: {}", sweep.total, outcomes.join(", "));
    let took = humantime::format_duration(Duration::from_millis(run.took.as_millis() as u64 / 100 * 100));
    let rate = per_second(run.settled, run.took);
    say!("{} settled in {took}, {rate:.1} a second; {} retries", run.settled, follow.retries);
    if follow.failed > 0 {
        say!("{} rooms may still be open:", follow.failed);
        for failure in &follow.failures {
            say!("  {}", follow::line(failure));
        }
        let more = follow.failed.saturating_sub(follow.failures.len() as u64);
        if more > 0 {
            say!("  … and {more} more");
        }
    }
    if let Some(path) = results {
        say!("results: {}", path.display());
    }
}
