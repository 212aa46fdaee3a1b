//! Wrong configurations: each with its path and what is said of it.

use super::*;

/// A configuration that is wrong in one way, and the whole answer.
const WRONG: &[(&str, &str)] = &[
    ("retry = 5", "retry: must be a table, not 5"),
    ("[retri]\nmax = '1s'", "retri: is not a known key; did you mean retry?"),
    ("[provider.x]\nqps = 1", "provider: is not a known key; did you mean providers?"),
    ("[queue]\nbackend = 'rabbit'", "queue.backend: must be \"amqp\" or \"sqlite\", not \"rabbit\""),
    (
        "[queue]\nbackend = 'amqp'",
        "queue.url: is missing: backend = \"amqp\" needs one, like \"amqp://user:password@host:5672/%2f\"",
    ),
    ("[queue]\nbackend = 'amqp'\nurl = 'http://u:hunter2-canary@h'", "queue.url: must begin with amqp:// or amqps://"),
    (
        "[queue]\nurl = 'amqp://u:hunter2-canary@h/'",
        "queue.url: names an empty virtual host: write /%2f for the default one, or no slash at all",
    ),
    ("[queue]\nurl = { env = 'NO_SUCH' }", "queue.url: the variable NO_SUCH is not set"),
    ("[queue]\nnamespace = 'a b'", "queue.namespace: must be 1 to 64 of A-Z, a-z, 0-9, '_', '.' and '-', not \"a b\""),
    ("[queue]\npath = ''", "queue.path: must not be empty"),
    (
        "[queue]\nbackend = 'amqp'\nurl = 'amqp://h'\nca_file = 'Cargo.toml'",
        "queue.ca_file: goes only with an amqps:// url: this connection would not be encrypted",
    ),
    ("[retry]\ninitial = 500", "retry.initial: must be a duration with a unit, like \"500ms\" or \"10s\", not 500"),
    (
        "[retry]\ninitial = '500'",
        "retry.initial: must be a duration with a unit, like \"500ms\" or \"10s\", not \"500\"",
    ),
    ("[retry]\ninitial = '0s'", "retry.initial: must be from 1ms to 1day, not \"0s\""),
    ("[retry]\ninitial = '2s'\nmax = '1s'", "retry.max: must not be shorter than retry.initial, which is 2s"),
    ("[retry]\ninitial = '2m'", "retry.max: must not be shorter than retry.initial, which is 2m"),
    ("[retry]\nmultiplier = 0.5", "retry.multiplier: must be a number from 1 to 100, not 0.5"),
    ("[retry]\nmultiplier = nan", "retry.multiplier: must be a number from 1 to 100, not NaN"),
    ("[retry]\nmax_attempts = 0", "retry.max_attempts: must be a whole number from 1 to 1000, not 0"),
    ("[results]\nqueue = 'yes'", "results.queue: must be true or false, not \"yes\""),
    ("[results]\nmax_bytes = -1", "results.max_bytes: must be a whole number from 1 to 9223372036854775807, not -1"),
    ("[ledger]\nurl = 'mysql://u:hunter2-canary@h'", "ledger.url: must begin with sqlite:// or postgres://"),
    (
        "[queue]\nbackend = 'amqp'\nurl = 'amqp://h'\n[ledger]\nkeep = '1d'",
        "ledger.url: is missing: with AMQP a ledger needs one, like \"sqlite://roomsweep.db\"",
    ),
    (
        "[queue]\npath = 'jobs.db'\n[ledger]\nurl = 'sqlite://roomsweep.db'",
        "ledger.url: must be left out, or be sqlite://jobs.db: the embedded queue keeps its ledger in its own file; \
         another one goes with queue.backend = \"amqp\"",
    ),
    (
        "[ledger]\nurl = 'postgres://u:hunter2-canary@h/d'",
        "ledger.url: must be left out, or be sqlite://roomsweep.db: the embedded queue keeps its ledger in its own \
         file; another one goes with queue.backend = \"amqp\"",
    ),
    ("[ledger]\nkeep = '1s'", "ledger.keep: must be from 1h to 100years, not \"1s\""),
    ("[admin]\nlisten = ':9464'", "admin.listen: must be an address and a port, like 127.0.0.1:9464, not \":9464\""),
    ("[admin]\ntoken = ''", "admin.token: is empty"),
    ("[shutdown]\ngrace = '2h'", "shutdown.grace: must be from 0s to 1h, not \"2h\""),
];

/// Lines in the table of a Volcengine provider that are wrong in one way, and the whole answer behind the table's path.
const WRONG_PROVIDER: &[(&str, &str)] = &[
    ("qps = 0", ".qps: must be a whole number from 1 to 10000, not 0"),
    ("qps = '60'", ".qps: must be a whole number, not \"60\""),
    ("qsp = 60", ".qsp: is not a known key; did you mean qps?"),
    ("pacing = 'fast'", ".pacing: must be \"strict\" or \"send\", not \"fast\""),
    ("max_transit = '11s'", ".max_transit: must be from 1ms to 10s, not \"11s\""),
    ("max_in_flight = 20_000", ".max_in_flight: must be a whole number from 1 to 10000, not 20000"),
    ("timeout = '99ms'", ".timeout: must be from 100ms to 5m, not \"99ms\""),
    ("timeout = 2020-12-01", ".timeout: must be a duration with a unit, like \"500ms\" or \"10s\", not a date"),
    ("region = 'cn north'", ".region: must be a region like \"cn-north-1\", not \"cn north\""),
    ("endpoint = 'rtc.example.com'", ".endpoint: must be a URL like https://rtc.example.com"),
    ("endpoint = 'https://h/path'", ".endpoint: must have no path, query or user name, only scheme, host and port"),
    (
        "endpoint = 'http://rtc.example.com'",
        ".endpoint: must be https://: plain http:// is for loopback, or needs allow_http = true",
    ),
    ("action = 'kick'", ".action: must be \"dismiss_room\" or \"ban_room_user\", not \"kick\""),
    (
        "version = '2023-11-01'",
        ".version: must be \"2020-12-01\", the only one that has DismissRoom, not \"2023-11-01\"",
    ),
    ("forbidden_interval = 0", ".forbidden_interval: goes only with action = \"ban_room_user\""),
    (
        "action = 'ban_room_user'\nforbidden_interval = 60",
        ".forbidden_interval: must be 0, or a duration with a unit, like \"10m\", not 60",
    ),
    (
        "action = 'ban_room_user'\nforbidden_interval = '9s'",
        ".forbidden_interval: must be 0, or whole seconds from 10s to 7days, not \"9s\"",
    ),
    (
        "action = 'ban_room_user'\nforbidden_interval = '8d'",
        ".forbidden_interval: must be from 0s to 7days, not \"8d\"",
    ),
    (
        "action = 'ban_room_user'\nversion = '2021-01-01'",
        ".version: must be \"2020-12-01\" or \"2023-11-01\", not \"2021-01-01\"",
    ),
    ("app_ids = 'A'", ".app_ids: must be a list like [\"a\", \"b\"], not \"A\""),
    ("app_ids = ['A', '', 7]", ".app_ids[1]: must not be empty\n.app_ids[2]: must be a text in quotes, not 7"),
    ("gone_codes = ['']", ".gone_codes[0]: must not be empty"),
    ("secret_access_key = { env = 'NO_SUCH' }", ".secret_access_key: the variable NO_SUCH is not set"),
    (
        "secret_access_key = { env = 'VOLC_SECRETKEY', x = 1 }",
        ".secret_access_key.x: is not a known key; known here: env, file",
    ),
    (
        "secret_access_key = 5",
        ".secret_access_key: must be a text in quotes, { env = \"NAME\" } or { file = \"path\" }",
    ),
    ("access_key_id = \"a\\u0007\"", ".access_key_id: holds a line break or another control character"),
    ("security_token = 'hunter2-canary'", ".security_token: is not a known key; did you mean session_token?"),
    ("retired = 1", ".retired: must be true or false, not 1"),
];

const WRONG_HUAWEI: &[(&str, &str)] = &[
    ("auth = 'password'", ".auth: must be \"aksk\" or \"token\", not \"password\""),
    ("password = 'hunter2-canary'", ".password: goes only with auth = \"token\""),
    (
        "auth = 'token'\naccess_key_id = 'x'\ndomain = 'D'\nuser = 'U'\npassword = 'p'",
        ".access_key_id: goes only with auth = \"aksk\"",
    ),
    (
        "auth = 'token'\ndomain = 'D'\nuser = 'U'",
        ".password: is missing: give { env = \"NAME\" } or { file = \"path\" }",
    ),
    (
        "auth = 'token'\ndomain = 'D'\nuser = 'U'\npassword = 'p'\nproject_id = 'i'\nproject_name = 'n'",
        ".project_name: must not stand beside project_id: give one of them",
    ),
    (
        "auth = 'token'\ndomain = 'D'\nuser = 'U'\npassword = 'p'\niam_endpoint = 'http://iam.example.com'",
        ".iam_endpoint: must be https://: plain http:// is for loopback, or needs allow_http = true",
    ),
];

fn faults(text: &str, env: &Environment) -> String {
    let faults = loaded(text, env).expect_err(text).to_string();
    assert!(!faults.contains(CANARY), "{faults}");
    faults
}

#[test]
fn every_wrong_value_is_named_with_its_path() {
    for (text, expected) in WRONG {
        assert_eq!(faults(&format!("{text}\n{SMALLEST}"), &environment()), *expected, "{text}");
    }
    for (kind, table) in [("volcengine", WRONG_PROVIDER), ("huawei", WRONG_HUAWEI)] {
        for (lines, expected) in table {
            let expected: Vec<String> = expected.lines().map(|line| format!("providers.p{line}")).collect();
            assert_eq!(
                faults(&format!("[providers.p]\nkind = '{kind}'\n{lines}"), &environment()),
                expected.join(
                    "
"
                ),
                "{lines}"
            );
        }
    }
}

#[test]
fn a_provider_table_needs_a_kind_and_a_good_name() {
    let check = |text: &str, expected: &str| assert_eq!(faults(text, &environment()), expected);
    check(
        "[providers.p]\nqps = 0\nfoo = 1",
        "providers.p.kind: is missing: \"volcengine\" or \"huawei\"\nproviders.p.qps: must be a whole number from 1 to 10000, not 0",
    );
    check("[providers.p]\nkind = 'agora'", "providers.p.kind: must be \"volcengine\" or \"huawei\", not \"agora\"");
    check(
        "[providers.Volc]\nkind = 'volcengine'",
        "providers.Volc: the table's name may hold only the characters a-z, 0-9, '_' and '-', but has 'V'",
    );
    check("providers = 'x'", "providers: must be a table, not a text");
    check("[providers]\np = 1", "providers.p: must be a table, not 1");
}

#[test]
fn two_tables_with_the_same_kind_key_and_action_are_refused_together() {
    let text = format!("{SMALLEST}[providers.second]\nkind = 'volcengine'\nregion = 'ap-singapore-1'");
    assert_eq!(
        faults(&text, &environment()),
        "providers.volcengine: has the same kind, access key and action as providers.second: both would spend one quota without knowing of each other; make them one table"
    );
    good(&format!("{text}\naction = 'ban_room_user'"));
    good(&format!("{text}\naccess_key_id = 'other'"));
}

#[test]
fn without_any_provider_it_is_said_what_to_set() {
    let expected = "providers: none is configured: add a table like [providers.volcengine]";
    assert!(faults("", &environment()).starts_with(expected));
    let nothing = parse(None, &Environment::default()).unwrap_err().to_string();
    assert!(nothing.starts_with(expected) && nothing.contains("VOLC_ACCESSKEY"), "{nothing}");
}

#[test]
fn a_missing_secret_names_the_variable_to_set() {
    let half = parse(None, &Environment::from([("VOLC_ACCESSKEY", "AK")])).unwrap_err();
    assert_eq!(
        half.to_string(),
        "providers.volcengine.secret_access_key: is missing: set the variable VOLC_SECRETKEY, or give { env = \"NAME\" } or { file = \"path\" }"
    );
    let paths = |text: &str| {
        loaded(text, &Environment::default()).unwrap_err().iter().map(|fault| fault.path.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        paths("[providers.h]\nkind = 'huawei'"),
        ["providers.h.access_key_id", "providers.h.secret_access_key", "providers.h.project_id"]
    );
}

#[test]
fn every_fault_comes_at_once() {
    let text = "[queue]\nbackend = 'amqp'\nnamespace = ''\n[retry]\nmax_attempts = 'x'\nmax = 1\n[extra]\n\
                [providers.v]\nkind = 'volcengine'\nqps = 99999\ntimeout = 1\n[providers.h]\nkind = 'huawei'\nauth = 'x'\n\
                [admin]\nlisten = 'x'\n[shutdown]\ngrace = 1\n[ledger]\nurl = 'x'\n[results]\nqueue = 0";
    let faults = loaded(text, &environment()).unwrap_err();
    let paths: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "queue.url",
            "queue.namespace",
            "providers.h.auth",
            "providers.v.qps",
            "providers.v.timeout",
            "retry.max",
            "retry.max_attempts",
            "results.queue",
            "ledger.url",
            "admin.listen",
            "shutdown.grace",
            "extra",
        ]
    );
    assert_eq!(faults.to_string().lines().count(), paths.len());
}

#[test]
fn a_wrong_variable_is_named() {
    let check = |name: &str, text: &str, expected: &str| {
        assert_eq!(faults(SMALLEST, &environment_and(&[(name, text)])), expected);
    };
    check(
        "ROOMSWEEP__PROVIDERS__VOLCENGINE__QPS",
        "many",
        "providers.volcengine.qps: must be a whole number, not \"many\" (set by ROOMSWEEP__PROVIDERS__VOLCENGINE__QPS)",
    );
    check(
        "ROOMSWEEP__PROVIDERS__VOLCENGINE__QPS",
        "0",
        "providers.volcengine.qps: must be a whole number from 1 to 10000, not 0 (set by ROOMSWEEP__PROVIDERS__VOLCENGINE__QPS)",
    );
    check(
        "ROOMSWEEP__RETRY__MAXX",
        "1s",
        "retry.maxx: is not a known key; did you mean max? (set by ROOMSWEEP__RETRY__MAXX)",
    );
    check("ROOMSWEEP__RETRY", "5", "retry: must be a table like { key = \"value\" } (set by ROOMSWEEP__RETRY)");
    check(
        "ROOMSWEEP__RETRY__MAX__DEEP",
        "5",
        "retry.max: must be a duration with a unit, like \"500ms\" or \"10s\", not a table (set by ROOMSWEEP__RETRY__MAX__DEEP)",
    );
    check(
        "ROOMSWEEP__RETRY__MAX",
        "5",
        "retry.max: must be a duration with a unit, like \"500ms\" or \"10s\", not \"5\" (set by ROOMSWEEP__RETRY__MAX)",
    );
    check(
        "ROOMSWEEP__QUEUE__URL",
        CANARY,
        "queue.url: must be a URL like amqp://user:password@host:5672/%2f (set by ROOMSWEEP__QUEUE__URL)",
    );
    check("ROOMSWEEP__ADMIN__TOKEN", "", "admin.token: is empty (set by ROOMSWEEP__ADMIN__TOKEN)");
}

#[test]
fn a_secret_is_never_shown() {
    let text = format!(
        "[queue]\nbackend = 'amqp'\nurl = 'amqp://user:{CANARY}@rabbit:5672/%2f'\n[admin]\ntoken = '{CANARY}'\n\
         [ledger]\nurl = 'postgres://user:{CANARY}@db/rooms?password={CANARY}'\n\
         [providers.v]\nkind = 'volcengine'\nsecret_access_key = '{CANARY}'\nsession_token = '{CANARY}'\n\
         [providers.t]\nkind = 'huawei'\nauth = 'token'\ndomain = 'D'\nuser = 'U'\npassword = '{CANARY}'\n\
         [providers.h]\nkind = 'huawei'\nsecurity_token = '{CANARY}'\n"
    );
    let shown = format!("{:?} {:?}", good(&text), environment());
    assert!(!shown.contains(CANARY), "{shown}");
    // Each secret made faulty, and the file itself.
    for (from, to) in [
        (format!("'{CANARY}'"), format!("['{CANARY}']")),
        (format!("'{CANARY}'"), format!("{{ value = '{CANARY}' }}")),
        (format!("'{CANARY}'"), format!("{{ env = '{CANARY}' }}")),
        (format!("'{CANARY}'"), format!("\"{CANARY}\\n\"")),
        (format!(":{CANARY}@"), format!(":/{CANARY}@")),
        (format!("'{CANARY}'"), format!("'{CANARY}")),
        (format!("'{CANARY}'"), CANARY.to_owned()),
        (format!("'{CANARY}'"), format!("'x' {CANARY}")),
    ] {
        let broken = text.replace(&from, &to);
        assert!(broken != text && !faults(&broken, &environment()).is_empty());
    }
}
