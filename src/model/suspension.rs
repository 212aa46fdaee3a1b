//! Why a provider is not being sent to.

use std::fmt;

/// The reason for a suspension, as metrics and logs name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SuspensionReason {
    /// The provider fails again and again.
    Outage,
    /// Our credentials were refused.
    Credentials,
    /// Wrong endpoint, action or version.
    Configuration,
    /// The results queue is full.
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
