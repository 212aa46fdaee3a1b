//! What of another configuration a running worker takes on.

use super::*;

const TWO: &str = "[providers.huawei]\nkind = 'huawei'\n[providers.volcengine]\nkind = 'volcengine'\n";

fn paths(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

#[track_caller]
fn check(before: &str, after: &str, applied: &[&str], restart: &[&str]) -> (Config, Config) {
    let (now, wanted) = (good(before), good(after));
    let (merged, changes) = merge(&now, &wanted).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(changes, Changes { applied: paths(applied), restart: paths(restart) }, "{after}");
    (merged, wanted)
}

#[test]
fn what_a_provider_is_sent_changes_as_a_worker_runs() {
    let every_key = "endpoint = 'https://other.example'\nregion = 'cn-south-1'\naction = 'ban_room_user'\n\
        access_key_id = 'other'\nsecret_access_key = 'other'\nsession_token = 'other'\napp_ids = ['one']\n\
        gone_codes = ['Gone']\nqps = 7\npacing = 'send'\nmax_transit = '1s'\nmax_in_flight = 3\ntimeout = '3s'\n\
        retired = true\n";
    let keys: Vec<String> = every_key.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    let expected: Vec<String> = keys.iter().map(|key| format!("providers.volcengine.{key}")).collect();
    let (merged, wanted) = check(
        SMALLEST,
        &format!("{SMALLEST}{every_key}"),
        &expected.iter().map(String::as_str).collect::<Vec<_>>(),
        &[],
    );
    assert_eq!(merged, wanted);
}

#[test]
fn each_key_is_named_alone() {
    let ban = format!("{SMALLEST}action = 'ban_room_user'\n");
    let check = |before: &str, more: &str, path: &str| {
        check(before, &format!("{before}{more}"), &[path], &[]);
    };
    check(&ban, "version = '2023-11-01'", "providers.volcengine.version");
    check(&ban, "forbidden_interval = '10s'", "providers.volcengine.forbidden_interval");
    let aksk = "[providers.h]\nkind = 'huawei'\n";
    check(aksk, "access_key_id = 'other'", "providers.h.access_key_id");
    check(aksk, "secret_access_key = 'other'", "providers.h.secret_access_key");
    check(aksk, "security_token = 'other'", "providers.h.security_token");
    check(aksk, "project_id = 'other'", "providers.h.project_id");
    check(aksk, "endpoint = 'https://other.example'", "providers.h.endpoint");
    check(aksk, "app_ids = ['one']", "providers.h.app_ids");
    check(aksk, "auth = 'token'\ndomain = 'd'\nuser = 'u'\npassword = 'p'", "providers.h.auth");
    check(SMALLEST, "[retry]\ninitial = '1s'", "retry.initial");
    check(SMALLEST, "[retry]\nmultiplier = 3.0", "retry.multiplier");
    check(SMALLEST, "[retry]\nmax = '61s'", "retry.max");
    check(SMALLEST, "[retry]\nmax_attempts = 9", "retry.max_attempts");
    check(SMALLEST, "[admin]\ntoken = 'other'", "admin.token");
}

#[test]
fn what_a_token_is_fetched_with_is_named_by_its_key() {
    let user = |key: &str| {
        let value = |name: &str, value: &str| if key == name { "other" } else { value }.to_owned();
        let (domain, user, password) = (value("domain", "d"), value("user", "u"), value("password", "p"));
        let iam = value("iam_endpoint", "iam");
        let project = if key == "project_name" { "project_name" } else { "project_id" };
        format!(
            "[providers.h]\nkind = 'huawei'\nauth = 'token'\ndomain = '{domain}'\nuser = '{user}'\n\
             password = '{password}'\niam_endpoint = 'https://{iam}.example'\n{project} = '{}'\n",
            value("project_id", "id")
        )
    };
    for key in ["domain", "user", "password", "iam_endpoint", "project_id", "project_name"] {
        check(&user(""), &user(key), &[&format!("providers.h.{key}")], &[]);
    }
}

#[test]
fn what_needs_a_restart_is_named_and_left_as_it_was() {
    let amqp = format!("{TWO}[queue]\nbackend = 'amqp'\nurl = 'amqp://one'\n");
    let check = |before: &str, after: &str, restart: &[&str]| {
        let (merged, _) = check(before, after, &[], restart);
        assert_eq!(merged, good(before));
    };
    check(&amqp, &amqp.replace("one", "other"), &["queue.url"]);
    check(&amqp, &format!("{amqp}namespace = 'other'"), &["queue.namespace"]);
    check(&amqp, TWO, &["queue.backend", "ledger"]);
    check(&amqp, &format!("{amqp}[results]\nqueue = false\nmax_bytes = 5"), &["results.queue", "results.max_bytes"]);
    check(&amqp, &format!("{amqp}[ledger]\nurl = 'sqlite://l.db'"), &["ledger"]);
    check(TWO, &format!("{TWO}[queue]\npath = 'other.db'"), &["queue.path", "ledger.url"]);
    check(TWO, &format!("{TWO}[ledger]\nkeep = '1h'\ndedupe = true"), &["ledger.keep", "ledger.dedupe"]);
    check(TWO, &format!("{TWO}[admin]\nlisten = '127.0.0.1:1'"), &["admin.listen"]);
    check(TWO, &format!("{TWO}[shutdown]\ngrace = '1s'"), &["shutdown.grace"]);
    check(TWO, SMALLEST, &["providers.huawei (removed)"]);
    check(SMALLEST, TWO, &["providers.huawei (new)"]);
    let other_kind = "[providers.volcengine]\nkind = 'huawei'\nqps = 1";
    check(SMALLEST, other_kind, &["providers.volcengine.kind"]);
}

#[test]
fn what_can_change_does_so_beside_what_cannot() {
    let after = format!("{SMALLEST}qps = 7\n[admin]\nlisten = '127.0.0.1:1'\ntoken = 'other'\n");
    let (merged, wanted) = check(SMALLEST, &after, &["admin.token", "providers.volcengine.qps"], &["admin.listen"]);
    assert_eq!((merged.providers, merged.admin.token), (wanted.providers, wanted.admin.token));
}

#[test]
fn the_key_of_a_table_that_is_still_at_work_is_not_given_to_another() {
    let before = "[providers.a]\nkind = 'volcengine'\naccess_key_id = 'A'\n\
        [providers.b]\nkind = 'volcengine'\naccess_key_id = 'B'\n";
    let after = "[providers.b]\nkind = 'volcengine'\naccess_key_id = 'A'\n";
    let faults = merge(&good(before), &good(after)).unwrap_err().to_string();
    let expected = "providers.b: would share the quota of providers.a, which goes on until a restart";
    assert_eq!(faults, expected);
    let renamed = before.replace("providers.a", "providers.c");
    assert!(merge(&good(before), &good(&renamed)).is_ok());
}
