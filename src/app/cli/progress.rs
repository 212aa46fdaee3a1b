//! How far a run is: a bar on a terminal, plain lines elsewhere.

mod terminal;

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::out::{self, tell};
use crate::ports::meter::Meter;
use terminal::Terminal;

const FRAMES_A_SECOND: u8 = 20;
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
    Bar { bar: ProgressBar, total: Total },
    Lines { next: Duration },
}

/// What a bar is drawn for: without a total there is none to be filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Total {
    Known,
    Unknown,
}

impl Total {
    fn style(self) -> ProgressStyle {
        let template = match self {
            Total::Known => "[{bar:32}] {pos}/{len} {msg}",
            Total::Unknown => "{pos} settled, total unknown, {msg}",
        };
        ProgressStyle::with_template(template).expect("a template of ours").progress_chars("=> ")
    }
}

impl Progress {
    /// For a run that starts at `now`, by the clock's `elapsed`.
    pub fn new(now: Duration) -> Self {
        let look = if std::io::stderr().is_terminal() {
            let target = ProgressDrawTarget::term_like_with_hz(Box::<Terminal>::default(), FRAMES_A_SECOND);
            let bar = ProgressBar::with_draw_target(Some(0), target).with_style(Total::Known.style());
            Look::Bar { bar, total: Total::Known }
        } else {
            Look::Lines { next: now + LINE }
        };
        Self { look, recent: VecDeque::new() }
    }

    /// Shows the stage that is reached at `now`, and behind it what is to be said beside.
    pub fn show(&mut self, stage: Stage, now: Duration, beside: &str) {
        let rate = self.rate(stage.done, now);
        self.draw(Some(stage.total), stage.done, &sentence(stage, rate, beside), now);
    }

    /// Shows how many are done at `now`, of how many if that is known, and a sentence.
    pub fn draw(&mut self, total: Option<u64>, done: u64, said: &str, now: Duration) {
        match &mut self.look {
            Look::Bar { bar, total: drawn } => {
                let known = if total.is_some() { Total::Known } else { Total::Unknown };
                if *drawn != known {
                    bar.set_style(known.style());
                    *drawn = known;
                }
                bar.set_length(total.unwrap_or(done));
                bar.set_position(done);
                bar.set_message(said.to_owned());
            }
            Look::Lines { next } if now >= *next => {
                tell!("{}", line(total, done, said));
                *next = now + LINE;
            }
            Look::Lines { .. } => {}
        }
    }

    /// Leaves the last stage standing.
    pub fn end(self) {
        match self.look {
            Look::Bar { bar, .. } => {
                out::settle();
                bar.abandon();
                tell!();
            }
            Look::Lines { .. } => {}
        }
    }

    /// Leaves nothing of a bar standing.
    pub fn clear(self) {
        match self.look {
            Look::Bar { bar, .. } => {
                out::settle();
                bar.finish_and_clear();
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

fn line(total: Option<u64>, done: u64, said: &str) -> String {
    match total {
        Some(total) => format!("{done} of {total}, {said}"),
        None => format!("{done} settled, total unknown, {said}"),
    }
}

fn sentence(stage: Stage, rate: f64, beside: &str) -> String {
    let left = stage.total.saturating_sub(stage.done);
    let eta = match left {
        0 => String::new(),
        _ if rate < 0.01 => ", ETA unknown".to_owned(),
        _ => format!(", ETA {}", humantime::format_duration(Duration::from_secs((left as f64 / rate).ceil() as u64))),
    };
    format!("{rate:.1}/s, {} failed{eta}{beside}", stage.failed)
}

/// What holds providers up.
pub fn held_up(meter: &Meter) -> String {
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
    fn a_total_that_nobody_knows_is_not_made_up() {
        assert_eq!(line(Some(100), 40, "1.0/s"), "40 of 100, 1.0/s");
        assert_eq!(line(None, 40, "1.0/s"), "40 settled, total unknown, 1.0/s");
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
