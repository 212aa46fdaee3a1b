//! The question before something is done that cannot be undone.

use std::io::{self, BufRead, IsTerminal};

use super::out;
use crate::pipeline::stop::Stop;

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Yes,
    No,
    /// No terminal.
    NobodyThere,
}

/// Asks at the terminal. Waits for a line, and nothing else goes on in this thread meanwhile.
pub fn ask(question: &str) -> io::Result<Answer> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(Answer::NobodyThere);
    }
    out::notice(format_args!("{question} [y/N] "));
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(answer(&line))
}

/// Asks, while connections go on living; why nothing is to be done, if so.
pub async fn refused(question: String, stop: &Stop) -> anyhow::Result<Option<String>> {
    let asking = tokio::task::spawn_blocking(move || ask(&question));
    let mut stop = stop.clone();
    let answer = tokio::select! {
        answer = asking => answer??,
        () = stop.asked() => Answer::No,
    };
    Ok(match answer {
        Answer::Yes => None,
        Answer::No => Some("not confirmed".to_owned()),
        Answer::NobodyThere => Some("no terminal to ask at: add --yes".to_owned()),
    })
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
