#![no_main]
//! A reply as Huawei's, to a dismissal and to a token call: only a 202 without an error code is a dismissal, and what
//! is wrong with a token call is never a job's fault.

#[path = "reply.rs"]
mod reply;

use std::sync::LazyLock;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use roomsweep::model::secret::Secret;
use roomsweep::model::verdict::Verdict;
use roomsweep::provider::Provider;
use roomsweep::provider::endpoint::Endpoint;
use roomsweep::provider::huawei::{Auth, Huawei, IamUser, Project, Settings};

static CLOUD: LazyLock<Huawei> = LazyLock::new(|| {
    let endpoint = || Endpoint::parse("https://iam.myhuaweicloud.com").expect("an endpoint");
    let user = IamUser {
        iam_endpoint: endpoint(),
        domain: "D".into(),
        user: "U".into(),
        password: Secret::new(reply::SECRET),
        project: Project::Name("P".into()),
    };
    Huawei::new(Settings { endpoint: endpoint(), auth: Auth::Token(user), app_ids: Vec::new() })
});

fuzz_target!(|data: &[u8]| {
    let Some(reply) = reply::read(data, ["x-request-id", "x-subject-token"]) else { return };
    let (verdict, id) = CLOUD.classify(&reply);
    reply::check(&verdict, id.as_ref());
    if verdict == Verdict::Dismissed {
        assert_eq!(reply.status, 202);
    }

    let now = Timestamp::from_second(1_705_307_445).expect("a time");
    match CLOUD.read_token(&reply, now) {
        Ok(token) => {
            assert_eq!(reply.status, 201);
            assert!(!token.value.expose().is_empty() && token.refresh_at > now);
        }
        Err(verdict) => {
            reply::check(&verdict, None);
            let is_a_jobs = matches!(verdict, Verdict::Rejected(_) | Verdict::AlreadyGone(_) | Verdict::Dismissed);
            assert!(!is_a_jobs, "{verdict:?}");
        }
    }
});
