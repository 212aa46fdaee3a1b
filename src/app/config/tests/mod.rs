//! The configuration as a whole: what loads, and as what.

mod changes;
mod faults;
mod properties;

use std::time::Duration;

use super::*;
use crate::provider::huawei::{Auth, Project};
use crate::provider::volcengine::{Action, BanVersion};

/// Stands for every secret: nothing may show it.
const CANARY: &str = "hunter2-canary";

/// The block of the contract.
const CONTRACT: &str = r#"
[queue]
backend = "amqp"
url = "amqp://guest:guest@127.0.0.1:5672/%2f"
path = "roomsweep.db"
namespace = "dismiss"

[providers.volcengine]
kind = "volcengine"
action = "dismiss_room"
endpoint = "https://rtc.volcengineapi.com"
region = "cn-north-1"
access_key_id = { env = "VOLC_ACCESSKEY" }
secret_access_key = { env = "VOLC_SECRETKEY" }
qps = 60
pacing = "strict"
max_transit = "500ms"
max_in_flight = 128
timeout = "10s"
app_ids = []

[providers.huawei]
kind = "huawei"
endpoint = "https://rtc-api.myhuaweicloud.com"
auth = "aksk"
access_key_id = { env = "HUAWEICLOUD_SDK_AK" }
secret_access_key = { env = "HUAWEICLOUD_SDK_SK" }
project_id = { env = "HUAWEICLOUD_SDK_PROJECT_ID" }
qps = 20

[retry]
initial = "500ms"
multiplier = 2.0
max = "60s"
max_attempts = 8

[results]
queue = true
# max_bytes = 10_000_000_000

[ledger]
url = "sqlite://roomsweep.db"
keep = "90d"
dedupe = false

[admin]
listen = "127.0.0.1:9464"
token = { env = "ROOMSWEEP_ADMIN_TOKEN" }

[shutdown]
grace = "25s"
"#;

const SMALLEST: &str = "[providers.volcengine]\nkind = 'volcengine'\n";

fn environment() -> Environment {
    Environment::from([
        ("VOLC_ACCESSKEY", "AK"),
        ("VOLC_SECRETKEY", CANARY),
        ("HUAWEICLOUD_SDK_AK", "HAK"),
        ("HUAWEICLOUD_SDK_SK", CANARY),
        ("HUAWEICLOUD_SDK_PROJECT_ID", "P"),
        ("HUAWEICLOUD_IAM_PASSWORD", CANARY),
        ("ROOMSWEEP_ADMIN_TOKEN", CANARY),
    ])
}

fn environment_and(more: &[(&str, &str)]) -> Environment {
    let more = more.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    environment().iter().map(|(name, text)| (name.to_owned(), text.to_owned())).chain(more).collect()
}

fn loaded(text: &str, env: &Environment) -> Result<Config, Faults> {
    load_text("roomsweep.toml", text, env)
}

fn good(text: &str) -> Config {
    loaded(text, &environment()).unwrap_or_else(|faults| panic!("{text}\n{faults}"))
}

fn volcengine(config: &Config) -> &crate::provider::volcengine::Settings {
    config
        .providers
        .iter()
        .find_map(|provider| match &provider.settings {
            ProviderSettings::Volcengine(settings) => Some(settings),
            ProviderSettings::Huawei(_) => None,
        })
        .unwrap()
}

fn huawei(config: &Config) -> &crate::provider::huawei::Settings {
    config
        .providers
        .iter()
        .find_map(|provider| match &provider.settings {
            ProviderSettings::Huawei(settings) => Some(settings),
            ProviderSettings::Volcengine(_) => None,
        })
        .unwrap()
}

#[test]
fn the_block_of_the_contract_loads_and_spells_out_the_defaults() {
    let config = good(CONTRACT);
    let Queue::Amqp { url, namespace, ca_file: None } = &config.queue else { panic!("{:?}", config.queue) };
    assert_eq!((url.expose(), namespace.as_str()), ("amqp://guest:guest@127.0.0.1:5672/%2f", "dismiss"));
    assert_eq!(config.ledger.as_ref().unwrap().keep, Duration::from_secs(90 * 24 * 3600));

    let spare = good(&format!("{SMALLEST}[providers.huawei]\nkind = 'huawei'"));
    assert_eq!(format!("{:?}", spare.providers), format!("{:?}", config.providers));
    assert_eq!(spare.retry, config.retry);
    assert_eq!((&spare.results, &spare.admin, &spare.shutdown), (&config.results, &config.admin, &config.shutdown));
    assert_eq!(spare.ledger, config.ledger);
    assert_eq!(spare.queue, Queue::Sqlite { path: "roomsweep.db".into() });
}

#[test]
fn the_embedded_queue_keeps_its_ledger_in_its_own_file_and_a_broker_has_it_wherever_it_is_told() {
    let check = |more: &str, expected: LedgerUrl| {
        assert_eq!(good(&format!("{SMALLEST}{more}")).ledger.unwrap().url, expected, "{more}");
    };
    let file = |path: &str| LedgerUrl::Sqlite(path.into());
    check("", file("roomsweep.db"));
    check("[queue]\npath = '/r/jobs.db'", file("/r/jobs.db"));
    check("[ledger]\nurl = 'sqlite://./roomsweep.db'", file("roomsweep.db"));
    check("[queue]\npath = './a/./b.db'\n[ledger]\nurl = 'sqlite://a/b.db'", file("./a/./b.db"));
    let amqp = "[queue]\nbackend = 'amqp'\nurl = 'amqp://h'\n[ledger]\nurl = ";
    check(&format!("{amqp}'sqlite://l.db'"), file("l.db"));
    let postgres = LedgerUrl::parse("postgres://u:p@h/d").unwrap();
    check(&format!("{amqp}'postgres://u:p@h/d'"), postgres);
}

#[test]
fn the_example_loads_as_it_is_and_with_every_line_switched_on() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/roomsweep.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let config = load(Some(&path), &environment()).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(config.secret_files.is_empty());

    let switched = |line: &str| {
        line.strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()))
            .map(str::to_owned)
    };
    let all: Vec<String> = text.lines().map(|line| switched(line).unwrap_or_else(|| line.to_owned())).collect();
    let env = environment_and(&[("VOLC_SESSION_TOKEN", CANARY), ("HUAWEICLOUD_SDK_SECURITY_TOKEN", CANARY)]);
    let config = loaded(&all.join("\n"), &env).unwrap_or_else(|faults| panic!("{faults}"));
    let names: Vec<&str> = config.providers.iter().map(|provider| provider.name.as_str()).collect();
    assert_eq!(names, ["huawei", "huawei-token", "volcengine", "volcengine-ban"]);
    assert!(!format!("{config:?}").contains(CANARY));
}

#[test]
fn the_quota_follows_the_action_unless_it_is_given() {
    let check = |lines: &str, expected: u32| assert_eq!(good(&format!("{SMALLEST}{lines}")).providers[0].qps, expected);
    check("", 60);
    check("action = 'ban_room_user'", 40);
    check("action = 'ban_room_user'\nqps = 7", 7);
    assert_eq!(good("[providers.h]\nkind = 'huawei'").providers[0].qps, 20);
}

#[test]
fn a_ban_takes_an_interval_in_the_clouds_range() {
    let check = |lines: &str, version: BanVersion, forbidden_interval: u32| {
        let config = good(&format!("{SMALLEST}action = 'ban_room_user'\n{lines}"));
        assert_eq!(volcengine(&config).action, Action::BanRoomUser { version, forbidden_interval }, "{lines}");
    };
    check("", BanVersion::V20201201, 0);
    check("forbidden_interval = 0", BanVersion::V20201201, 0);
    check("version = '2023-11-01'\nforbidden_interval = '0s'", BanVersion::V20231101, 0);
    check("forbidden_interval = '10s'", BanVersion::V20201201, 10);
    check("forbidden_interval = '7d'", BanVersion::V20201201, 604_800);
    assert_eq!(volcengine(&good(SMALLEST)).action, Action::DismissRoom);
}

#[test]
fn a_token_account_is_read_with_either_form_of_project() {
    let iam = "[providers.h]\nkind = 'huawei'\nauth = 'token'\ndomain = 'D'\nuser = 'U'\npassword = 'p'\n";
    let project = |lines: &str| match &huawei(&good(&format!("{iam}{lines}"))).auth {
        Auth::Token(user) => user.project.clone(),
        Auth::AkSk(_) => panic!("not a token account"),
    };
    assert_eq!(project("project_name = 'cn-north-4'"), Project::Name("cn-north-4".into()));
    assert_eq!(project("project_id = 'id'"), Project::Id("id".into()));
    assert_eq!(project(""), Project::Id("P".into()));
}

#[test]
fn a_variable_overrides_the_file() {
    let env = environment_and(&[
        ("ROOMSWEEP__PROVIDERS__VOLCENGINE__QPS", "30"),
        ("ROOMSWEEP__PROVIDERS__VOLCENGINE__APP_IDS", "['A', 'B']"),
        ("ROOMSWEEP__PROVIDERS__VOLCENGINE__ACTION", "ban_room_user"),
        ("ROOMSWEEP__PROVIDERS__VOLCENGINE__VERSION", "2023-11-01"),
        ("ROOMSWEEP__PROVIDERS__VOLCENGINE__SECRET_ACCESS_KEY__ENV", "HUAWEICLOUD_SDK_SK"),
        ("ROOMSWEEP__PROVIDERS__VOLCENGINE__TIMEOUT", "\"3s\""),
        ("ROOMSWEEP__QUEUE__NAMESPACE", "123"),
        ("ROOMSWEEP__RESULTS__QUEUE", "false"),
        ("ROOMSWEEP__RETRY", "{ max = '5s' }"),
        ("ROOMSWEEP__RETRY__MULTIPLIER", "3"),
        ("ROOMSWEEP__ADMIN__TOKEN", "{ env = 'VOLC_ACCESSKEY' }"),
    ]);
    let config = loaded(CONTRACT, &env).unwrap_or_else(|faults| panic!("{faults}"));
    let provider = config.providers.iter().find(|provider| provider.name.as_str() == "volcengine").unwrap();
    assert_eq!((provider.qps, provider.timeout), (30, Duration::from_secs(3)));
    let settings = volcengine(&config);
    assert_eq!(settings.app_ids.len(), 2);
    assert_eq!(settings.action, Action::BanRoomUser { version: BanVersion::V20231101, forbidden_interval: 0 });
    assert!(matches!(&config.queue, Queue::Amqp { namespace, .. } if namespace == "123"));
    assert!(!config.results.queue);
    assert_eq!((config.retry.max, config.retry.multiplier), (Duration::from_secs(5), 3.0));
    assert_eq!(config.admin.token.unwrap().expose(), "AK");
}

#[test]
fn without_a_file_the_vendors_variables_are_enough() {
    let config = parse(None, &environment()).unwrap();
    let names: Vec<&str> = config.providers.iter().map(|provider| provider.name.as_str()).collect();
    assert_eq!(names, ["huawei", "volcengine"]);
    assert_eq!(config.queue, Queue::Sqlite { path: "roomsweep.db".into() });

    let one = Environment::from([
        ("VOLC_ACCESSKEY", "AK"),
        ("VOLC_SECRETKEY", "SK"),
        ("ROOMSWEEP__PROVIDERS__VOLCENGINE__QPS", "5"),
    ]);
    let config = parse(None, &one).unwrap();
    assert_eq!((config.providers.len(), config.providers[0].qps), (1, 5));
}

#[test]
fn the_session_token_of_the_default_key_does_not_slip_in_with_another_key() {
    let env = environment_and(&[("VOLC_SESSION_TOKEN", "T")]);
    let token = |lines: &str| {
        let config = loaded(&format!("{SMALLEST}{lines}"), &env).unwrap();
        volcengine(&config).keys.session_token.as_ref().map(|token| token.expose().to_owned())
    };
    assert_eq!(token("").as_deref(), Some("T"));
    assert_eq!(token("access_key_id = { env = 'VOLC_ACCESSKEY' }").as_deref(), Some("T"));
    assert_eq!(token("access_key_id = 'other'"), None);
    assert_eq!(token("access_key_id = 'other'\nsession_token = 'own'").as_deref(), Some("own"));
}

#[test]
fn a_retired_table_may_share_the_key_of_its_successor() {
    let config = good(&format!("{SMALLEST}retired = true\n[providers.new]\nkind = 'volcengine'"));
    assert_eq!(config.providers.iter().map(|provider| provider.retired).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn plain_http_goes_to_loopback_or_where_it_is_allowed() {
    good(&format!("{SMALLEST}endpoint = 'http://127.0.0.1:8080'"));
    good(&format!("{SMALLEST}endpoint = 'http://sandbox:8080'\nallow_http = true"));
}

#[test]
fn a_command_that_only_publishes_needs_no_secrets_of_providers() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("roomsweep.toml");
    std::fs::write(&path, CONTRACT).unwrap();
    let config = load_queue(Some(&path), &Environment::default()).unwrap();
    assert_eq!(config.providers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["huawei", "volcengine"]);
    assert!(matches!(config.queue, Queue::Amqp { .. }));
    assert!(load_queue(None, &Environment::default()).unwrap().providers.is_empty());

    std::fs::write(&path, "[queue]\nbackend = 'rabbit'\n[retri]").unwrap();
    let faults = load_queue(Some(&path), &Environment::default()).unwrap_err();
    assert_eq!(
        faults.to_string(),
        "queue.backend: must be \"amqp\" or \"sqlite\", not \"rabbit\"\nretri: is not a known key; did you mean retry?"
    );
}

#[test]
fn the_named_file_beats_the_one_in_the_directory() {
    assert_eq!(find(Some("other.toml".into())), Some("other.toml".into()));
}

#[test]
fn secret_files_are_known_and_read_again_without_the_file_that_names_them() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    let path = directory.path().join("roomsweep.toml");
    std::fs::write(&path, format!("{SMALLEST}secret_access_key = {{ file = '{}' }}", secret.display())).unwrap();
    let source = Source::open(Some(path.clone()), environment()).unwrap();
    std::fs::write(&path, "half-written").unwrap();
    for text in ["old", "new"] {
        std::fs::write(&secret, text).unwrap();
        let config = source.config().unwrap();
        assert_eq!(config.secret_files, std::slice::from_ref(&secret));
        assert_eq!(volcengine(&config).keys.secret_access_key.expose(), text);
    }
    assert!(source.reopen().unwrap().config().is_err());
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let faults = load(Some(Path::new("/none/such.toml")), &environment()).unwrap_err();
    assert!(faults.to_string().starts_with("/none/such.toml: cannot be read: No such file"), "{faults}");
}
