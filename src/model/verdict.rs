//! What one provider reply means for us, whatever stood on the wire.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest error message that is kept, in bytes.
pub const MAX_MESSAGE: usize = 512;

/// A code and a message as the provider (or our own transport) gave them; the message is cut at [`MAX_MESSAGE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "AsWritten")]
pub struct Fault {
    pub code: String,
    pub message: String,
}

/// A fault before it is cut: what is read comes from headers that any producer may write.
#[derive(Deserialize)]
#[serde(rename = "Fault")]
struct AsWritten {
    code: String,
    message: String,
}

impl From<AsWritten> for Fault {
    fn from(written: AsWritten) -> Self {
        Self::new(written.code, written.message)
    }
}

impl Fault {
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        let cut = |mut text: String, limit: usize| {
            if text.len() > limit {
                text.truncate(text.floor_char_boundary(limit));
            }
            text
        };
        Self { code: cut(code.into(), 128), message: cut(message.into(), MAX_MESSAGE) }
    }
}

/// What may help against refused credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cure {
    /// Only the operator: another key, another permission, a paid bill.
    Operator,
    /// A new signature or a new token: what we sent had gone stale.
    FreshStamp,
}

/// The meaning of one reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The provider accepted the dismissal.
    Dismissed,
    /// The provider says that there is no such room.
    AlreadyGone(Fault),
    /// Over the provider's quota; `retry_after` is what it asked us to wait.
    Throttled { retry_after: Option<Duration>, fault: Fault },
    /// May succeed later.
    Transient(Fault),
    /// Our credentials were refused: the provider's state, not the job's fault.
    Unauthorized { cure: Cure, fault: Fault },
    /// Wrong endpoint, action or version: our configuration, not the job's fault.
    Misconfigured(Fault),
    /// This job will never succeed.
    Rejected(Fault),
}

impl Verdict {
    pub fn label(&self) -> VerdictLabel {
        match self {
            Verdict::Dismissed => VerdictLabel::Dismissed,
            Verdict::AlreadyGone(_) => VerdictLabel::AlreadyGone,
            Verdict::Throttled { .. } => VerdictLabel::Throttled,
            Verdict::Transient(_) => VerdictLabel::Transient,
            Verdict::Unauthorized { .. } => VerdictLabel::Unauthorized,
            Verdict::Misconfigured(_) => VerdictLabel::Misconfigured,
            Verdict::Rejected(_) => VerdictLabel::Rejected,
        }
    }

    /// The same with another fault in it; a dismissal has none.
    pub fn map_fault(self, change: impl FnOnce(Fault) -> Fault) -> Self {
        match self {
            Verdict::Dismissed => Verdict::Dismissed,
            Verdict::AlreadyGone(fault) => Verdict::AlreadyGone(change(fault)),
            Verdict::Throttled { retry_after, fault } => Verdict::Throttled { retry_after, fault: change(fault) },
            Verdict::Transient(fault) => Verdict::Transient(change(fault)),
            Verdict::Unauthorized { cure, fault } => Verdict::Unauthorized { cure, fault: change(fault) },
            Verdict::Misconfigured(fault) => Verdict::Misconfigured(change(fault)),
            Verdict::Rejected(fault) => Verdict::Rejected(change(fault)),
        }
    }

    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Verdict::Dismissed => None,
            Verdict::AlreadyGone(fault)
            | Verdict::Throttled { fault, .. }
            | Verdict::Transient(fault)
            | Verdict::Unauthorized { fault, .. }
            | Verdict::Misconfigured(fault)
            | Verdict::Rejected(fault) => Some(fault),
        }
    }
}

/// The name of a verdict, as attempt logs and metrics carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictLabel {
    Dismissed,
    AlreadyGone,
    Throttled,
    Transient,
    Unauthorized,
    Misconfigured,
    Rejected,
}

impl VerdictLabel {
    pub const ALL: [VerdictLabel; 7] = [
        VerdictLabel::Dismissed,
        VerdictLabel::AlreadyGone,
        VerdictLabel::Throttled,
        VerdictLabel::Transient,
        VerdictLabel::Unauthorized,
        VerdictLabel::Misconfigured,
        VerdictLabel::Rejected,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            VerdictLabel::Dismissed => "dismissed",
            VerdictLabel::AlreadyGone => "already_gone",
            VerdictLabel::Throttled => "throttled",
            VerdictLabel::Transient => "transient",
            VerdictLabel::Unauthorized => "unauthorized",
            VerdictLabel::Misconfigured => "misconfigured",
            VerdictLabel::Rejected => "rejected",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let fault = Fault::new("Code", "é".repeat(400));
        assert!(fault.message.len() <= MAX_MESSAGE);
        assert!(fault.message.chars().all(|c| c == 'é'));
    }

    #[test]
    fn what_is_read_is_cut_as_well() {
        let written = serde_json::json!({ "code": "c".repeat(200), "message": "é".repeat(400) });
        let fault: Fault = serde_json::from_value(written).unwrap();
        assert_eq!((fault.code.len(), fault.message.len()), (128, MAX_MESSAGE));
    }

    #[test]
    fn a_label_serialises_as_its_name() {
        for label in VerdictLabel::ALL {
            assert_eq!(serde_json::to_value(label).unwrap(), label.as_str());
        }
    }
}
