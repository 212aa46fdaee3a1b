//! Every rule, seen to catch what it is there for and to let the rest pass.

use std::collections::BTreeSet;

use super::scan::{Source, names};
use super::*;

fn source(file: &str, text: &str) -> Source {
    Source { file: file.to_owned(), text: text.to_owned() }
}

/// How many times a rule of floors, separation or purity is broken.
fn broken(file: &str, text: &str) -> usize {
    let crates: BTreeSet<String> =
        ["tokio", "jiff", "serde", "uuid", "governor", "reqwest", "http"].map(String::from).into();
    code(vec![source(file, text)])
        .iter()
        .map(|(source, names)| {
            floors_broken(source, names, &crates).len()
                + separation_broken(source, names).len()
                + purity_broken(source, names).len()
        })
        .sum()
}

#[track_caller]
fn refused(file: &str, text: &str) {
    assert_ne!(broken(file, text), 0, "{file}: {text}");
}

#[track_caller]
fn allowed(file: &str, text: &str) {
    assert_eq!(broken(file, text), 0, "{file}: {text}");
}

#[test]
fn an_import_upwards_is_found_however_it_is_written() {
    refused("policy/x.rs", "use crate::adapters::http;");
    refused("policy/x.rs", "use crate::{model::ids, ports::clock::Clock};");
    refused("policy/x.rs", "use crate::{model::ids, adapters::{http, amqp}};");
    refused("policy/x.rs", "use super::super::ports::clock;");
    refused("policy/x.rs", "use super::super::*;");
    refused("policy/deep/mod.rs", "fn f() { super::super::ports::clock::f() }");
    refused("policy/x.rs", "mod inner { use super::super::super::ports; }");
    refused("policy/x.rs", "fn f(c: &crate::ports::clock::Clock) {}");
    refused("policy/x.rs", "fn f() { let x = Some(vec![crate::app::run()]); }");
    refused("policy/x.rs", "pub use roomsweep::app;");
    refused("ports/x.rs", "use crate::policy::decide;");
    refused("provider/x.rs", "use crate::policy::decide;");
    refused("pipeline/x.rs", "use crate::adapters::memory;");
    refused("adapters/x.rs", "use crate::policy::quota;");
    refused("adapters/amqp/x.rs", "use crate::pipeline::lane;");
    refused("sandbox/x.rs", "use crate::ports::clock;");
    refused("elsewhere.rs", "");
}

#[test]
fn imports_downwards_and_sideways_pass() {
    allowed(
        "policy/x.rs",
        "use crate::model::ids; use super::decide::Next; use self::inner::A; mod inner { use super::B; }",
    );
    allowed("pipeline/x.rs", "use crate::{model, policy::decide, provider::Call, ports::clock::Clock};");
    allowed("adapters/amqp/x.rs", "use super::topology; use crate::ports::broker; use crate::adapters::amqp::source;");
    allowed("app/cli/mod.rs", "use crate::{adapters::amqp, pipeline::lane, sandbox};");
    allowed("sandbox/x.rs", "use crate::provider::volcengine; use tokio::net;");
}

#[test]
fn comments_texts_and_tests_do_not_count() {
    allowed(
        "policy/x.rs",
        "//! [`crate::app`]\n/// crate::app::run\n// use crate::app;\nconst A: &str = \"crate::app::run\";",
    );
    allowed("policy/x.rs", "#[cfg(test)] mod tests { use crate::adapters::memory; use tokio::time; }");
    allowed("policy/x.rs", "#[cfg(test)] #[allow(x)] use crate::{adapters::memory};");
    refused("policy/x.rs", "#[cfg(test)] mod tests { }\nuse crate::adapters::memory;");
    refused("policy/x.rs", "#[cfg(test)] use crate::{model::a};\nuse crate::adapters::memory;");
    refused("policy/x.rs", "#[cfg(not(test))] use crate::adapters::memory;");
    refused("policy/x.rs", "#[cfg(test)] mod tests;\nuse crate::adapters::memory;");
    refused("policy/x.rs", "struct A { #[cfg(test)] seen: u8, other: crate::app::Run }");
}

#[test]
fn the_file_of_a_test_module_is_a_test() {
    let tree = vec![
        source("policy/quota.rs", "#[cfg(test)]\nmod tests;\nmod slots;"),
        source("policy/quota/tests.rs", ""),
        source("policy/quota/slots.rs", ""),
        source("policy/pace.rs", "#[cfg(test)]\n#[path = \"pace_tests.rs\"]\nmod tests;"),
        source("policy/pace_tests.rs", ""),
    ];
    let files: Vec<String> = code(tree).into_iter().map(|(source, _)| source.file).collect();
    assert_eq!(files, ["policy/quota.rs", "policy/quota/slots.rs", "policy/pace.rs"]);
}

#[test]
fn main_imports_app_and_the_library_nothing() {
    allowed("main.rs", "use roomsweep::app; fn main() { roomsweep::app::cli::main() }");
    refused("main.rs", "use roomsweep::pipeline::lane;");
    refused("lib.rs", "pub use crate::app::run;");
    allowed("lib.rs", "pub mod app;");
}

#[test]
fn the_lower_floors_use_few_crates() {
    allowed("model/x.rs", "use std::fmt; use jiff::Timestamp; use serde::{Serialize};");
    refused("model/x.rs", "use uuid::Uuid;");
    refused("model/x.rs", "fn f() -> uuid::Uuid { g() }");
    refused("model/x.rs", "use uuid;");
    refused("policy/x.rs", "use uuid::*;");
    refused("ports/x.rs", "use reqwest::{Client};");
    allowed("ports/x.rs", "use tokio::time::Instant;");
    refused("pipeline/x.rs", "use http::Uri as U; use governor::Quota;");
    allowed("policy/bucket.rs", "use governor::Quota;");
}

#[test]
fn adapters_and_clouds_stay_apart() {
    refused("adapters/amqp/x.rs", "use crate::adapters::http::Http;");
    refused("adapters/amqp/x.rs", "use super::super::http::Http;");
    refused("adapters/pacer.rs", "use super::http::Http;");
    refused("adapters/pacer.rs", "use super::{http::Http};");
    refused("provider/huawei/sign.rs", "use crate::provider::volcengine::sign;");
    allowed("provider/huawei/sign.rs", "use crate::provider::{encoding, endpoint::Endpoint}; use super::request;");
    allowed("provider/catalog.rs", "use super::{huawei, volcengine};");
}

#[test]
fn pure_code_waits_for_nothing_and_asks_nobody() {
    for text in [
        "async fn f() {}",
        "fn f() { std::time::Instant::now(); }",
        "use std::time::Instant; fn f() { Instant::now(); }",
        "fn f() { jiff::Timestamp::now(); }",
        "use std::time::{Duration, SystemTime};",
        "use std::{fmt, env};",
        "fn f() { std::env::var(\"A\"); }",
        "fn f() { fastrand::f64(); }",
        "use reqwest::Url;",
        "#[tokio::test] fn f() {}",
    ] {
        for file in ["policy/x.rs", "provider/x.rs", "model/x.rs"] {
            refused(file, text);
        }
    }
    allowed("policy/x.rs", "use std::time::Instant; fn f(now: Instant) { let asynchronous = now; }");
    allowed("ports/x.rs", "async fn f() { tokio::time::Instant::now(); }");
}

#[test]
fn a_crate_is_told_from_a_module_of_its_name() {
    let uses = |text: &str| uses_crate(&names(&source("policy/decide.rs", text)), "backoff");
    assert!(uses("use backoff::ExponentialBackoff;"));
    assert!(uses("use backoff::backoff::Backoff;"));
    assert!(uses("use backoff::{self as b};"));
    assert!(uses("fn f() -> backoff::ExponentialBackoff { g() }"));
    assert!(uses("use super::other; fn f() { backoff::delay() }"));
    assert!(!uses("use super::backoff; fn f() { backoff::delay() }"));
    assert!(!uses("use super::{decide, backoff::{self, Delay}}; fn f() { backoff::delay() }"));
    assert!(!uses("use crate::policy::waits as backoff; fn f() { backoff::delay() }"));
    assert!(!uses("pub mod backoff; pub use backoff::delay;"));
    assert!(!uses("/// The backoff grows.\nfn f() { let backoff = 1; self.backoff(backoff); \"backoff::x\" }"));
}

#[test]
fn what_is_left_for_later_is_seen_with_its_line() {
    for mark in LEFTOVERS {
        assert_eq!(leftovers(&format!("fn f() {{\n    {mark}\n}}")), [format!("2: {mark}")]);
    }
    assert_eq!(leftovers("fn ignored() { fixme(); }"), Vec::<String>::new());
}

#[test]
fn a_select_that_draws_lots_is_seen_with_its_line() {
    let [opened, biased] = [concat!("select", "! {"), "biased;"];
    assert_eq!(left_to_chance(&format!("fn f() {{\n    {opened}\n        a = b => c,")), [2]);
    assert_eq!(left_to_chance(&format!("fn f() {{\n    {opened}\n        {biased}\n        a = b => c,")), []);
    assert_eq!(left_to_chance(&format!("{opened} {biased} a = b => c }}\n{opened} a = b => c }}")), [2]);
}

#[test]
fn a_call_that_is_awaited_where_it_is_made_is_seen() {
    let found = |text: &str| scan::awaited(&source("adapters/amqp/x.rs", text), &["basic_get", "ack"]);
    assert_eq!(found("async fn f() { channel.basic_get(queue, options).await?; }"), ["basic_get"]);
    assert_eq!(found("fn f() { g(async { match self.acker.ack(options).await {} }) }"), ["ack"]);
    assert_eq!(
        found("async fn f() { answered(&channel, \"basic.get\", channel.basic_get(queue)).await }"),
        Vec::<String>::new()
    );
    assert_eq!(found("async fn f() { other.get(ack).await; let ack = channel.ack(); }"), Vec::<String>::new());
}

#[test]
fn a_file_may_be_as_long_as_the_limit() {
    assert!(!is_too_long(&"x\n".repeat(MOST_LINES)));
    assert!(is_too_long(&"x\n".repeat(MOST_LINES + 1)));
}

#[test]
fn strangers_on_the_top_level_are_seen() {
    let check = |name: &str, expected: bool| assert_eq!(may_stand_on_top(name, "/target\n*.db\n"), expected, "{name}");
    check("Cargo.toml", true);
    check(".deny.toml", true);
    check("target", true);
    check("roomsweep.db", true);
    check("docs", false);
    check("deny.toml", false);
    check("notes.md", false);
}

#[test]
fn dependencies_are_named_as_code_names_them() {
    let manifest = "[dependencies]\nasync-trait = \"1\"\n[dev-dependencies]\nproptest = { version = \"1\" }";
    assert_eq!(dependencies(manifest), ["async_trait", "proptest"].map(String::from).into());
}
