//! Who asks for something, and why.

use jiff::Timestamp;

use crate::app::config::Environment;
use crate::model::ids::{bounded, short};
use crate::model::job::MAX_NOTE;
use crate::model::ledger::Act;

#[derive(Debug, Clone, clap::Args)]
pub struct Signature {
    /// Why; kept in the ledger.
    #[arg(long, value_name = "TEXT", value_parser = note)]
    reason: Option<String>,
    /// Who asks; kept in the ledger. You, at this machine, unless told otherwise.
    #[arg(long, value_name = "NAME", value_parser = name)]
    by: Option<String>,
}

fn name(text: &str) -> Result<String, String> {
    bounded(text, MAX_NOTE).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

fn note(text: &str) -> Result<String, String> {
    short(text, MAX_NOTE).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

impl Signature {
    pub fn act(self, env: &Environment, host: &str, at: Timestamp) -> Act {
        Act { by: self.by.unwrap_or_else(|| whoever(env, host)), why: self.reason, at }
    }
}

/// `user@host`, as far as either is known.
fn whoever(env: &Environment, host: &str) -> String {
    let known = |name: &&str| name.len() <= MAX_NOTE / 2 && name_is_plain(name);
    let user = ["USER", "LOGNAME"].iter().find_map(|name| env.filled(name)).filter(known).unwrap_or("somebody");
    if host.is_empty() { user.to_owned() } else { format!("{user}@{host}") }
}

fn name_is_plain(name: &str) -> bool {
    !name.contains(char::is_control)
}

/// By whom and when, and why if that was told: reads well behind a verb.
pub fn told(act: &Act) -> String {
    let why = act.why.as_deref().filter(|why| !why.is_empty()).map(|why| format!(" ({why})")).unwrap_or_default();
    format!("by {} at {:.0}{why}", act.by, act.at)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        signature: Signature,
    }

    fn act(words: &[&str], env: &Environment, host: &str) -> Act {
        let line = Line::try_parse_from(["pause"].iter().chain(words)).unwrap();
        line.signature.act(env, host, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn who_asks_is_the_user_at_this_machine_unless_told_otherwise() {
        let check = |env: Environment, host: &str, expected: &str| assert_eq!(act(&[], &env, host).by, expected);
        check(Environment::from([("USER", "ada"), ("LOGNAME", "root")]), "ops-1", "ada@ops-1");
        check(Environment::from([("USER", ""), ("LOGNAME", "ada")]), "ops-1", "ada@ops-1");
        check(Environment::from([("USER", "a\nb")]), "ops-1", "somebody@ops-1");
        check(Environment::default(), "ops-1", "somebody@ops-1");
        check(Environment::from([("USER", "ada")]), "", "ada");
        let told = act(&["--by", "on-call", "--reason", "wrong list"], &Environment::from([("USER", "ada")]), "ops-1");
        assert_eq!((told.by.as_str(), told.why.as_deref()), ("on-call", Some("wrong list")));
    }

    #[test]
    fn an_act_is_told_in_one_line() {
        let act = |why: Option<&str>| Act { by: "ada".into(), why: why.map(str::to_owned), at: Timestamp::UNIX_EPOCH };
        assert_eq!(told(&act(Some("wrong list"))), "by ada at 1970-01-01T00:00:00Z (wrong list)");
        assert_eq!(told(&act(None)), "by ada at 1970-01-01T00:00:00Z");
        assert_eq!(told(&act(Some(""))), "by ada at 1970-01-01T00:00:00Z");
    }

    #[test]
    fn what_would_break_a_line_is_refused() {
        for words in [["--by", "a\nb"], ["--by", ""], ["--reason", "a\u{1b}b"], ["--reason", &"x".repeat(513)]] {
            assert!(Line::try_parse_from(["pause"].iter().chain(&words)).is_err(), "{words:?}");
        }
    }
}
