//! Identifiers: parsed once at the border, bounded, never empty.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not a valid identifier; reads well behind the name of its field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("must not be empty")]
    Empty,
    #[error("is {actual} bytes long, at most {limit} are allowed")]
    TooLong { actual: usize, limit: usize },
    #[error("contains the control character U+{0:04X}")]
    Control(u32),
    #[error("may hold only the characters a-z, 0-9, '_' and '-', but has {0:?}")]
    Alphabet(char),
}

/// Non-empty, at most `limit` bytes, no control characters: the rule for every free text that names something.
pub fn bounded(text: &str, limit: usize) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    short(text, limit)
}

/// Like [`bounded`], but may be empty.
pub fn short(text: &str, limit: usize) -> Result<(), IdError> {
    if text.len() > limit {
        return Err(IdError::TooLong { actual: text.len(), limit });
    }
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(IdError::Control(u32::from(c))),
        None => Ok(()),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(String);

        impl $name {
            pub fn parse(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                let check: fn(&str) -> Result<(), IdError> = $check;
                check(&text)?;
                Ok(Self(text))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// Names one job; 1 to 128 bytes, no control characters.
    JobId,
    |t| bounded(t, 128)
);
id!(
    /// Groups jobs for progress and cancel; 1 to 128 bytes, no control characters.
    BatchId,
    |t| bounded(t, 128)
);
id!(
    /// The application at the provider; 1 to 256 bytes, no control characters.
    AppId,
    |t| bounded(t, 256)
);
id!(
    /// The room; 1 to 256 bytes, no control characters. What a provider further forbids is its own matter.
    RoomId,
    |t| bounded(t, 256)
);
id!(
    /// The name of a configured provider: `[a-z0-9_-]{1,64}`.
    ProviderName,
    |t| {
        bounded(t, 64)?;
        match t.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '_' | '-')) {
            Some(c) => Err(IdError::Alphabet(c)),
            None => Ok(()),
        }
    }
);
id!(
    /// The provider's own name for one request; 1 to 256 bytes, no control characters.
    RequestId,
    |t| bounded(t, 256)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_name_is_lower_case_and_short() {
        let check = |text: &str, expected: Result<(), IdError>| {
            assert_eq!(ProviderName::parse(text).map(|_| ()), expected, "{text:?}");
        };
        check("volcengine", Ok(()));
        check("huawei-2_eu", Ok(()));
        check("", Err(IdError::Empty));
        check("Volc", Err(IdError::Alphabet('V')));
        check("a.b", Err(IdError::Alphabet('.')));
        check(&"x".repeat(65), Err(IdError::TooLong { actual: 65, limit: 64 }));
    }

    #[test]
    fn a_room_id_counts_bytes_and_refuses_control_characters() {
        assert!(RoomId::parse("房".repeat(85)).is_ok());
        assert_eq!(RoomId::parse("房".repeat(86)), Err(IdError::TooLong { actual: 258, limit: 256 }));
        assert_eq!(RoomId::parse("a\u{7f}"), Err(IdError::Control(0x7f)));
        assert_eq!(RoomId::parse("a\nb"), Err(IdError::Control(0x0a)));
    }
}
