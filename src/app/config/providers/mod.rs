//! `[providers.NAME]`

mod huawei;
mod volcengine;

use std::collections::BTreeMap;
use std::time::Duration;

use super::ProviderConfig;
use super::fault::shown;
use super::reader::Section;
use crate::model::ids::{AppId, ProviderName};
use crate::policy::quota::Pacing;
use crate::provider::catalog::ProviderSettings;
use crate::provider::endpoint::Endpoint;
use crate::provider::huawei::Auth;
use crate::provider::volcengine::Action;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Volcengine,
    Huawei,
}

const KINDS: [(&str, Kind); 2] = [("volcengine", Kind::Volcengine), ("huawei", Kind::Huawei)];

/// Settings as far as the provider's own keys go, and the quota that its documentation allows.
struct Account {
    settings: ProviderSettings,
    qps: u32,
}

pub(super) fn read(root: &mut Section<'_>) -> Vec<ProviderConfig> {
    let Some(mut section) = root.table("providers") else { return Vec::new() };
    let tables = section.keys();
    if tables.is_empty() {
        section.fault("", "none is configured: add a table like [providers.volcengine], or, without any file, set VOLC_ACCESSKEY and VOLC_SECRETKEY or HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK");
    }
    let providers: Vec<ProviderConfig> = tables.iter().filter_map(|table| provider(&mut section, table)).collect();
    refuse_shared_quotas(&section, &providers);
    providers
}

/// The names of all tables that have a good one.
pub(super) fn names(section: &Section<'_>) -> Vec<ProviderName> {
    section.keys().into_iter().filter_map(|table| ProviderName::parse(table).ok()).collect()
}

fn provider(providers: &mut Section<'_>, table: &str) -> Option<ProviderConfig> {
    let name = ProviderName::parse(table).map_err(|error| providers.fault(table, format!("the table's name {error}")));
    let mut section = providers.table(table)?;
    let kind = section.required("kind", "\"volcengine\" or \"huawei\"", |text| {
        let kind = KINDS.into_iter().find(|(word, _)| *word == text);
        kind.map(|(_, kind)| kind).ok_or_else(|| format!("must be \"volcengine\" or \"huawei\", not {}", shown(text)))
    });
    let account = match kind {
        Some(Kind::Volcengine) => volcengine::read(&mut section),
        Some(Kind::Huawei) => huawei::read(&mut section),
        None => None,
    };
    let qps = section.whole("qps", 1..=10_000).and_then(|qps| u32::try_from(qps).ok());
    let pacing = section.word("pacing", &[("strict", Pacing::Strict), ("send", Pacing::Send)]);
    let max_transit = section.duration("max_transit", Duration::from_millis(1)..=Duration::from_secs(10));
    let max_in_flight = section.whole("max_in_flight", 1..=10_000).and_then(|number| usize::try_from(number).ok());
    let timeout = section.duration("timeout", Duration::from_millis(100)..=Duration::from_secs(300));
    let retired = section.flag("retired");
    if kind.is_some() {
        section.close();
    }
    let account = account?;
    Some(ProviderConfig {
        name: name.ok()?,
        settings: account.settings,
        qps: qps.unwrap_or(account.qps),
        pacing: pacing.unwrap_or(Pacing::Strict),
        max_transit: max_transit.unwrap_or(Duration::from_millis(500)),
        max_in_flight: max_in_flight.unwrap_or(128),
        timeout: timeout.unwrap_or(Duration::from_secs(10)),
        retired: retired.unwrap_or(false),
    })
}

fn refuse_shared_quotas(section: &Section<'_>, providers: &[ProviderConfig]) {
    for (first, second) in sharing_a_quota(providers) {
        let same = "has the same kind, access key and action as";
        let cure = "both would spend one quota without knowing of each other; make them one table";
        section.fault(second.name.as_str(), format!("{same} providers.{}: {cure}", first.name));
    }
}

/// Pairs that would spend one quota unknowingly. A retired table sends nothing and so shares nothing: a renamed one may
/// stand beside its successor.
pub(super) fn sharing_a_quota(providers: &[ProviderConfig]) -> Vec<(&ProviderConfig, &ProviderConfig)> {
    let mut seen = BTreeMap::new();
    let active = providers.iter().filter(|provider| !provider.retired);
    active.filter_map(|provider| Some((seen.insert(quota_owner(&provider.settings), provider)?, provider))).collect()
}

/// What the cloud counts requests against.
fn quota_owner(settings: &ProviderSettings) -> (&'static str, String, &'static str) {
    match settings {
        ProviderSettings::Volcengine(settings) => {
            let action = match settings.action {
                Action::DismissRoom => "dismiss_room",
                Action::BanRoomUser { .. } => "ban_room_user",
            };
            ("volcengine", settings.keys.access_key_id.expose().to_owned(), action)
        }
        ProviderSettings::Huawei(settings) => match &settings.auth {
            Auth::AkSk(keys) => ("huawei", keys.access_key_id.expose().to_owned(), "aksk"),
            Auth::Token(user) => ("huawei", format!("{}/{}", user.domain, user.user), "token"),
        },
    }
}

/// Where plain `http://` may go.
#[derive(Debug, Clone, Copy)]
enum PlainHttp {
    LoopbackOnly,
    Anywhere,
}

fn plain_http(section: &mut Section<'_>) -> PlainHttp {
    match section.flag("allow_http") {
        Some(true) => PlainHttp::Anywhere,
        Some(false) | None => PlainHttp::LoopbackOnly,
    }
}

fn endpoint(section: &mut Section<'_>, key: &str, default: &str, plain: PlainHttp) -> Option<Endpoint> {
    if !section.has(key) {
        section.take(key);
        return Endpoint::parse(default).ok();
    }
    section.text(key, |text| {
        let endpoint = Endpoint::parse(text).map_err(|error| error.to_string())?;
        match plain {
            PlainHttp::LoopbackOnly if !endpoint.is_https() && !endpoint.is_loopback() => {
                Err("must be https://: plain http:// is for loopback, or needs allow_http = true".into())
            }
            PlainHttp::LoopbackOnly | PlainHttp::Anywhere => Ok(endpoint),
        }
    })
}

fn app_ids(section: &mut Section<'_>) -> Vec<AppId> {
    section.list("app_ids", |text| AppId::parse(text).map_err(|error| error.to_string())).unwrap_or_default()
}
