//! From a file and the environment to one tree of entries.

use std::collections::BTreeMap;

use toml::Value;

use super::environment::Environment;
use super::fault::Fault;

/// The part of a variable's name before the path: `ROOMSWEEP__PROVIDERS__VOLCENGINE__QPS`.
const PREFIX: &str = "ROOMSWEEP__";
const SEPARATOR: &str = "__";
/// No key lies deeper; a longer name is an unknown key.
const MAX_DEPTH: usize = 5;

/// A configuration file that was read.
pub(super) struct Document {
    /// As faults name it.
    pub name: String,
    pub text: String,
}

/// One entry of the configuration.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Table(Entries),
    /// Anything but a table.
    Value(Value),
    /// From the environment: what it is to be, only the reader of its key knows.
    Variable {
        name: String,
        text: String,
    },
}

pub(super) type Entries = BTreeMap<String, Entry>;

impl Entry {
    pub fn of(value: Value) -> Self {
        match value {
            Value::Table(table) => {
                Entry::Table(table.into_iter().map(|(key, value)| (key, Entry::of(value))).collect())
            }
            other => Entry::Value(other),
        }
    }

    /// The variable that set it, or something in it.
    pub fn variable(&self) -> Option<&str> {
        match self {
            Entry::Table(entries) => entries.values().find_map(Entry::variable),
            Entry::Value(_) => None,
            Entry::Variable { name, .. } => Some(name),
        }
    }
}

/// Reads the file, if any, and lays the variables over it.
pub(super) fn entries(document: Option<&Document>, env: &Environment) -> Result<Entries, Fault> {
    let mut entries = match document {
        Some(document) => parse(document)?,
        None => Entries::new(),
    };
    for (name, text) in env.iter() {
        if let Some(path) = name.strip_prefix(PREFIX) {
            let path = path.to_ascii_lowercase();
            let segments: Vec<&str> = path.splitn(MAX_DEPTH, SEPARATOR).collect();
            let variable = Entry::Variable { name: name.to_owned(), text: text.to_owned() };
            put(&mut entries, &segments, variable, Depth::Root);
        }
    }
    if document.is_none() {
        discover(&mut entries, env);
    }
    Ok(entries)
}

fn parse(document: &Document) -> Result<Entries, Fault> {
    let text = document.text.strip_prefix('\u{feff}').unwrap_or(&document.text);
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        // Only the message: the error's own text quotes the line, and the line may hold a secret.
        let (line, column) = position(text, error.span().map_or(0, |span| span.start));
        Fault { path: format!("{}:{line}:{column}", document.name), message: error.message().replace('\n', ", ") }
    })?;
    Ok(table.into_iter().map(|(key, value)| (key, Entry::of(value))).collect())
}

/// Line and column, both from 1, of a byte.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(byte)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[derive(Clone, Copy, PartialEq)]
enum Depth {
    Root,
    Providers,
    Deeper,
}

fn put(entries: &mut Entries, segments: &[&str], variable: Entry, depth: Depth) {
    let Some((first, rest)) = segments.split_first() else { return };
    let key = match depth {
        Depth::Providers => provider_table(entries, first),
        Depth::Root | Depth::Deeper => (*first).to_owned(),
    };
    if rest.is_empty() {
        entries.insert(key, variable);
        return;
    }
    let next = if depth == Depth::Root && key == "providers" { Depth::Providers } else { Depth::Deeper };
    let entry = entries.entry(key).or_insert_with(|| Entry::Table(Entries::new()));
    if let Entry::Variable { text, .. } = entry
        && let Ok(value @ Value::Table(_)) = text.parse()
    {
        *entry = Entry::of(value);
    }
    if !matches!(entry, Entry::Table(_)) {
        *entry = Entry::Table(Entries::new());
    }
    if let Entry::Table(inner) = entry {
        put(inner, rest, variable, next);
    }
}

/// A shell cannot put a `-` into the name of a variable: there `_` stands for it.
fn provider_table(entries: &Entries, segment: &str) -> String {
    let mut alike = entries.keys().filter(|name| name.replace('-', "_") == segment);
    match (entries.contains_key(segment), alike.next(), alike.next()) {
        (false, Some(name), None) => name.clone(),
        _ => segment.to_owned(),
    }
}

/// Without a file, a provider is there if its keys are in the environment.
fn discover(entries: &mut Entries, env: &Environment) {
    let kinds = [
        ("volcengine", ["VOLC_ACCESSKEY", "VOLC_SECRETKEY"]),
        ("huawei", ["HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"]),
    ];
    for (kind, names) in kinds {
        // One of the two is enough: the other is then reported as missing.
        if names.iter().any(|name| env.filled(name).is_some()) {
            let providers = entries.entry("providers".to_owned()).or_insert_with(|| Entry::Table(Entries::new()));
            let Entry::Table(providers) = providers else { continue };
            let provider = providers.entry(kind.to_owned()).or_insert_with(|| Entry::Table(Entries::new()));
            let Entry::Table(provider) = provider else { continue };
            provider.entry("kind".to_owned()).or_insert_with(|| Entry::Value(Value::String(kind.to_owned())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document { name: "roomsweep.toml".into(), text: text.into() }
    }

    fn at<'e>(entries: &'e Entries, path: &str) -> Option<&'e Entry> {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        match (entries.get(first)?, rest) {
            (entry, None) => Some(entry),
            (Entry::Table(inner), Some(rest)) => at(inner, rest),
            (_, Some(_)) => None,
        }
    }

    #[test]
    fn a_syntax_error_has_file_line_and_column_but_not_the_line() {
        let fault = entries(Some(&document("[queue]\nurl = \"hunter2")), &Environment::default()).unwrap_err();
        assert!(fault.path.starts_with("roomsweep.toml:2:"), "{fault}");
        assert!(!fault.to_string().contains("hunter2") && !fault.message.contains('\n'), "{fault}");
        let fault = entries(Some(&document("qps = 1\nqps = 2")), &Environment::default()).unwrap_err();
        assert_eq!(fault.to_string(), "roomsweep.toml:2:1: duplicate key");
    }

    #[test]
    fn a_byte_order_mark_is_no_syntax_error() {
        assert!(entries(Some(&document("\u{feff}a = 1")), &Environment::default()).unwrap().contains_key("a"));
    }

    #[test]
    fn a_variable_replaces_what_the_file_says() {
        let env =
            Environment::from([("ROOMSWEEP__QUEUE__URL", "x"), ("ROOMSWEEP__RETRY__MAX__DEEP", "y"), ("OTHER", "z")]);
        let entries = entries(Some(&document("queue = { url = 'a', path = 'b' }\nretry.max = '1s'")), &env).unwrap();
        assert_eq!(at(&entries, "queue.url").unwrap().variable(), Some("ROOMSWEEP__QUEUE__URL"));
        assert_eq!(at(&entries, "queue.path").unwrap().variable(), None);
        assert_eq!(at(&entries, "retry.max").unwrap().variable(), Some("ROOMSWEEP__RETRY__MAX__DEEP"));
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn an_inline_table_and_a_key_in_it_go_together() {
        let env = Environment::from([("ROOMSWEEP__QUEUE", "{ path = 'b' }"), ("ROOMSWEEP__QUEUE__NAMESPACE", "n")]);
        let entries = entries(None, &env).unwrap();
        assert!(at(&entries, "queue.path").is_some() && at(&entries, "queue.namespace").is_some());
    }

    #[test]
    fn an_underscore_stands_for_a_hyphen_in_a_provider_name() {
        let env = Environment::from([("ROOMSWEEP__PROVIDERS__VOLC_EU__QPS", "5")]);
        let found = |file: &str, path: &str| at(&entries(Some(&document(file)), &env).unwrap(), path).is_some();
        assert!(found("[providers.volc-eu]", "providers.volc-eu.qps"));
        assert!(found("[providers.volc-eu]\n[providers.volc_eu]", "providers.volc_eu.qps"));
        assert!(found("", "providers.volc_eu.qps"));
    }

    #[test]
    fn a_provider_is_discovered_only_without_a_file() {
        let env = Environment::from([("VOLC_SECRETKEY", "s"), ("HUAWEICLOUD_SDK_AK", "")]);
        let found = entries(None, &env).unwrap();
        assert!(at(&found, "providers.volcengine.kind").is_some() && at(&found, "providers.huawei").is_none());
        assert!(entries(Some(&document("")), &env).unwrap().is_empty());
    }
}
