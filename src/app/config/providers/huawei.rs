//! The keys of `kind = "huawei"`

use super::{Account, PlainHttp, app_ids, endpoint, plain_http};
use crate::app::config::reader::Section;
use crate::app::config::secret::{Fallback, Found};
use crate::provider::catalog::ProviderSettings;
use crate::provider::huawei::{Auth, IamUser, Keys, Project, Settings};

const ACCESS_KEY: &str = "HUAWEICLOUD_SDK_AK";
const OF_AKSK: [&str; 3] = ["access_key_id", "secret_access_key", "security_token"];
const OF_TOKEN: [&str; 5] = ["iam_endpoint", "domain", "user", "password", "project_name"];
/// The vendor documents no quota for this call.
const QPS: u32 = 20;

#[derive(Clone, Copy)]
enum AuthName {
    AkSk,
    Token,
}

pub(super) fn read(section: &mut Section<'_>) -> Option<Account> {
    let plain = plain_http(section);
    let endpoint = endpoint(section, "endpoint", "https://rtc-api.myhuaweicloud.com", plain);
    let given = section.has("auth");
    let auth = section.word("auth", &[("aksk", AuthName::AkSk), ("token", AuthName::Token)]);
    let auth = match auth.or((!given).then_some(AuthName::AkSk)) {
        Some(AuthName::AkSk) => {
            OF_TOKEN.iter().for_each(|key| section.refuse(key, "goes only with auth = \"token\""));
            keys(section).map(Auth::AkSk)
        }
        Some(AuthName::Token) => {
            OF_AKSK.iter().for_each(|key| section.refuse(key, "goes only with auth = \"aksk\""));
            iam_user(section, plain).map(Auth::Token)
        }
        None => {
            OF_AKSK.iter().chain(&OF_TOKEN).chain(&["project_id"]).for_each(|key| drop(section.take(key)));
            None
        }
    };
    let app_ids = app_ids(section);
    let settings = Settings { endpoint: endpoint?, auth: auth?, app_ids };
    Some(Account { settings: ProviderSettings::Huawei(settings), qps: QPS })
}

fn keys(section: &mut Section<'_>) -> Option<Keys> {
    let access_key = section.secret("access_key_id", Fallback::Variable(ACCESS_KEY));
    let secret_key = section.secret("secret_access_key", Fallback::Variable("HUAWEICLOUD_SDK_SK"));
    let project_id = section.secret("project_id", Fallback::Variable("HUAWEICLOUD_SDK_PROJECT_ID"));
    // A security token belongs to one key: that of another account must not slip in.
    let own = access_key.as_ref().is_some_and(|found| found.variable.as_deref() == Some(ACCESS_KEY));
    let security_token = if own {
        section.secret("security_token", Fallback::Perhaps("HUAWEICLOUD_SDK_SECURITY_TOKEN"))
    } else {
        section.secret_or_absent("security_token")
    };
    Some(Keys {
        access_key_id: access_key?.secret,
        secret_access_key: secret_key?.secret,
        security_token: security_token.map(|Found { secret, .. }| secret),
        project_id: Some(project_id?.into_text()),
    })
}

fn iam_user(section: &mut Section<'_>, plain: PlainHttp) -> Option<IamUser> {
    let iam_endpoint = endpoint(section, "iam_endpoint", "https://iam.cn-north-4.myhuaweicloud.com", plain);
    let domain = section.secret("domain", Fallback::None);
    let user = section.secret("user", Fallback::None);
    let password = section.secret("password", Fallback::None);
    let project = project(section);
    Some(IamUser {
        iam_endpoint: iam_endpoint?,
        domain: domain?.into_text(),
        user: user?.into_text(),
        password: password?.secret,
        project: project?,
    })
}

/// The ID or the name; the ID may come from the vendor's own variable.
fn project(section: &mut Section<'_>) -> Option<Project> {
    if section.has("project_id") && section.has("project_name") {
        section.refuse("project_name", "must not stand beside project_id: give one of them");
        section.take("project_id");
        return None;
    }
    if section.has("project_name") {
        section.take("project_id");
        return section.secret("project_name", Fallback::None).map(|found| Project::Name(found.into_text()));
    }
    section.take("project_name");
    let id = section.secret("project_id", Fallback::Variable("HUAWEICLOUD_SDK_PROJECT_ID"));
    id.map(|found| Project::Id(found.into_text()))
}
