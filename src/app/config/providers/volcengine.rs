//! The keys of `kind = "volcengine"`

use std::time::Duration;

use toml::Value;

use super::{Account, app_ids, endpoint, plain_http};
use crate::app::config::fault::shown;
use crate::app::config::reader::{Section, Shape, name, parse_duration};
use crate::app::config::secret::{Fallback, Found};
use crate::provider::catalog::ProviderSettings;
use crate::provider::volcengine::{Action, BanVersion, Keys, Settings};

const ACCESS_KEY: &str = "VOLC_ACCESSKEY";
const VERSION_DISMISS: &str = "2020-12-01";

pub(super) fn read(section: &mut Section<'_>) -> Option<Account> {
    let plain = plain_http(section);
    let endpoint = endpoint(section, "endpoint", "https://rtc.volcengineapi.com", plain);
    let region = section.text("region", region).unwrap_or_else(|| "cn-north-1".to_owned());
    let action = action(section);
    let keys = keys(section);
    let app_ids = app_ids(section);
    let gone_codes = section.list("gone_codes", name).unwrap_or_else(Settings::default_gone_codes);
    let action = action?;
    let qps = match action {
        Action::DismissRoom => 60,
        Action::BanRoomUser { .. } => 40,
    };
    let settings = Settings { endpoint: endpoint?, region, action, keys: keys?, app_ids, gone_codes };
    Some(Account { settings: ProviderSettings::Volcengine(settings), qps })
}

#[derive(Clone, Copy)]
enum ActionName {
    DismissRoom,
    BanRoomUser,
}

fn action(section: &mut Section<'_>) -> Option<Action> {
    let given = section.has("action");
    let words = [("dismiss_room", ActionName::DismissRoom), ("ban_room_user", ActionName::BanRoomUser)];
    let action = section.word("action", &words).or((!given).then_some(ActionName::DismissRoom));
    match action {
        Some(ActionName::DismissRoom) => {
            section.text("version", |text| match text {
                VERSION_DISMISS => Ok(()),
                _ => Err(format!(
                    "must be \"{VERSION_DISMISS}\", the only one that has DismissRoom, not {}",
                    shown(text)
                )),
            });
            section.refuse("forbidden_interval", "goes only with action = \"ban_room_user\"");
            Some(Action::DismissRoom)
        }
        Some(ActionName::BanRoomUser) => {
            let versions = [("2020-12-01", BanVersion::V20201201), ("2023-11-01", BanVersion::V20231101)];
            // The version of DismissRoom too: the same envelope, so that changing the action changes nothing else.
            let version = section.word("version", &versions).unwrap_or(BanVersion::V20201201);
            let forbidden_interval = forbidden_interval(section).unwrap_or(0);
            Some(Action::BanRoomUser { version, forbidden_interval })
        }
        None => {
            section.take("version");
            section.take("forbidden_interval");
            None
        }
    }
}

/// In whole seconds: 0, or what the cloud takes unchanged.
fn forbidden_interval(section: &mut Section<'_>) -> Option<u32> {
    section.read("forbidden_interval", Shape::DurationOrZero, |value| {
        let text = match value {
            Value::String(text) => text,
            Value::Integer(0) => return Ok(0),
            other => return Err(format!("must be 0, or a duration with a unit, like \"10m\", not {other}")),
        };
        let span = Duration::ZERO..=Duration::from_secs(604_800);
        let interval = parse_duration(&text, span)?;
        let seconds = interval.as_secs();
        if interval.subsec_nanos() != 0 || (1..10).contains(&seconds) {
            return Err(format!("must be 0, or whole seconds from 10s to 7days, not {}", shown(&text)));
        }
        u32::try_from(seconds).map_err(|error| error.to_string())
    })
}

fn keys(section: &mut Section<'_>) -> Option<Keys> {
    let access_key = section.secret("access_key_id", Fallback::Variable(ACCESS_KEY));
    let secret_key = section.secret("secret_access_key", Fallback::Variable("VOLC_SECRETKEY"));
    // A session token belongs to one key: that of another account must not slip in.
    let own = access_key.as_ref().is_some_and(|found| found.variable.as_deref() == Some(ACCESS_KEY));
    let session_token = if own {
        section.secret("session_token", Fallback::Perhaps("VOLC_SESSION_TOKEN"))
    } else {
        section.secret_or_absent("session_token")
    };
    Some(Keys {
        access_key_id: access_key?.secret,
        secret_access_key: secret_key?.secret,
        session_token: session_token.map(|Found { secret, .. }| secret),
    })
}

fn region(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
        return Err(format!("must be a region like \"cn-north-1\", not {}", shown(text)));
    }
    Ok(text.to_owned())
}
