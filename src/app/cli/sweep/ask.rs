//! The question before many rooms are closed.

use std::io::{self, BufRead, IsTerminal, Write};

use super::plan::Plan;
use crate::app::config::Config;

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Yes,
    No,
    /// No terminal.
    NobodyThere,
}

/// Asks at the terminal, naming what would be closed and where.
pub fn whether_to_close(rooms: u64, plan: &Plan, config: &Config) -> io::Result<Answer> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(Answer::NobodyThere);
    }
    eprint!("{} Go on? [y/N] ", question(rooms, plan, config));
    io::stderr().flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(answer(&line))
}

fn question(rooms: u64, plan: &Plan, config: &Config) -> String {
    let parts: Vec<String> = plan
        .by_provider()
        .into_iter()
        .map(|(name, count)| {
            let provider = config.providers.iter().find(|provider| provider.name == *name);
            let at = provider.map(|provider| format!(" ({})", provider.settings.endpoint())).unwrap_or_default();
            format!("{count} at {name}{at}")
        })
        .collect();
    let all = plan.jobs.len() as u64;
    let left = if rooms == all { String::new() } else { format!(" left of {all}") };
    format!("This closes {rooms} rooms{left}: {}.", parts.join(", "))
}

fn answer(line: &str) -> Answer {
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Answer::Yes,
        _ => Answer::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_yes_is_one() {
        for line in ["y\n", "Y\n", " yes \n"] {
            assert_eq!(answer(line), Answer::Yes, "{line:?}");
        }
        for line in ["", "\n", "n\n", "no\n", "yesterday\n", "y y\n"] {
            assert_eq!(answer(line), Answer::No, "{line:?}");
        }
    }
}
