//! The rules of the house that the compiler does not know: floors, purity, sizes, and what lies where.
//!
//! Each rule is a function over source text, tried on small snippets first (`snippets`), then on the tree.

#[path = "architecture/scan.rs"]
mod scan;
#[path = "architecture/snippets.rs"]
mod snippets;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use scan::{Names, Source};

/// What the code of one top module may name, beside itself and std.
struct Floor {
    module: &'static str,
    modules: &'static [&'static str],
    /// None where the choice of crates is free.
    crates: Option<&'static [&'static str]>,
}

/// From the ground up.
const FLOORS: [Floor; 8] = [
    Floor { module: "model", modules: &[], crates: Some(&["jiff", "serde", "serde_json", "thiserror"]) },
    Floor { module: "policy", modules: &["model"], crates: Some(&["backoff", "governor", "jiff", "thiserror"]) },
    Floor {
        module: "provider",
        modules: &["model"],
        crates: Some(&[
            "bytes",
            "hmac",
            "http",
            "jiff",
            "percent_encoding",
            "serde",
            "serde_json",
            "sha2",
            "thiserror",
        ]),
    },
    Floor {
        module: "ports",
        modules: &["model", "provider"],
        crates: Some(&["async_trait", "bytes", "jiff", "prometheus", "serde", "thiserror", "tokio"]),
    },
    Floor {
        module: "pipeline",
        modules: &["model", "policy", "provider", "ports"],
        crates: Some(&[
            "async_trait",
            "bytes",
            "futures_util",
            "http",
            "jiff",
            "serde_json",
            "thiserror",
            "tokio",
            "tracing",
            "uuid",
        ]),
    },
    Floor { module: "adapters", modules: &["model", "provider", "ports"], crates: None },
    Floor { module: "sandbox", modules: &["model", "provider"], crates: None },
    Floor {
        module: "app",
        modules: &["model", "policy", "provider", "ports", "pipeline", "adapters", "sandbox"],
        crates: None,
    },
];

/// Whose submodules (each a cloud, or a piece of the outside world) know nothing of each other.
const SEPARATE: [(&str, &[&str]); 2] = [("adapters", &[]), ("provider", &["volcengine", "huawei"])];

/// Where nothing may depend on when, where or by chance it runs.
const PURE: [&str; 3] = ["model", "policy", "provider"];
const IMPURE_WORDS: [&str; 5] = ["async", "await", "SystemTime", "TcpStream", "UdpSocket"];
const IMPURE_PATHS: [&str; 12] = [
    "tokio",
    "fastrand",
    "reqwest",
    "rand",
    "lapin",
    "hyper",
    "std::env",
    "std::fs",
    "std::thread",
    "std::process",
    "std::io",
    "std::net::ToSocketAddrs",
];
const CLOCKS: [&str; 3] = ["Instant", "Timestamp", "Zoned"];

/// Crates that could have to go (backoff is unmaintained) or are easily misread: one file knows them.
const DOORS: [&str; 2] = ["backoff", "governor"];

/// What a simulation runs: which of two ready branches comes first must not be left to chance, for a seed is to take
/// the same course each time.
const SIMULATED: [&str; 7] = [
    "src/ports/",
    "src/pipeline/",
    "src/adapters/memory",
    "src/app/run.rs",
    "src/app/session.rs",
    "src/app/watch.rs",
    "tests/sim/",
];

/// Calls to a broker, which may never answer them: they are waited for by `answered`.
const CALLS: [&str; 16] = [
    "create_channel",
    "exchange_declare",
    "queue_declare",
    "queue_bind",
    "queue_purge",
    "queue_delete",
    "basic_qos",
    "basic_consume",
    "basic_cancel",
    "basic_get",
    "basic_ack",
    "basic_nack",
    "ack",
    "nack",
    "confirm_select",
    "close",
];
/// These bound what they wait for themselves: a handshake, a good-bye, a confirm.
const BOUNDED: [&str; 2] = ["adapters/amqp/connection.rs", "adapters/amqp/publish.rs"];

const MOST_LINES: usize = 400;

const TOP_LEVEL: [&str; 11] = [
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "migrations",
    "deploy",
    "tests",
    "benches",
    "fuzz",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
];

/// Taken apart, so that this file does not find itself.
const LEFTOVERS: [&str; 4] =
    [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("#[", "ignore")];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn check(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// The names of our dependencies as code writes them.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let manifest: toml::Table = manifest.parse().expect("Cargo.toml is TOML");
    let tables = ["dependencies", "dev-dependencies"].into_iter().filter_map(|name| manifest.get(name)?.as_table());
    tables.flat_map(|table| table.keys().map(|name| name.replace('-', "_"))).collect()
}

/// Sources that are not tests as a whole, with what they name.
fn code(sources: Vec<Source>) -> Vec<(Source, Names)> {
    let read: Vec<(Source, Names)> = sources
        .into_iter()
        .map(|source| {
            let names = scan::names(&source);
            (source, names)
        })
        .collect();
    let tests: Vec<Vec<String>> = read.iter().flat_map(|(_, names)| names.test_modules.clone()).collect();
    read.into_iter()
        .filter(|(source, _)| !tests.iter().any(|test| scan::module_of(&source.file).starts_with(test)))
        .collect()
}

fn src() -> Vec<(Source, Names)> {
    code(scan::sources(&root().join("src")))
}

/// A path of ours as top module and the submodule below it.
fn own(path: &[String]) -> Option<(&str, Option<&str>)> {
    match path {
        [first, top, rest @ ..] if first == "crate" => Some((top, rest.first().map(String::as_str))),
        [first] if first == "crate" => Some(("*", None)),
        _ => None,
    }
}

fn floors_broken(source: &Source, names: &Names, crates: &BTreeSet<String>) -> Vec<String> {
    let module = scan::module_of(&source.file);
    let Some(top) = module.first() else {
        let allowed: &[&str] = if source.file == "main.rs" { &["app"] } else { &[] };
        let ours = names.paths.iter().filter_map(|path| own(path));
        return ours
            .filter(|(other, _)| !allowed.contains(other))
            .map(|(other, _)| format!("src/{}: imports {other}; main.rs alone may import, and only app", source.file))
            .collect();
    };
    let Some(floor) = FLOORS.iter().find(|floor| floor.module == top) else {
        return vec![format!("src/{}: {top} is no floor", source.file)];
    };
    let broken = |path: &scan::Named| match own(path) {
        Some((other, _)) if other == top => None,
        Some((other, _)) if floor.modules.contains(&other) => None,
        Some((other, _)) => Some(format!("src/{}: {top} must not import {other} ({})", source.file, path.join("::"))),
        None => {
            let name = path.first()?;
            let is_refused = crates.contains(name) && floor.crates.is_some_and(|free| !free.contains(&name.as_str()));
            is_refused.then(|| format!("src/{}: {top} must not use the crate {name}", source.file))
        }
    };
    names.paths.iter().filter_map(broken).collect()
}

fn separation_broken(source: &Source, names: &Names) -> Vec<String> {
    let module = scan::module_of(&source.file);
    let [top, here, ..] = module.as_slice() else { return Vec::new() };
    let Some((_, members)) = SEPARATE.iter().find(|(name, _)| name == top) else { return Vec::new() };
    let is_member = |name: &str| members.is_empty() || members.contains(&name);
    let neighbours = names.paths.iter().filter_map(|path| own(path)).filter_map(|(other, below)| {
        let below = below.filter(|below| other == top && below != here)?;
        (is_member(here) && is_member(below)).then_some(below)
    });
    neighbours.map(|other| format!("src/{}: {top}::{here} must not know {top}::{other}", source.file)).collect()
}

fn purity_broken(source: &Source, names: &Names) -> Vec<String> {
    if !scan::module_of(&source.file).first().is_some_and(|top| PURE.contains(&top.as_str())) {
        return Vec::new();
    }
    let words = names.words.iter().filter(|word| IMPURE_WORDS.contains(&word.as_str())).cloned();
    let paths = names.paths.iter().map(|path| path.join("::")).filter(|path| {
        let is_below = |impure: &&str| path == *impure || path.starts_with(&format!("{impure}::"));
        let is_clock = CLOCKS.iter().any(|clock| path.ends_with(&format!("{clock}::now")));
        is_clock || IMPURE_PATHS.iter().any(is_below)
    });
    words.chain(paths).map(|what| format!("src/{}: {what} has no place in pure code", source.file)).collect()
}

fn uses_crate(names: &Names, wanted: &str) -> bool {
    names.paths.iter().any(|path| path.first().is_some_and(|name| name == wanted))
}

fn leftovers(text: &str) -> Vec<String> {
    let marked = |line: &str| LEFTOVERS.into_iter().find(|mark| line.contains(mark));
    let lines = text.lines().enumerate();
    lines.filter_map(|(n, line)| marked(line).map(|mark| format!("{}: {mark}", n + 1))).collect()
}

/// The lines of `select!`s that do not say `biased`.
fn left_to_chance(text: &str) -> Vec<usize> {
    const SELECT: &str = concat!("select", "! {");
    let drawn =
        text.match_indices(SELECT).filter(|(at, _)| !text[at + SELECT.len()..].trim_start().starts_with("biased;"));
    drawn.map(|(at, _)| text[..=at].lines().count()).collect()
}

fn is_too_long(text: &str) -> bool {
    text.lines().count() > MOST_LINES
}

fn may_stand_on_top(name: &str, ignored: &str) -> bool {
    let is_ignored = ignored.lines().any(|pattern| match pattern.strip_prefix('*') {
        Some(end) => name.ends_with(end),
        None => pattern.trim_matches('/') == name,
    });
    is_ignored || name.starts_with('.') || TOP_LEVEL.contains(&name)
}

#[test]
fn a_module_imports_only_lower_floors() {
    let crates = dependencies(&fs::read_to_string(root().join("Cargo.toml")).unwrap());
    check(src().iter().flat_map(|(source, names)| floors_broken(source, names, &crates)).collect());
}

#[test]
fn every_floor_is_there() {
    let modules: BTreeSet<String> =
        src().iter().filter_map(|(source, _)| scan::module_of(&source.file).first().cloned()).collect();
    assert_eq!(modules, FLOORS.iter().map(|floor| floor.module.to_owned()).collect());
}

#[test]
fn adapters_know_nothing_of_each_other_nor_do_clouds() {
    check(src().iter().flat_map(|(source, names)| separation_broken(source, names)).collect());
}

#[test]
fn decisions_and_dialects_are_pure() {
    check(src().iter().flat_map(|(source, names)| purity_broken(source, names)).collect());
}

#[test]
fn a_crate_behind_a_door_is_used_in_one_file() {
    let code = src();
    for door in DOORS {
        let users: Vec<&str> =
            code.iter().filter(|(_, names)| uses_crate(names, door)).map(|(source, _)| source.file.as_str()).collect();
        assert_eq!(users.len(), 1, "{door} is to be used in exactly one file, but is in {users:?}");
    }
}

#[test]
fn nothing_that_is_simulated_is_left_to_chance() {
    let files = ["src", "tests"].into_iter().flat_map(|directory| {
        let sources = scan::sources(&root().join(directory)).into_iter();
        sources.map(move |source| (format!("{directory}/{}", source.file), source.text))
    });
    let simulated = files.filter(|(file, _)| SIMULATED.iter().any(|start| file.starts_with(start)));
    let drawn = simulated.flat_map(|(file, text)| {
        left_to_chance(&text).into_iter().map(move |line| format!("{file}:{line}: a select that is not biased"))
    });
    check(drawn.collect());
}

#[test]
fn no_broker_is_waited_for_without_an_end() {
    let code = src();
    let amqp = code.iter().map(|(source, _)| source).filter(|source| source.file.starts_with("adapters/amqp/"));
    let waiting = amqp.filter(|source| !BOUNDED.contains(&source.file.as_str())).flat_map(|source| {
        let named = |call| format!("src/{}: {call} is not waited for by `answered`", source.file);
        scan::awaited(source, &CALLS).into_iter().map(named)
    });
    check(waiting.collect());
}

#[test]
fn no_file_holds_two_ideas() {
    let long = scan::sources(&root().join("src")).into_iter().filter(|source| is_too_long(&source.text));
    check(long.map(|source| format!("src/{}: over {MOST_LINES} lines", source.file)).collect());
}

#[test]
fn the_top_level_holds_only_what_belongs_there() {
    let ignored = fs::read_to_string(root().join(".gitignore")).unwrap();
    let names = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    check(
        names.filter(|name| !may_stand_on_top(name, &ignored)).map(|name| format!("{name} does not belong")).collect(),
    );
}

#[test]
fn nothing_is_left_for_later() {
    for directory in ["src", "tests"] {
        let marked = scan::sources(&root().join(directory)).into_iter().flat_map(|source| {
            leftovers(&source.text).into_iter().map(move |found| format!("{directory}/{}:{found}", source.file))
        });
        check(marked.collect());
    }
}
