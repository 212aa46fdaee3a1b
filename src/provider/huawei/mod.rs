//! Huawei Cloud RTC (SparkRTC).

pub mod sign;

use crate::model::ids::AppId;
use crate::model::secret::Secret;
use crate::provider::endpoint::Endpoint;

/// How requests are authenticated.
#[derive(Debug, Clone)]
pub enum Auth {
    AkSk(Keys),
    Token(IamUser),
}

/// An access key, permanent or temporary.
#[derive(Debug, Clone)]
pub struct Keys {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    /// Of temporary keys.
    pub security_token: Option<Secret>,
    pub project_id: Option<String>,
}

/// An IAM user who fetches tokens with a password.
#[derive(Debug, Clone)]
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

#[derive(Debug, Clone)]
pub struct Settings {
    pub endpoint: Endpoint,
    pub auth: Auth,
    /// Allow-list; empty allows all.
    pub app_ids: Vec<AppId>,
}
/// One Huawei account and action.
pub struct Huawei {}

impl Huawei {
    pub fn new(_settings: Settings) -> Self {
        todo!()
    }
}

impl crate::provider::Provider for Huawei {
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
