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

/// A secret as it may be written, rightly or wrongly; never as the name of a file, which is no secret.
fn secret() -> impl Strategy<Value = Value> {
    let texts = [
        CANARY.to_owned(),
        format!("{CANARY}\n"),
        format!("amqp://u:{CANARY}@h/%2f"),
        format!("amqp://u:{CANARY}@"),
        format!("postgres://u:{CANARY}@h/d"),
        format!("https://u:{CANARY}@h"),
        "x".repeat(80) + CANARY,
    ];
    prop::sample::select(texts.to_vec()).prop_map(Value::from).prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..3).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(vec!["env", "value", "secret"]), inner, 1..3).prop_map(
                |table| Value::Table(table.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            ),
        ]
    })
}

/// Any tree with secrets at the keys that take them, and at unknown ones, in sections that have them or have not.
fn tree_of_secrets() -> impl Strategy<Value = toml::Table> {
    let keys = [
        "url",
        "token",
        "access_key_id",
        "secret_access_key",
        "session_token",
        "security_token",
        "password",
        "domain",
        "user",
        "project_id",
        "secret_acess_key",
    ];
    let secrets = prop::collection::btree_map(prop::sample::select(keys.to_vec()), secret(), 1..5);
    let rest = prop::collection::btree_map(key(), value(), 0..5);
    let section = (secrets, rest).prop_map(|(secrets, rest)| {
        let mut section: toml::Table = rest.into_iter().collect();
        section.extend(secrets.into_iter().map(|(name, value)| (name.to_owned(), value)));
        section
    });
    let names = ["queue", "admin", "ledger", "results", "volcengine", "huawei", "other"];
    prop::collection::btree_map(prop::sample::select(names.to_vec()), section, 1..5).prop_map(|sections| {
        let (mut root, mut providers) = (toml::Table::new(), toml::Table::new());
        for (name, mut section) in sections {
            let kind = if name == "huawei" { "huawei" } else { "volcengine" };
            match name {
                "volcengine" | "huawei" => {
                    section.insert("kind".into(), kind.into());
                    providers.insert(name.to_owned(), section.into());
                }
                _ => {
                    root.insert(name.to_owned(), section.into());
                }
            }
        }
        root.insert("providers".into(), providers.into());
        root
    })
}

fn check_answer(answer: Result<Config, Faults>) {
    let shown = match answer {
        Ok(config) => format!("{config:?}"),
        Err(faults) => {
            assert!(faults.iter().count() > 0);
            for fault in faults.iter() {
                assert!(!fault.path.is_empty() && !fault.path.contains('\n') && !fault.message.is_empty(), "{fault:?}");
            }
            format!("{faults} {faults:?}")
        }
    };
    assert!(!shown.contains(CANARY), "{shown}");
}

#[test]
fn an_empty_key_is_named_as_one() {
    let faults = loaded("'' = 1\nretry.'' = 2", &environment()).unwrap_err().to_string();
    assert!(faults.contains("retry \"\": is not a known key") && faults.contains("\n\"\": is not"), "{faults}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_fault_shows_a_secret_and_each_names_its_place(tree in tree_of_secrets(), cut in any::<prop::sample::Index>()) {
        let text = tree.to_string();
        check_answer(loaded(&text, &environment()));
        let cut = text.floor_char_boundary(cut.index(text.len() + 1));
        check_answer(loaded(&text[..cut], &environment()));
    }

    #[test]
    fn no_variable_shows_a_secret(
        path in prop::collection::vec(key(), 1..4),
        text in secret().prop_map(|value| value.to_string()),
    ) {
        let path = path.join("__").to_uppercase();
        // A text that is no secret's is shown where it is wrong.
        let is_secret = ["KEY", "TOKEN", "PASSWORD", "URL"].iter().any(|end| path.ends_with(end));
        if is_secret || text.contains("://") {
            let env = environment_and(&[(&format!("ROOMSWEEP__{path}"), &text)]);
            check_answer(loaded(CONTRACT, &env));
        }
    }

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
