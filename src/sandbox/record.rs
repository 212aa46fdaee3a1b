//! The words in which the ledger speaks.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cloud {
    Volcengine,
    Huawei,
    /// Huawei's token service; not counted as Huawei.
    Iam,
}

/// What is asked for, by the vendors' own names; each has a quota of its own, token calls none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Action {
    DismissRoom,
    BanRoomUser,
    RemoveRoom,
    CreateToken,
}

impl Action {
    pub fn cloud(self) -> Cloud {
        match self {
            Action::DismissRoom | Action::BanRoomUser => Cloud::Volcengine,
            Action::RemoveRoom => Cloud::Huawei,
            Action::CreateToken => Cloud::Iam,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Action::DismissRoom => "DismissRoom",
            Action::BanRoomUser => "BanRoomUser",
            Action::RemoveRoom => "RemoveRoom",
            Action::CreateToken => "CreateToken",
        }
    }
}

/// What the cloud made of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The dismissal was accepted, whether or not the client waited for the answer.
    Accepted,
    /// A token was issued.
    Token,
    /// Signature, key, date, token or password are really wrong.
    Refused,
    /// Over the quota, or said to be.
    Throttled,
    /// A bad or missing parameter.
    Rejected,
    Gone,
    /// The application belongs to another account.
    Foreign,
    /// A server error.
    Failed,
    #[serde(rename = "error_in_200")]
    ErrorIn200,
    Garbage,
    /// A fault said that the credentials are wrong; they were not.
    Unauthorized,
    /// No such action, version, method or path.
    Misrouted,
    Hung,
    Reset,
    Closed,
    /// The client is still sending its request, or left before it was whole, or sends a body over 1 MiB.
    Incomplete,
}

/// One request. `fault` names what made the answer other than it would have been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Counts requests from 1 since the sandbox started.
    pub number: u64,
    /// When its head was read, in microseconds.
    pub at: Timestamp,
    /// The same since the sandbox started, by a clock that never jumps.
    pub t_us: u64,
    pub cloud: Cloud,
    pub action: Option<Action>,
    pub app_id: Option<String>,
    pub room_id: Option<String>,
    pub kind: Kind,
    /// None where no answer was meant.
    pub status: Option<u16>,
    pub fault: Option<String>,
    pub request_id: String,
    /// Counts connections from 1.
    pub connection: u64,
    /// Whether an answer was given; not if the client left first.
    pub answered: bool,
}

impl Record {
    /// JSON, ended by a line feed.
    pub fn to_line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("a record is made of plain values");
        line.push('\n');
        line
    }
}

/// What one room saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoomCount {
    pub cloud: Cloud,
    pub app_id: String,
    pub room_id: String,
    /// All that named this room.
    pub requests: u64,
    /// Those that were signed well, well formed and within the quota: what counted faults count.
    pub regular: u64,
    pub accepted: u64,
    pub throttled: u64,
}

impl RoomCount {
    pub(super) fn new(cloud: Cloud, app: &str, room: &str) -> Self {
        let (app_id, room_id) = (app.to_owned(), room.to_owned());
        Self { cloud, app_id, room_id, requests: 0, regular: 0, accepted: 0, throttled: 0 }
    }
}

/// An ID in the cloud's own shape. Unique within a sandbox by its number, between two by the time of their start.
pub(super) fn request_id(cloud: Cloud, number: u64, now: Timestamp, since: Timestamp) -> String {
    let start = since.as_microsecond() as u64;
    match cloud {
        Cloud::Volcengine => {
            let date = now.to_zoned(TimeZone::UTC).strftime("%Y%m%d%H%M%S").to_string();
            format!("{date}{number:012}{:06X}", start & 0xff_ffff)
        }
        Cloud::Huawei | Cloud::Iam => format!("{start:016x}{number:016x}"),
    }
}
