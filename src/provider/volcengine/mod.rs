//! Volcengine RTC, and BytePlus RTC, which speaks the same dialect.

mod request;
mod response;
pub mod sign;

use super::endpoint::Endpoint;
use super::{BuildError, Call, Provider, Reply, Stamp, admit_app};
use crate::model::ids::{AppId, RequestId};
use crate::model::job::DismissJob;
use crate::model::secret::Secret;
use crate::model::verdict::{Fault, Verdict};

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    pub access_key_id: Secret,
    pub secret_access_key: Secret,
    /// Of temporary (STS) keys.
    pub session_token: Option<Secret>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
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
pub struct Volcengine {
    settings: Settings,
}

impl Volcengine {
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

impl Provider for Volcengine {
    /// Any room ID: it travels inside JSON, and the vendor documents no rule for it here.
    fn admit(&self, job: &DismissJob) -> Result<(), Fault> {
        admit_app(&self.settings.app_ids, job)
    }

    fn build(&self, job: &DismissJob, stamp: &Stamp) -> Result<Call, BuildError> {
        request::build(&self.settings, job, stamp.now)
    }

    fn classify(&self, reply: &Reply) -> (Verdict, Option<RequestId>) {
        response::classify(reply, &self.settings.gone_codes)
    }

    fn secrets(&self) -> Vec<&Secret> {
        let keys = &self.settings.keys;
        [&keys.access_key_id, &keys.secret_access_key].into_iter().chain(&keys.session_token).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::testing::job;

    fn volcengine(app_ids: &[&str]) -> Volcengine {
        Volcengine::new(Settings {
            endpoint: Endpoint::parse("https://rtc.volcengineapi.com").unwrap(),
            region: "cn-north-1".into(),
            action: Action::DismissRoom,
            keys: Keys { access_key_id: Secret::new("AK"), secret_access_key: Secret::new("SK"), session_token: None },
            app_ids: app_ids.iter().map(|id| AppId::parse(*id).unwrap()).collect(),
            gone_codes: Settings::default_gone_codes(),
        })
    }

    #[test]
    fn any_room_is_admitted_of_listed_applications() {
        for room in ["room", "..", "a/b", "房 间", "\""] {
            assert!(volcengine(&[]).admit(&job("any", room)).is_ok());
            assert!(volcengine(&["A", "B"]).admit(&job("B", room)).is_ok());
        }
        assert_eq!(volcengine(&["A", "B"]).admit(&job("C", "R")).unwrap_err().code, "app_not_allowed");
    }
}
