//! Where there is no ledger, or none that answers.

use std::process::Output;

use crate::edges_rig::{VOLCENGINE, base};
use crate::support::free_address;
use crate::support::process::run;

const COMMANDS: [&[&str]; 7] = [
    &["batch", "list"],
    &["batch", "show", "b"],
    &["batch", "watch", "b"],
    &["batch", "cancel", "b", "--yes"],
    &["history", "--job", "j"],
    &["pause", "volcengine"],
    &["resume", "volcengine"],
];

fn configuration(ledger: &str) -> String {
    let providers = VOLCENGINE.replace("ENDPOINT", "http://127.0.0.1:9");
    format!("{}{ledger}\n{providers}", base("amqp://127.0.0.1:1/%2f", "unused", free_address()))
}

fn said(output: &Output) -> (Option<i32>, String) {
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn without_a_ledger_it_is_said_what_to_configure() {
    for command in COMMANDS {
        let (code, err) = said(&run(command, &configuration(""), &[]));
        assert_eq!(code, Some(2), "{command:?}: {err}");
        assert!(err.contains("add a table [ledger] with a url"), "{command:?}: {err}");
    }
}

#[test]
fn a_ledger_that_is_away_is_told_in_one_line_without_its_password() {
    let away = free_address();
    let ledger = format!("[ledger]\nurl = 'postgres://u:hunter2@{away}/rooms'");
    for command in COMMANDS {
        let (code, err) = said(&run(command, &configuration(&ledger), &[]));
        assert_eq!(code, Some(1), "{command:?}: {err}");
        let line = format!("roomsweep: postgres://{away}/rooms: the ledger cannot be reached: ");
        assert!(err.lines().any(|said| said.starts_with(&line)), "{command:?}: {err}");
        assert!(!err.contains("hunter2"), "{err}");
    }
    let check = run(&["check"], &configuration(&ledger), &[]);
    let out = String::from_utf8_lossy(&check.stdout);
    let line = out.lines().find(|line| line.starts_with("FAILED  ledger: ")).unwrap_or_else(|| panic!("{out}"));
    assert!(line.contains(&away.to_string()) && line.contains("is it running"), "{line}");
    assert!(!out.contains("hunter2"), "{out}");
}

#[test]
fn a_wrong_configuration_is_refused_by_its_path() {
    for command in COMMANDS {
        let (code, err) = said(&run(command, &configuration("[ledger]\nurl = 'mysql://u:hunter2@h/d'"), &[]));
        assert_eq!(code, Some(2), "{command:?}: {err}");
        assert!(err.contains("ledger.url: must begin with sqlite:// or postgres://"), "{command:?}: {err}");
        assert!(!err.contains("hunter2"), "{err}");
    }
}
