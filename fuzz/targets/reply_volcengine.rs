#![no_main]
//! A reply as Volcengine's: only a 200 with an envelope and no error in it is a dismissal.

#[path = "reply.rs"]
mod reply;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use roomsweep::model::secret::Secret;
use roomsweep::model::verdict::Verdict;
use roomsweep::provider::Provider;
use roomsweep::provider::endpoint::Endpoint;
use roomsweep::provider::volcengine::{Action, Keys, Settings, Volcengine};

static CLOUD: LazyLock<Volcengine> = LazyLock::new(|| {
    Volcengine::new(Settings {
        endpoint: Endpoint::parse("https://rtc.volcengineapi.com").expect("an endpoint"),
        region: "cn-north-1".into(),
        action: Action::DismissRoom,
        keys: Keys {
            access_key_id: Secret::new(reply::SECRET),
            secret_access_key: Secret::new(reply::SECRET),
            session_token: None,
        },
        app_ids: Vec::new(),
        gone_codes: Settings::default_gone_codes(),
    })
});

fuzz_target!(|data: &[u8]| {
    let Some(reply) = reply::read(data, ["x-tt-logid", "retry-after"]) else { return };
    let (verdict, id) = CLOUD.classify(&reply);
    reply::check(&verdict, id.as_ref());
    if verdict == Verdict::Dismissed {
        assert_eq!(reply.status, 200);
        let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("a success is JSON");
        assert!(body["ResponseMetadata"].is_object() && body["ResponseMetadata"]["Error"].is_null(), "{body}");
    }
});
