//! What is wrong with a configuration: everything at once, each with its path.

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Dotted, `providers.volcengine.qps`; the file (with line and column) where no key can be named.
    pub path: String,
    /// Reads well behind the path; never holds a secret.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Everything that is wrong, never empty; shown one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub(super) Vec<Fault>);

impl Faults {
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// A text of the user's, quoted and cut, fit for a message. A URL with a password may stand at the wrong key.
pub(super) fn shown(text: &str) -> String {
    const LIMIT: usize = 48;
    if text.contains("://") && text.contains('@') {
        return "a URL with a user name or password".to_owned();
    }
    let cut = &text[..text.floor_char_boundary(LIMIT)];
    if cut.len() < text.len() { format!("{cut:?}…") } else { format!("{cut:?}") }
}
