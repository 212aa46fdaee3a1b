//! The environment as a value.

use std::collections::BTreeMap;

/// The environment variables, read once; `Debug` shows their names only.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process; one that is not UTF-8 counts as not set.
    pub fn of_process() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
        let variables = std::env::vars_os();
        variables.filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?))).collect()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Like [`Environment::get`], but an empty variable counts as not set, as compose files leave them.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|text| !text.is_empty())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        variables.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_of_the_process_are_seen_and_not_shown() {
        let path = Environment::of_process().get("PATH").unwrap().to_owned();
        assert!(!path.is_empty());
        let shown = format!("{:?}", Environment::from([("NAME", "hunter2"), ("EMPTY", "")]));
        assert!(shown.contains("NAME") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn an_empty_variable_is_not_filled() {
        let env = Environment::from([("EMPTY", "")]);
        assert_eq!((env.get("EMPTY"), env.filled("EMPTY"), env.get("NONE")), (Some(""), None, None));
    }
}
