//! What lies in `deploy/` says what it should, and the program understands it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use saphyr::{LoadableYamlNode, Yaml};

use crate::support::process;

/// `shutdown.grace` of the contract.
const GRACE: Duration = Duration::from_secs(25);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Hands the services of the compose file to `look`.
fn with_services<T>(look: impl FnOnce(&Yaml<'_>) -> T) -> T {
    let text = read("deploy/compose.yaml");
    let documents = Yaml::load_from_str(&text).expect("YAML");
    let [document] = documents.as_slice() else { panic!("one document, not {}", documents.len()) };
    look(document.as_mapping_get("services").expect("services"))
}

/// The texts at `path` below a node: of a scalar, a sequence or the keys of a mapping.
fn texts(node: &Yaml<'_>, path: &[&str]) -> Vec<String> {
    let node = path.iter().fold(node, |node, key| node.as_mapping_get(key).unwrap_or_else(|| panic!("{path:?}")));
    match node {
        Yaml::Sequence(items) => items.iter().flat_map(|item| texts(item, &[])).collect(),
        Yaml::Mapping(entries) => entries.keys().flat_map(|key| texts(key, &[])).collect(),
        scalar => vec![scalar.as_str().unwrap_or_else(|| panic!("a text at {path:?}, not {scalar:?}")).to_owned()],
    }
}

fn environment(services: &Yaml<'_>) -> Vec<(String, String)> {
    let names = texts(services, &["worker", "environment"]);
    names.into_iter().map(|name| (name.clone(), texts(services, &["worker", "environment", &name]).remove(0))).collect()
}

/// The value of a directive in the unit; panics where it does not stand exactly once.
fn directive(unit: &str, name: &str) -> String {
    let found: Vec<&str> = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect();
    let [value] = found.as_slice() else { panic!("{name} stands {} times", found.len()) };
    (*value).to_owned()
}

fn seconds(text: &str) -> Duration {
    let number = text.strip_suffix('s').and_then(|number| number.parse().ok());
    Duration::from_secs(number.unwrap_or_else(|| panic!("{text} is no number of seconds")))
}

#[test]
fn the_compose_file_has_broker_database_clouds_and_worker() {
    with_services(|services| {
        assert_eq!(texts(services, &[]), ["rabbitmq", "postgres", "sandbox", "worker"]);
        assert_eq!(texts(services, &["worker", "command"]), ["worker"]);
        assert_eq!(texts(services, &["worker", "depends_on", "rabbitmq", "condition"]), ["service_healthy"]);
        assert_eq!(texts(services, &["rabbitmq", "healthcheck", "test"])[0], "CMD");
        assert_eq!(texts(services, &["sandbox", "build", "dockerfile"]), ["deploy/Containerfile"]);
        assert_eq!(texts(services, &["worker", "build", "dockerfile"]), ["deploy/Containerfile"]);
        for service in ["postgres", "rabbitmq", "sandbox", "worker"] {
            for port in texts(services, &[service, "ports"]) {
                assert!(port.starts_with("127.0.0.1:"), "{service} is published beyond this machine: {port}");
            }
        }
    });
}

#[test]
fn the_worker_of_the_compose_file_is_configured() {
    let variables = with_services(environment);
    let all: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let check = ["check", "--config-only"];
    let output = process::run(&check, "", &all);
    assert!(output.status.success(), "{output:?}");
    for variable in ["ROOMSWEEP__PROVIDERS__HUAWEI__ALLOW_HTTP", "VOLC_SECRETKEY"] {
        let without: Vec<(&str, &str)> = all.iter().copied().filter(|(name, _)| *name != variable).collect();
        let output = process::run(&check, "", &without);
        assert_eq!(output.status.code(), Some(2), "without {variable}: {output:?}");
    }
}

#[test]
fn both_give_the_worker_time_to_drain() {
    let unit = seconds(&directive(&read("deploy/roomsweep.service"), "TimeoutStopSec"));
    let compose = with_services(|services| seconds(&texts(services, &["worker", "stop_grace_period"])[0]));
    assert!(unit > GRACE && compose > GRACE, "{unit:?}, {compose:?}");
}

#[test]
fn the_unit_runs_the_worker_unprivileged() {
    let unit = read("deploy/roomsweep.service");
    let check = |name: &str, expected: &str| assert_eq!(directive(&unit, name), expected, "{name}");
    check("ExecStart", "/usr/local/bin/roomsweep --config /etc/roomsweep/roomsweep.toml worker");
    check("ExecReload", "/bin/kill -HUP $MAINPID");
    check("KillSignal", "SIGTERM");
    check("Restart", "on-failure");
    check("DynamicUser", "yes");
    check("NoNewPrivileges", "yes");
    check("ProtectSystem", "strict");
    check("MemoryDenyWriteExecute", "yes");
    check("CapabilityBoundingSet", "");
}

#[test]
fn the_image_is_built_of_all_that_src_needs_and_runs_as_a_number() {
    let text = read("deploy/Containerfile");
    let lines: Vec<&str> = text.lines().collect();
    let user = lines.iter().find_map(|line| line.strip_prefix("USER ")).expect("a user");
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "USER {user}");
    assert!(lines.contains(&"EXPOSE 9464"));
    for directory in ["src", "migrations"] {
        let is_there = fs::read_dir(root().join(directory)).is_ok_and(|mut entries| entries.next().is_some());
        let is_copied = lines.contains(&format!("COPY {directory} {directory}").as_str());
        assert_eq!(is_copied, is_there, "{directory}");
    }
}
