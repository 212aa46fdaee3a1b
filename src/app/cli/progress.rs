//! How far a run is: a bar on a terminal, plain lines elsewhere.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::ports::meter::Meter;

/// How often a plain line is written.
const LINE: Duration = Duration::from_secs(5);
/// The rate is that of the last so many seconds.
const SPAN: Duration = Duration::from_secs(10);

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    pub total: u64,
    /// All that ended, however.
    pub done: u64,
    /// Those of them that ended badly.
    pub failed: u64,
}

/// Shows how far a run is, on stderr.
pub struct Progress {
    look: Look,
    recent: VecDeque<(Duration, u64)>,
}

enum Look {
    Bar(ProgressBar),
    Lines { next: Duration },
}

impl Progress {
    /// For a run that starts at `now`, by the clock's `elapsed`.
    pub fn new(now: Duration) -> Self {
        let look = if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("[{bar:32}] {pos}/{len} {msg}").expect("a template of ours");
            Look::Bar(ProgressBar::new(0).with_style(style.progress_chars("=> ")))
        } else {
            Look::Lines { next: now + LINE }
        };
        Self { look, recent: VecDeque::new() }
    }

    /// Shows the stage that is reached at `now`, and what holds providers up.
    pub fn show(&mut self, stage: Stage, now: Duration, meter: &Meter) {
        let rate = self.rate(stage.done, now);
        let said = sentence(stage, rate, &held_up(meter));
        match &mut self.look {
            Look::Bar(bar) => {
                bar.set_length(stage.total);
                bar.set_position(stage.done);
                bar.set_message(said);
            }
            Look::Lines { next } if now >= *next => {
                eprintln!("{} of {}, {said}", stage.done, stage.total);
                *next = now + LINE;
            }
            Look::Lines { .. } => {}
        }
    }

    /// Leaves the last stage standing.
    pub fn end(self) {
        match self.look {
            Look::Bar(bar) => {
                bar.abandon();
                eprintln!();
            }
            Look::Lines { .. } => {}
        }
    }

    fn rate(&mut self, done: u64, now: Duration) -> f64 {
        self.recent.push_back((now, done));
        while self.recent.get(1).is_some_and(|(at, _)| *at + SPAN <= now) {
            self.recent.pop_front();
        }
        let (since, before) = self.recent[0];
        per_second(done.saturating_sub(before), now.saturating_sub(since))
    }
}

/// So many a second; 0 where no time has passed.
pub fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

fn sentence(stage: Stage, rate: f64, held_up: &str) -> String {
    let left = stage.total.saturating_sub(stage.done);
    let eta = match left {
        0 => String::new(),
        _ if rate < 0.01 => ", ETA unknown".to_owned(),
        _ => format!(", ETA {}", humantime::format_duration(Duration::from_secs((left as f64 / rate).ceil() as u64))),
    };
    format!("{rate:.1}/s, {} failed{eta}{held_up}", stage.failed)
}

fn held_up(meter: &Meter) -> String {
    let suspended = meter.providers().into_iter().filter_map(|provider| Some((provider.name, provider.suspended?)));
    suspended.map(|(name, reason)| format!("; {name} is suspended ({reason})")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_tells_rate_failures_and_eta() {
        let check = |done: u64, rate: f64, expected: &str| {
            assert_eq!(sentence(Stage { total: 100, done, failed: 2 }, rate, ""), expected);
        };
        check(0, 0.0, "0.0/s, 2 failed, ETA unknown");
        check(40, 30.0, "30.0/s, 2 failed, ETA 2s");
        check(100, 30.0, "30.0/s, 2 failed");
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut progress = Progress::new(Duration::ZERO);
        let mut rate = 0.0;
        for second in 0..60 {
            let done = if second < 30 { 0 } else { (second - 30) * 10 };
            rate = progress.rate(done, Duration::from_secs(second));
        }
        assert!((9.9..10.1).contains(&rate), "{rate}");
    }
}
