//! Why nothing is sent to a provider for the time being.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What holds a whole provider up; its jobs stay queued and lose no attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuspensionReason {
    /// Too many failures in a row.
    Outage,
    /// It refused our credentials.
    Credentials,
    /// It does not know our endpoint, action or version.
    Configuration,
    /// Results cannot be published: their queue is full.
    Results,
    /// An operator asked for it.
    Paused,
}

impl SuspensionReason {
    pub const ALL: [SuspensionReason; 5] = [
        SuspensionReason::Outage,
        SuspensionReason::Credentials,
        SuspensionReason::Configuration,
        SuspensionReason::Results,
        SuspensionReason::Paused,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            SuspensionReason::Outage => "outage",
            SuspensionReason::Credentials => "credentials",
            SuspensionReason::Configuration => "configuration",
            SuspensionReason::Results => "results",
            SuspensionReason::Paused => "paused",
        }
    }
}

impl fmt::Display for SuspensionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_serialises_as_its_name() {
        for reason in SuspensionReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }
}
