//! Huawei Cloud RTC (SparkRTC).

mod request;
mod response;
pub mod sign;
mod token;

use std::fmt;

use jiff::Timestamp;

use super::endpoint::Endpoint;
use super::{BuildError, Call, Provider, Reply, Stamp, Token, admit_app};
use crate::model::ids::{AppId, RequestId};
use crate::model::job::DismissJob;
use crate::model::secret::Secret;
use crate::model::verdict::{Fault, Verdict};

/// How requests are authenticated. `Debug` tells only which way: names and IDs come from where secrets come from, and one
/// may stand in the other's place.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth {
    AkSk(Keys),
    Token(IamUser),
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Auth::AkSk(_) => "AkSk(…)",
            Auth::Token(_) => "Token(…)",
        })
    }
}

/// An access key, permanent or temporary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    pub access_key_id: Secret,
    pub secret_access_key: Secret,
    /// Of temporary keys.
    pub security_token: Option<Secret>,
    pub project_id: Option<String>,
}

/// An IAM user who fetches tokens with a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IamUser {
    pub iam_endpoint: Endpoint,
    /// The account that the user belongs to.
    pub domain: String,
    pub user: String,
    pub password: Secret,
    pub project: Project,
}

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Project {
    Id(String),
    Name(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub endpoint: Endpoint,
    pub auth: Auth,
    /// Allow-list; empty allows all.
    pub app_ids: Vec<AppId>,
}

/// One Huawei account.
pub struct Huawei {
    settings: Settings,
}

impl Huawei {
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

impl Provider for Huawei {
    /// The vendor's rule for room IDs; and the same one for application IDs, which share the URL's path with them. It
    /// leaves nothing that a URL library could rewrite, such as `..`, and nothing that the vendor's SDKs sign differently.
    fn admit(&self, job: &DismissJob) -> Result<(), Fault> {
        segment("app_id", job.app_id.as_str())?;
        segment("room_id", job.room_id.as_str())?;
        admit_app(&self.settings.app_ids, job)
    }

    fn build(&self, job: &DismissJob, stamp: &Stamp) -> Result<Call, BuildError> {
        request::build(&self.settings, job, stamp)
    }

    fn classify(&self, reply: &Reply) -> (Verdict, Option<RequestId>) {
        response::classify(reply, &self.settings.auth)
    }

    fn secrets(&self) -> Vec<&Secret> {
        match &self.settings.auth {
            Auth::AkSk(keys) => {
                [&keys.access_key_id, &keys.secret_access_key].into_iter().chain(&keys.security_token).collect()
            }
            Auth::Token(user) => vec![&user.password],
        }
    }

    fn token_call(&self) -> Option<Call> {
        match &self.settings.auth {
            Auth::AkSk(_) => None,
            Auth::Token(user) => Some(token::call(user)),
        }
    }

    fn read_token(&self, reply: &Reply, now: Timestamp) -> Result<Token, Verdict> {
        token::read(reply, now)
    }
}

/// Refuses what is not `[A-Za-z0-9_-]{1,64}`.
fn segment(field: &str, id: &str) -> Result<(), Fault> {
    const LIMIT: usize = 64;
    let refuse = |why: String| Err(Fault::new(format!("invalid_{field}"), format!("{field}: {why}")));
    if !(1..=LIMIT).contains(&id.len()) {
        return refuse(format!("is {} bytes long, Huawei allows 1 to {LIMIT}", id.len()));
    }
    match id.chars().find(|c| !matches!(c, 'A'..='Z' | 'a'..='z' | '0'..='9' | '_' | '-')) {
        Some(c) => refuse(format!("has {c:?}, Huawei allows only A-Z, a-z, 0-9, '_' and '-'")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::testing::job;

    fn huawei(app_ids: &[&str]) -> Huawei {
        let keys = Keys {
            access_key_id: Secret::new("AK"),
            secret_access_key: Secret::new("SK"),
            security_token: None,
            project_id: None,
        };
        Huawei::new(Settings {
            endpoint: Endpoint::parse("https://rtc-api.myhuaweicloud.com").unwrap(),
            auth: Auth::AkSk(keys),
            app_ids: app_ids.iter().map(|id| AppId::parse(*id).unwrap()).collect(),
        })
    }

    #[test]
    fn an_id_that_could_change_the_url_is_refused_before_sending() {
        let check = |app: &str, room: &str, expected: Option<&str>| {
            let refused = huawei(&[]).admit(&job(app, room)).err();
            assert_eq!(refused.map(|fault| fault.code).as_deref(), expected, "{app} {room}");
        };
        check("A", "room-1_A", None);
        check("A", &"r".repeat(64), None);
        check("A", &"r".repeat(65), Some("invalid_room_id"));
        for id in ["..", ".", "%2e%2e", "a/b", "a.b", "a b", "房", "~", "?", "#", "a%"] {
            check("A", id, Some("invalid_room_id"));
            check(id, "R", Some("invalid_app_id"));
        }
    }

    #[test]
    fn a_refusal_names_field_and_fault() {
        let refused = |room: &str| huawei(&[]).admit(&job("A", room)).unwrap_err().message;
        assert_eq!(refused("a/b"), "room_id: has '/', Huawei allows only A-Z, a-z, 0-9, '_' and '-'");
        assert_eq!(refused(&"r".repeat(65)), "room_id: is 65 bytes long, Huawei allows 1 to 64");
    }

    #[test]
    fn only_listed_applications_are_admitted() {
        assert!(huawei(&["A", "B"]).admit(&job("B", "R")).is_ok());
        assert_eq!(huawei(&["A", "B"]).admit(&job("C", "R")).unwrap_err().code, "app_not_allowed");
    }

    #[test]
    fn who_signs_needs_no_token() {
        assert!(huawei(&[]).token_call().is_none());
    }
}
