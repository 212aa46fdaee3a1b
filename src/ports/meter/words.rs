//! The words of the metrics that no other floor has.

/// Where a job of the backlog is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BacklogState {
    /// In a queue.
    Ready,
    /// With a worker, unacknowledged.
    InFlight,
}

impl BacklogState {
    pub const ALL: [BacklogState; 2] = [BacklogState::Ready, BacklogState::InFlight];

    pub fn as_str(self) -> &'static str {
        match self {
            BacklogState::Ready => "ready",
            BacklogState::InFlight => "in_flight",
        }
    }
}

/// What a job's ID was found to be in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Found {
    /// It has a result, with which its job was answered.
    Answered,
    /// It has none: its job was sent.
    Checked,
    /// The ledger was away: its job was sent.
    Unchecked,
}

impl Found {
    pub const ALL: [Found; 3] = [Found::Answered, Found::Checked, Found::Unchecked];

    pub fn as_str(self) -> &'static str {
        match self {
            Found::Answered => "answered",
            Found::Checked => "checked",
            Found::Unchecked => "unchecked",
        }
    }
}

/// Whether the queue can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueLink {
    Up,
    Down,
}
