//! Volcengine RTC, and BytePlus RTC, which speaks the same dialect.

pub mod sign;

use crate::model::ids::AppId;
use crate::model::secret::Secret;
use crate::provider::endpoint::Endpoint;

/// How a room is closed. Clients see `-1011` after [`Action::DismissRoom`], `-1006` after [`Action::BanRoomUser`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Version 2020-12-01; 60 requests a second.
    DismissRoom,
    /// 40 requests a second. `forbidden_interval` in seconds: 0 (may rejoin at once) or 10 to 604800.
    BanRoomUser { version: BanVersion, forbidden_interval: u32 },
}

/// The versions of `BanRoomUser`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BanVersion {
    V20201201,
    V20231101,
}

/// The keys of one account.
#[derive(Debug, Clone)]
pub struct Keys {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    /// Of temporary (STS) keys.
    pub session_token: Option<Secret>,
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub endpoint: Endpoint,
    pub region: String,
    pub action: Action,
    pub keys: Keys,
    /// Allow-list; empty allows all.
    pub app_ids: Vec<AppId>,
    /// Error codes that mean that there is no such room.
    pub gone_codes: Vec<String>,
}

impl Settings {
    /// Codes seen for an absent room; the vendor documents none.
    pub fn default_gone_codes() -> Vec<String> {
        ["RoomNotExist", "InvalidParameter.RoomNotExist", "InvalidParameter.NotExistRoom"].map(String::from).to_vec()
    }
}

/// One Volcengine account and action.
pub struct Volcengine {}

impl Volcengine {
    pub fn new(_settings: Settings) -> Self {
        todo!()
    }
}

impl crate::provider::Provider for Volcengine {
    fn admit(&self, _job: &crate::model::job::DismissJob) -> Result<(), crate::model::verdict::Fault> {
        todo!()
    }
    fn build(
        &self,
        _job: &crate::model::job::DismissJob,
        _stamp: &crate::provider::Stamp,
    ) -> Result<crate::provider::Call, crate::provider::BuildError> {
        todo!()
    }
    fn classify(
        &self,
        _reply: &crate::provider::Reply,
    ) -> (crate::model::verdict::Verdict, Option<crate::model::ids::RequestId>) {
        todo!()
    }
}
