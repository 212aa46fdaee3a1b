//! Secrets: written down, or better: in a variable or a file.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml::Value;

use super::reader::{self, Section, from_variable};
use super::source::Entry;
use crate::model::secret::Secret;

/// Longer than any key, token or password; a bigger file is the wrong file.
const MAX_BYTES: u64 = 64 * 1024;
const WAYS: &str = "{ env = \"NAME\" } or { file = \"path\" }";

/// Where a secret is looked for whose key is absent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fallback {
    /// In this variable; a fault if that is not set either.
    Variable(&'static str),
    /// In this variable, and it may be absent.
    Perhaps(&'static str),
    /// Nowhere: the key must be there.
    None,
}

/// A secret, and the variable it came from, if it did.
pub(super) struct Found {
    pub secret: Secret,
    pub variable: Option<String>,
}

impl Found {
    pub fn into_text(self) -> String {
        self.secret.expose().to_owned()
    }
}

impl Section<'_> {
    /// Reads a secret; no fault ever shows it.
    pub fn secret(&mut self, key: &str, fallback: Fallback) -> Option<Found> {
        let Some(entry) = self.take(key) else {
            return self.absent(key, fallback);
        };
        let set_by = entry.variable().map(str::to_owned);
        let entry = match entry {
            Entry::Variable { text, .. } => match text.parse::<Value>() {
                Ok(value @ (Value::String(_) | Value::Table(_))) => Entry::of(value),
                _ => Entry::Value(Value::String(text)),
            },
            other => other,
        };
        let literal = match entry {
            Entry::Table(entries) => return reference(self.within(key, entries)),
            Entry::Value(Value::String(text)) => usable(text),
            Entry::Value(_) | Entry::Variable { .. } => Err(format!("must be a text in quotes, {WAYS}")),
        };
        match literal {
            Ok(secret) => Some(Found { secret, variable: set_by }),
            Err(message) => {
                self.fault(key, from_variable(message, set_by.as_deref()));
                None
            }
        }
    }

    /// Like [`Section::secret`], for a key that may be absent and is looked for nowhere else.
    pub fn secret_or_absent(&mut self, key: &str) -> Option<Found> {
        if self.has(key) {
            return self.secret(key, Fallback::None);
        }
        self.take(key);
        None
    }

    fn absent(&self, key: &str, fallback: Fallback) -> Option<Found> {
        let name = match fallback {
            Fallback::Variable(name) | Fallback::Perhaps(name) => name,
            Fallback::None => {
                self.fault(key, format!("is missing: give {WAYS}"));
                return None;
            }
        };
        match (self.notes.env.filled(name), fallback) {
            (Some(_), _) => noted(self, key, variable(self, name)),
            (None, Fallback::Variable(_)) => {
                self.fault(key, format!("is missing: set the variable {name}, or give {WAYS}"));
                None
            }
            (None, Fallback::Perhaps(_) | Fallback::None) => None,
        }
    }
}

/// `{ env = "NAME" }` or `{ file = "path" }`.
fn reference(mut table: Section<'_>) -> Option<Found> {
    let places = (table.has("env"), table.has("file"));
    let name = table.text("env", variable_name);
    let path = table.text("file", reader::name);
    let found = match (places, name, path) {
        ((true, false), Some(name), _) => noted(&table, "", variable(&table, &name)),
        ((false, true), _, Some(path)) => noted(&table, "", file(&table, Path::new(&path))),
        ((true, false) | (false, true), _, _) => None,
        ((true, true) | (false, false), _, _) => {
            table.fault("", format!("must be either {WAYS}"));
            None
        }
    };
    table.close();
    found
}

fn noted(section: &Section<'_>, key: &str, found: Result<Found, String>) -> Option<Found> {
    found.map_err(|message| section.fault(key, message)).ok()
}

fn variable(section: &Section<'_>, name: &str) -> Result<Found, String> {
    let text = section.notes.env.get(name).ok_or_else(|| format!("the variable {name} is not set"))?;
    let secret = usable(text.to_owned()).map_err(|message| format!("the variable {name} {message}"))?;
    Ok(Found { secret, variable: Some(name.to_owned()) })
}

fn file(section: &Section<'_>, path: &Path) -> Result<Found, String> {
    section.notes.files.borrow_mut().push(PathBuf::from(path));
    let secret = contents(path).and_then(usable).map_err(|message| format!("the file {} {message}", path.display()))?;
    Ok(Found { secret, variable: None })
}

/// The text of a file, without the newline that editors put at its end.
fn contents(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("is over {MAX_BYTES} bytes long: not a secret"));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

fn usable(text: String) -> Result<Secret, String> {
    if text.is_empty() {
        return Err("is empty".into());
    }
    if text.chars().any(char::is_control) {
        return Err("holds a line break or another control character".into());
    }
    Ok(Secret::new(text))
}

fn variable_name(text: &str) -> Result<String, String> {
    let fits = |(index, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || (index > 0 && c.is_ascii_digit());
    if text.is_empty() || text.len() > 128 || !text.chars().enumerate().all(fits) {
        // A secret may stand here by mistake: it is not shown.
        return Err("must be the name of an environment variable, not its value".into());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::config::environment::Environment;
    use crate::app::config::reader::Notes;
    use crate::app::config::source::{Document, entries};

    fn read(text: &str, fallback: Fallback) -> Result<Option<String>, String> {
        let env = Environment::from([("SET", "from variable"), ("EMPTY", ""), ("ROOMSWEEP__OTHER", "x")]);
        let document = Document { name: "f".into(), text: text.into() };
        let mut entries = entries(Some(&document), &env).unwrap();
        entries.remove("other");
        let notes = Notes::new(&env);
        let mut section = Section::root(entries, &notes);
        let found = section.secret("key", fallback).map(Found::into_text);
        section.close();
        let faults: Vec<String> = notes.faults.borrow().iter().map(ToString::to_string).collect();
        if faults.is_empty() { Ok(found) } else { Err(faults.join("; ")) }
    }

    #[test]
    fn a_secret_is_found_where_it_is_said_to_be() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let check = |content: &str, expected: &str| {
            std::fs::write(&path, content).unwrap();
            let text = format!("key = {{ file = '{}' }}", path.display());
            assert_eq!(read(&text, Fallback::None), Ok(Some(expected.into())));
        };
        check("from file", "from file");
        check("from file\n", "from file");
        check("from file\r\n", "from file");
        check(" inner \n", " inner ");
        assert_eq!(read("key = 'literal'", Fallback::None), Ok(Some("literal".into())));
        assert_eq!(read("key = { env = 'SET' }", Fallback::None), Ok(Some("from variable".into())));
        assert_eq!(read("", Fallback::Variable("SET")), Ok(Some("from variable".into())));
        assert_eq!(read("", Fallback::Perhaps("UNSET")), Ok(None));
        assert_eq!(read("", Fallback::Perhaps("EMPTY")), Ok(None));
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let check = |text: &str, fallback: Fallback, expected: &str| {
            let message = read(text, fallback).expect_err(text);
            assert!(message.starts_with(expected), "{text}: {message}");
        };
        check("key = ''", Fallback::None, "key: is empty");
        check("key = 5", Fallback::None, "key: must be a text in quotes, { env");
        check("key = 'a\tb'", Fallback::None, "key: holds a line break");
        check("key = {}", Fallback::None, "key: must be either { env");
        check("key = { env = 'SET', file = 'x' }", Fallback::None, "key: must be either { env");
        check("key = { env = 'UNSET' }", Fallback::None, "key: the variable UNSET is not set");
        check("key = { env = 'EMPTY' }", Fallback::None, "key: the variable EMPTY is empty");
        check("key = { env = 'not a name' }", Fallback::None, "key.env: must be the name of an environment variable");
        check("key = { env = 5 }", Fallback::None, "key.env: must be a text in quotes, not 5");
        check("key = { evn = 'SET' }", Fallback::None, "key: must be either { env");
        check("key = { file = '/none/such' }", Fallback::None, "key: the file /none/such cannot be read: No such file");
        check("key = { file = '/dev/zero' }", Fallback::None, "key: the file /dev/zero is over 65536 bytes long");
        check("", Fallback::None, "key: is missing: give { env");
        check("", Fallback::Variable("UNSET"), "key: is missing: set the variable UNSET, or give");
    }
}
