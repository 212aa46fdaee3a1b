//! Takes keys out of a section, and notes every fault instead of stopping at the first.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::Value;

use super::environment::Environment;
use super::fault::{Fault, shown};
use super::source::{Entries, Entry};

/// What is gathered while sections are read.
pub(super) struct Notes<'e> {
    pub env: &'e Environment,
    pub faults: RefCell<Vec<Fault>>,
    /// Files that were read besides the configuration itself.
    pub files: RefCell<Vec<PathBuf>>,
}

impl<'e> Notes<'e> {
    pub fn new(env: &'e Environment) -> Self {
        Self { env, faults: RefCell::default(), files: RefCell::default() }
    }
}

/// One table. A getter answers None where the key is absent and where it is faulty: the fault is noted.
pub(super) struct Section<'n> {
    pub notes: &'n Notes<'n>,
    path: String,
    entries: Entries,
    asked: BTreeSet<String>,
}

/// What TOML type a key wants, and how a fault puts that.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Text,
    Whole,
    Number,
    Flag,
    List,
    Duration,
    /// A duration, or a bare number, which the reader of the key then judges.
    DurationOrZero,
}

impl Shape {
    fn accepts(self, value: &Value) -> bool {
        match self {
            Shape::Text | Shape::Duration => value.is_str(),
            Shape::Whole => value.is_integer(),
            Shape::DurationOrZero => value.is_str() || value.is_integer(),
            Shape::Number => value.is_integer() || value.is_float(),
            Shape::Flag => value.is_bool(),
            Shape::List => value.is_array(),
        }
    }

    fn phrase(self) -> &'static str {
        match self {
            Shape::Text => "a text in quotes",
            Shape::Whole => "a whole number",
            Shape::Number => "a number",
            Shape::Flag => "true or false",
            Shape::List => "a list like [\"a\", \"b\"]",
            Shape::Duration => "a duration with a unit, like \"500ms\" or \"10s\"",
            Shape::DurationOrZero => "0, or a duration with a unit, like \"10m\"",
        }
    }
}

impl<'n> Section<'n> {
    pub fn root(entries: Entries, notes: &'n Notes<'n>) -> Self {
        Self { notes, path: String::new(), entries, asked: BTreeSet::new() }
    }

    /// The path of a key, or of the section itself where the key is empty.
    pub fn path_of(&self, key: &str) -> String {
        let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let key_shown = if key.chars().all(bare) && key.len() <= 64 { key.to_owned() } else { shown(key) };
        match (self.path.as_str(), key) {
            ("", _) => key_shown,
            (path, "") => path.to_owned(),
            (path, _) => format!("{path}.{key_shown}"),
        }
    }

    pub fn fault(&self, key: &str, message: impl Into<String>) {
        self.notes.faults.borrow_mut().push(Fault { path: self.path_of(key), message: message.into() });
    }

    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    pub fn keys(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    /// Takes an entry out, whatever it is.
    pub fn take(&mut self, key: &str) -> Option<Entry> {
        self.asked.insert(key.to_owned());
        self.entries.remove(key)
    }

    pub fn read<T>(&mut self, key: &str, shape: Shape, convert: impl FnOnce(Value) -> Result<T, String>) -> Option<T> {
        let entry = self.take(key)?;
        let variable = entry.variable().map(str::to_owned);
        let wrong = |actual: &str| Err(format!("must be {}, not {actual}", shape.phrase()));
        let answer = match entry {
            Entry::Table(_) => wrong("a table"),
            Entry::Value(value) if shape.accepts(&value) => convert(value),
            Entry::Value(value) => wrong(&describe(&value)),
            Entry::Variable { text, .. } => match text.parse::<Value>() {
                Ok(value) if shape.accepts(&value) => convert(value),
                _ if shape.accepts(&Value::String(String::new())) => convert(Value::String(text)),
                _ => wrong(&shown(&text)),
            },
        };
        answer.map_err(|message| self.fault(key, from_variable(message, variable.as_deref()))).ok()
    }

    /// A text that `parse` takes.
    pub fn text<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        self.read(key, Shape::Text, |value| parse(value.as_str().unwrap_or_default()))
    }

    /// Like [`Section::text`]; an absent key is a fault that says what it is for.
    pub fn required<T>(&mut self, key: &str, what: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        if !self.has(key) {
            self.asked.insert(key.to_owned());
            self.fault(key, format!("is missing: {what}"));
        }
        self.text(key, parse)
    }

    /// One of some words.
    pub fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        self.text(key, |text| {
            let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
            found.ok_or_else(|| format!("must be {}, not {}", either(words.iter().map(|(word, _)| *word)), shown(text)))
        })
    }

    pub fn whole(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        self.read(key, Shape::Whole, |value| {
            let number = value.as_integer().unwrap_or_default();
            let fitting = u64::try_from(number).ok().filter(|number| range.contains(number));
            fitting.ok_or_else(|| {
                format!("must be a whole number from {} to {}, not {number}", range.start(), range.end())
            })
        })
    }

    pub fn number(&mut self, key: &str, range: RangeInclusive<f64>) -> Option<f64> {
        self.read(key, Shape::Number, |value| {
            let number = match value {
                // Whole numbers that a range can hold lose nothing.
                Value::Integer(whole) => whole as f64,
                other => other.as_float().unwrap_or(f64::NAN),
            };
            let fault = || format!("must be a number from {} to {}, not {number}", range.start(), range.end());
            Some(number).filter(|number| range.contains(number)).ok_or_else(fault)
        })
    }

    pub fn flag(&mut self, key: &str) -> Option<bool> {
        self.read(key, Shape::Flag, |value| Ok(value.as_bool().unwrap_or_default()))
    }

    pub fn duration(&mut self, key: &str, range: RangeInclusive<Duration>) -> Option<Duration> {
        self.read(key, Shape::Duration, |value| parse_duration(value.as_str().unwrap_or_default(), range))
    }

    /// A list of texts; every faulty element is named by its place, counted from 0.
    pub fn list<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<Vec<T>> {
        let values = self.read(key, Shape::List, |value| Ok(value.as_array().cloned().unwrap_or_default()))?;
        let mut list = Vec::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            let parsed = match value.as_str() {
                Some(text) => parse(text),
                None => Err(format!("must be {}, not {}", Shape::Text.phrase(), describe(value))),
            };
            match parsed {
                Ok(parsed) => list.push(parsed),
                Err(message) => {
                    let path = format!("{}[{index}]", self.path_of(key));
                    self.notes.faults.borrow_mut().push(Fault { path, message });
                }
            }
        }
        Some(list)
    }

    /// A table within; an absent one is an empty one.
    pub fn table(&mut self, key: &str) -> Option<Section<'n>> {
        let entries = match self.take(key) {
            None => Entries::new(),
            Some(Entry::Table(entries)) => entries,
            Some(Entry::Value(value)) => {
                // A secret may have lost its key on the way here.
                let actual = if value.is_str() { "a text".into() } else { describe(&value) };
                self.fault(key, format!("must be a table, not {actual}"));
                return None;
            }
            Some(Entry::Variable { name, text }) => match text.parse().map(Entry::of) {
                Ok(Entry::Table(entries)) => entries,
                _ => {
                    self.fault(key, from_variable("must be a table like { key = \"value\" }".into(), Some(&name)));
                    return None;
                }
            },
        };
        Some(self.within(key, entries))
    }

    pub fn within(&self, key: &str, entries: Entries) -> Section<'n> {
        Section { notes: self.notes, path: self.path_of(key), entries, asked: BTreeSet::new() }
    }

    /// Takes a key that is wrong here, and says why.
    pub fn refuse(&mut self, key: &str, why: &str) {
        if let Some(entry) = self.take(key) {
            self.fault(key, from_variable(why.to_owned(), entry.variable()));
        }
    }

    /// What was never asked for is unknown.
    pub fn close(self) {
        for (key, entry) in &self.entries {
            let hint = match nearest(key, &self.asked) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("known here: {}", self.asked.iter().map(String::as_str).collect::<Vec<_>>().join(", ")),
            };
            let message = from_variable(format!("is not a known key; {hint}"), entry.variable());
            // An empty key would be taken for the section itself.
            let path = if key.is_empty() { format!("{} \"\"", self.path) } else { self.path_of(key) };
            self.notes.faults.borrow_mut().push(Fault { path: path.trim_start().to_owned(), message });
        }
    }
}

/// Parses a duration, bounded.
pub(super) fn parse_duration(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text)
        .map_err(|_| format!("must be {}, not {}", Shape::Duration.phrase(), shown(text)))?;
    if range.contains(&parsed) {
        return Ok(parsed);
    }
    let [start, end] = [range.start(), range.end()].map(|bound| humantime::format_duration(*bound));
    Err(format!("must be from {start} to {end}, not {}", shown(text)))
}

/// A text that names something: not empty, of bounded length, printable.
pub(super) fn name(text: &str) -> Result<String, String> {
    const LIMIT: usize = 512;
    crate::model::ids::bounded(text, LIMIT).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

fn describe(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        Value::Datetime(_) => "a date".into(),
        Value::Array(_) => "a list".into(),
        Value::Table(_) => "a table".into(),
    }
}

pub(super) fn from_variable(message: String, variable: Option<&str>) -> String {
    match variable {
        Some(variable) => format!("{message} (set by {variable})"),
        None => message,
    }
}

fn either<'w>(words: impl Iterator<Item = &'w str>) -> String {
    words.map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
}

fn nearest<'a>(key: &str, known: &'a BTreeSet<String>) -> Option<&'a str> {
    const ALIKE: f64 = 0.6;
    let scored =
        known.iter().map(|candidate| (strsim::normalized_damerau_levenshtein(key, candidate), candidate.as_str()));
    scored.filter(|(score, _)| *score > ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}
