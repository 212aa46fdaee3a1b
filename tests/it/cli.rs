//! The commands as a user meets them.

mod check;
mod enqueue;

use std::net::{Ipv4Addr, TcpListener};
use std::process::Output;

use serde_json::Value;

use crate::support::process::run;

/// What a command said, and its exit code.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Stands where broker and clouds should be, and tells whether anybody came.
struct Trap(TcpListener);

impl Trap {
    fn set() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        Self(listener)
    }

    fn address(&self) -> String {
        self.0.local_addr().expect("bound").to_string()
    }

    #[track_caller]
    fn is_untouched(&self) {
        let came = self.0.accept().map(|(_, who)| who);
        assert_eq!(came.map_err(|error| error.kind()), Err(std::io::ErrorKind::WouldBlock));
    }
}

const GOOD: &str = "
[queue]
backend = 'amqp'
url = 'amqp://guest:hunter2@TRAP/%2f'
[providers.volcengine]
kind = 'volcengine'
endpoint = 'http://TRAP'
access_key_id = 'hunter2-ak'
secret_access_key = 'hunter2-sk'
";

/// What is replaced in the good configuration by what, and the faults that are named.
const WRONG: &[(&str, &str, &[&str])] = &[
    ("kind", "qsp = 60\nkind", &["providers.volcengine.qsp: is not a known key; did you mean qps?"]),
    ("kind", "qps = 0\nkind", &["providers.volcengine.qps: must be a whole number from 1 to 10000, not 0"]),
    ("kind", "timeout = 10\nkind", &["providers.volcengine.timeout: must be a duration with a unit"]),
    ("kind = 'volcengine'", "", &["providers.volcengine.kind: is missing"]),
    ("kind = 'volcengine'", "kind = 'agora'", &["providers.volcengine.kind: must be \"volcengine\" or \"huawei\""]),
    ("'http://TRAP'", "'http://rtc.example.com'", &["providers.volcengine.endpoint: must be https://"]),
    (
        "'hunter2-sk'",
        "{ env = 'NO_SUCH' }",
        &["providers.volcengine.secret_access_key: the variable NO_SUCH is not set"],
    ),
    ("'hunter2-sk'", "{ file = 'none' }", &["providers.volcengine.secret_access_key: the file none cannot be read"]),
    ("url =", "# url =", &["queue.url: is missing"]),
    ("amqp://", "http://", &["queue.url: must begin with amqp:// or amqps://"]),
    ("[queue]", "[qeue]", &["qeue: is not a known key; did you mean queue?"]),
    (
        "[providers.volcengine]",
        "[providers.Volc]",
        &["providers.Volc: the table's name may hold only the characters a-z"],
    ),
    ("[queue]", "[retry]\ninitial = '2s'\nmax = '1s'\n[queue]", &["retry.max: must not be shorter than retry.initial"]),
    ("[queue]", "[admin]\nlisten = 'everywhere'\n[queue]", &["admin.listen: must be an address and a port"]),
    ("[queue]", "[ledger]\nkeep = '90d'\n[queue]", &["ledger.url: is missing"]),
    ("[queue]", "[queue", &["roomsweep.toml:2:7: "]),
    ("'hunter2-sk'", "'hunter2-sk", &["roomsweep.toml:9:"]),
    (
        "[queue]",
        "[providers.twin]\nkind = 'volcengine'\naccess_key_id = 'hunter2-ak'\nsecret_access_key = 'x'\n[queue]",
        &["providers.volcengine: has the same kind, access key and action as providers.twin"],
    ),
    (
        "kind",
        "qps = 'sixty'\nregion = ''\n[shutdown]\ngrace = '2h'\n[results]\nqueue = 1\n[nonsense]\nkind",
        &[
            "providers.volcengine.kind: is missing",
            "results.queue: must be true or false, not 1",
            "shutdown.grace: must be from 0s to 1h, not \"2h\"",
            "nonsense: is not a known key",
        ],
    ),
];

/// A wrong configuration ends these with code 2 before anything is connected to.
fn is_refused(configuration: &str, environment: &[(&str, &str)], faults: &[&str], trap: &Trap) {
    for command in [&["worker"][..], &["check"], &["check", "--config-only"]] {
        let said = Said::from(run(command, configuration, environment));
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{command:?} {configuration}\n{}", said.err);
        for fault in faults {
            assert!(said.err.lines().any(|line| line.starts_with(fault)), "{fault} in {}", said.err);
        }
        assert!(!said.err.contains("hunter2"), "{}", said.err);
    }
    trap.is_untouched();
}

#[test]
fn a_wrong_configuration_is_named_with_its_path_and_nothing_is_sent() {
    let trap = Trap::set();
    for (good, wrong, faults) in WRONG {
        assert!(GOOD.contains(good), "{good}");
        let configuration = GOOD.replacen(good, wrong, 1).replace("TRAP", &trap.address());
        is_refused(&configuration, &[], faults, &trap);
    }
}

#[test]
fn a_wrong_variable_is_named_with_the_path_that_it_sets() {
    let trap = Trap::set();
    let good = GOOD.replace("TRAP", &trap.address());
    let check = |name: &str, value: &str, fault: &str| {
        is_refused(&good, &[(name, value)], &[fault], &trap);
        let said = Said::from(run(&["worker"], &good, &[(name, value)]));
        assert!(said.err.contains(name), "{name} in {}", said.err);
    };
    check("ROOMSWEEP__PROVIDERS__VOLCENGINE__QPS", "many", "providers.volcengine.qps: must be a whole number");
    check("ROOMSWEEP__QUEUE__NAMSPACE", "x", "queue.namspace: is not a known key; did you mean namespace?");
    check("ROOMSWEEP__RETRY", "5", "retry: must be a table");
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let trap = Trap::set();
    for command in [&["--config", "none.toml", "worker"][..], &["check", "--config-only", "--config", "none.toml"]] {
        let said = Said::from(run(command, "", &[]));
        assert_eq!(said.code, Some(2), "{}", said.err);
        assert!(said.err.contains("none.toml: cannot be read: No such file"), "{}", said.err);
    }
    is_refused("", &[], &["providers: none is configured: add a table like [providers.volcengine]"], &trap);
}

#[test]
fn variables_override_the_file() {
    let trap = Trap::set();
    let broken = GOOD.replace("amqp://guest:hunter2@TRAP/%2f", "nonsense").replace("http://TRAP", "nonsense");
    let url = format!("amqp://guest:guest@{}/%2f", trap.address());
    let endpoint = format!("http://{}", trap.address());
    let cure = [("ROOMSWEEP__QUEUE__URL", url.as_str()), ("ROOMSWEEP__PROVIDERS__VOLCENGINE__ENDPOINT", &endpoint)];
    is_refused(&broken, &cure[..1], &["providers.volcengine.endpoint: "], &trap);
    let said = Said::from(run(&["check", "--config-only"], &broken, &cure));
    assert_eq!(
        (said.code, said.out.trim_end()),
        (Some(0), "ok      configuration: providers: volcengine"),
        "{}",
        said.err
    );
    trap.is_untouched();
}

#[test]
fn every_command_shows_help_with_an_example() {
    for command in ["worker", "enqueue", "batch", "history", "pause", "resume", "dead", "check", "schema", "sandbox"] {
        let said = Said::from(run(&[command, "--help"], "nonsense", &[]));
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{command}");
        let begins = |line: &str, word: &str| line.trim_start().starts_with(word);
        assert!(said.out.lines().any(|line| begins(line, "Example")), "{command}: {}", said.out);
        assert!(
            said.out.contains(&format!("roomsweep {command}")) || said.out.contains("roomsweep --config"),
            "{command}"
        );
    }
    let said = Said::from(run(&["worker", "--fast"], "", &[]));
    assert_eq!(said.code, Some(2), "usage");
}

#[test]
fn schemas_are_json() {
    for (message, required) in [("job", "room_id"), ("result", "outcome")] {
        let said = Said::from(run(&["schema", message], "nonsense", &[]));
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{message}");
        let schema: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert!(schema["required"].as_array().unwrap().contains(&required.into()), "{schema}");
        assert!(schema["properties"][required].is_object(), "{schema}");
    }
}
