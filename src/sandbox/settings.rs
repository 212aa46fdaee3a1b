//! What a sandbox is told before it starts.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::secret::Secret;

use super::rules::Rules;

/// Everything that can be set. The default needs nothing: fixed keys, the vendors' quotas, no faults.
#[derive(Debug, Clone)]
pub struct Settings {
    pub volcengine: Keys,
    pub huawei: Keys,
    /// What `X-Project-Id` must say at Huawei.
    pub project_id: String,
    pub iam: IamUser,
    pub quotas: Quotas,
    pub throttling: Throttling,
    /// Huawei locks a key after bad signatures; None never does.
    pub lockout: Option<Lockout>,
    /// How long every cloud waits before it answers.
    pub latency: Duration,
    /// Whether a connection serves more than one request.
    pub reuse: Reuse,
    /// The faults to begin with.
    pub rules: Rules,
    /// Where one JSON line a request is appended as soon as the request is over.
    pub log: Option<PathBuf>,
    /// How many requests, and how many rooms, are remembered one by one; totals are never cut.
    pub remember: usize,
}

/// An access key. With a session token, requests must carry it (`X-Security-Token`); without one, they must not.
#[derive(Debug, Clone)]
pub struct Keys {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    pub session_token: Option<Secret>,
}

/// Who may fetch tokens, and how long they last.
#[derive(Debug, Clone)]
pub struct IamUser {
    pub domain: String,
    pub user: String,
    pub password: Secret,
    pub token_ttl: Duration,
}

/// At most so many requests in any closed second, as the sandbox receives them; None is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    pub dismiss_room: Option<u32>,
    /// Both versions together.
    pub ban_room_user: Option<u32>,
    pub huawei: Option<u32>,
}

/// What Volcengine says over its quota; which of these it says is not documented, and all were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VolcengineThrottle {
    /// HTTP 429, `FlowLimitExceeded`.
    #[default]
    Status429,
    /// HTTP 400, `AccountFlowLimitExceeded`.
    Status400,
    /// HTTP 200 with `AccountFlowLimitExceeded` inside.
    Inside200,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Throttling {
    pub volcengine: VolcengineThrottle,
    /// Sent along by both clouds, rounded up to whole seconds; the vendors document none.
    pub retry_after: Option<Duration>,
}

/// What becomes of a connection after its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reuse {
    #[default]
    Kept,
    Closed,
}

/// So many bad signatures in a row lock the key for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lockout {
    pub after: u32,
    pub lasts: Duration,
}

impl Default for Keys {
    /// `sandbox-ak`, `sandbox-sk`, no session token.
    fn default() -> Self {
        Self {
            access_key_id: "sandbox-ak".to_owned(),
            secret_access_key: Secret::new("sandbox-sk"),
            session_token: None,
        }
    }
}

impl Default for IamUser {
    /// `sandbox-user` of `sandbox-domain` with `sandbox-password`; tokens for a day, as the vendor's.
    fn default() -> Self {
        Self {
            domain: "sandbox-domain".to_owned(),
            user: "sandbox-user".to_owned(),
            password: Secret::new("sandbox-password"),
            token_ttl: Duration::from_secs(24 * 3600),
        }
    }
}

impl Default for Quotas {
    /// The vendor's figures for Volcengine; Huawei documents none, so what roomsweep assumes.
    fn default() -> Self {
        Self { dismiss_room: Some(60), ban_room_user: Some(40), huawei: Some(20) }
    }
}

impl Default for Lockout {
    fn default() -> Self {
        Self { after: 10, lasts: Duration::from_secs(60) }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            volcengine: Keys::default(),
            huawei: Keys::default(),
            project_id: "sandbox-project".to_owned(),
            iam: IamUser::default(),
            quotas: Quotas::default(),
            throttling: Throttling::default(),
            lockout: Some(Lockout::default()),
            latency: Duration::ZERO,
            reuse: Reuse::default(),
            rules: Rules::default(),
            log: None,
            remember: 200_000,
        }
    }
}
