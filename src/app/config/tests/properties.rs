//! Whatever stands in the file or the environment, the answer is a configuration or faults.

use proptest::prelude::*;
use toml::Value;

use super::*;

/// Keys that mean something somewhere, so that arbitrary trees get past the first level.
fn key() -> impl Strategy<Value = String> {
    let known = [
        "queue",
        "backend",
        "url",
        "ca_file",
        "namespace",
        "path",
        "providers",
        "volcengine",
        "huawei",
        "kind",
        "action",
        "version",
        "forbidden_interval",
        "endpoint",
        "region",
        "access_key_id",
        "secret_access_key",
        "session_token",
        "qps",
        "pacing",
        "max_transit",
        "max_in_flight",
        "timeout",
        "app_ids",
        "gone_codes",
        "auth",
        "domain",
        "project_id",
        "project_name",
        "password",
        "retry",
        "initial",
        "multiplier",
        "max",
        "max_attempts",
        "results",
        "max_bytes",
        "ledger",
        "keep",
        "dedupe",
        "admin",
        "listen",
        "token",
        "shutdown",
        "grace",
        "env",
    ];
    prop_oneof![9 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => ".{0,8}"]
}

fn value() -> impl Strategy<Value = Value> {
    let words = [
        "amqp",
        "volcengine",
        "huawei",
        "ban_room_user",
        "token",
        "1s",
        "amqp://u:p@h/%2f",
        "https://h",
        "VOLC_ACCESSKEY",
    ];
    let leaf = prop_oneof![
        prop::sample::select(words.to_vec()).prop_map(Value::from),
        ".{0,16}".prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key(), inner, 0..6).prop_map(|table| Value::Table(table.into_iter().collect())),
        ]
    })
}

/// A text of TOML tokens in no sensible order.
fn noise() -> impl Strategy<Value = String> {
    let tokens =
        ["[", "]", "{", "}", "=", "\n", "'", "\"", "'''", "1", "e9", "0x", "é", ".", "queue", "#", "\u{0}", "\\u"];
    prop::collection::vec(prop::sample::select(tokens.to_vec()), 0..24).prop_map(|tokens| tokens.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_tree_makes_the_reader_panic(table in prop::collection::btree_map(key(), value(), 0..8)) {
        let table: toml::Table = table.into_iter().collect();
        let _ = loaded(&table.to_string(), &environment());
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in prop_oneof![noise(), ".{0,64}"]) {
        let _ = loaded(&text, &environment());
    }

    #[test]
    fn no_variable_makes_the_reader_panic(
        path in prop::collection::vec(key(), 0..7),
        text in prop_oneof![noise(), value().prop_map(|value| value.to_string())],
    ) {
        let name = format!("ROOMSWEEP__{}", path.join("__").to_uppercase());
        let _ = loaded(CONTRACT, &environment_and(&[(&name, &text)]));
    }
}
