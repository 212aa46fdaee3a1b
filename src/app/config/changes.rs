//! What differs between two configurations, and what of it a running worker can take on.

use super::providers::sharing_a_quota;
use super::{Admin, Config, Fault, Faults, Ledger, ProviderConfig, Queue, Results, Shutdown};
use crate::policy::decide::RetryPolicy;
use crate::provider::catalog::ProviderSettings;
use crate::provider::huawei::{self, Auth, IamUser, Project};
use crate::provider::volcengine::{self, Action};

/// Keys that differ, by their paths: never a value, for it may be a secret.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub applied: Vec<String>,
    /// Left as they were until the worker is started anew.
    pub restart: Vec<String>,
}

/// What a worker goes on with that runs under `now` and is told `wanted`. A fault arises where what is left as it was
/// does not go together with what changes.
pub fn merge(now: &Config, wanted: &Config) -> Result<(Config, Changes), Faults> {
    let mut changes = Changes::default();
    let Config { queue, providers, retry, results, ledger, admin, shutdown, secret_files } = wanted;
    let mut restart = Found::below("");
    queue_changes(&now.queue, queue, &mut restart);
    results_changes(&now.results, results, &mut restart);
    ledger_changes(now.ledger.as_ref(), ledger.as_ref(), &mut restart);
    let Shutdown { grace } = shutdown;
    restart.note("shutdown.grace", &now.shutdown.grace, grace);
    let Admin { listen, token } = admin;
    restart.note("admin.listen", &now.admin.listen, listen);

    let mut applied = Found::below("");
    applied.note("admin.token", &now.admin.token, token);
    retry_changes(&now.retry, retry, &mut applied);
    changes.applied.extend(applied.paths);
    changes.restart.extend(restart.paths);
    let merged = Config {
        providers: merge_providers(&now.providers, providers, &mut changes),
        retry: retry.clone(),
        admin: Admin { listen: now.admin.listen, token: token.clone() },
        secret_files: secret_files.clone(),
        ..now.clone()
    };
    let faults: Vec<Fault> = sharing_a_quota(&merged.providers)
        .into_iter()
        .map(|(first, second)| Fault {
            path: format!("providers.{}", second.name),
            message: format!("would share the quota of providers.{}, which goes on until a restart", first.name),
        })
        .collect();
    if faults.is_empty() { Ok((merged, changes)) } else { Err(Faults(faults)) }
}

/// The paths of what differs, below one of them.
struct Found {
    prefix: String,
    paths: Vec<String>,
}

impl Found {
    fn below(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), paths: Vec::new() }
    }

    fn note<T: PartialEq + ?Sized>(&mut self, key: &str, now: &T, wanted: &T) {
        if now != wanted {
            self.paths.push(format!("{}{key}", self.prefix));
        }
    }
}

fn merge_providers(now: &[ProviderConfig], wanted: &[ProviderConfig], changes: &mut Changes) -> Vec<ProviderConfig> {
    let named = |providers: &[ProviderConfig], name| providers.iter().any(|other| other.name == name);
    for provider in wanted.iter().filter(|provider| !named(now, provider.name.clone())) {
        changes.restart.push(format!("providers.{} (new)", provider.name));
    }
    now.iter()
        .map(|provider| match wanted.iter().find(|other| other.name == provider.name) {
            None => {
                changes.restart.push(format!("providers.{} (removed)", provider.name));
                provider.clone()
            }
            Some(other) => match provider_changes(provider, other) {
                Ok(paths) => {
                    changes.applied.extend(paths);
                    other.clone()
                }
                Err(OtherKind) => {
                    changes.restart.push(format!("providers.{}.kind", provider.name));
                    provider.clone()
                }
            },
        })
        .collect()
}

struct OtherKind;

fn provider_changes(now: &ProviderConfig, wanted: &ProviderConfig) -> Result<Vec<String>, OtherKind> {
    let ProviderConfig { name, settings, qps, pacing, max_transit, max_in_flight, timeout, retired } = wanted;
    let mut found = Found::below(format!("providers.{name}."));
    match (&now.settings, settings) {
        (ProviderSettings::Volcengine(now), ProviderSettings::Volcengine(wanted)) => {
            volcengine_changes(now, wanted, &mut found);
        }
        (ProviderSettings::Huawei(now), ProviderSettings::Huawei(wanted)) => huawei_changes(now, wanted, &mut found),
        (ProviderSettings::Volcengine(_), ProviderSettings::Huawei(_))
        | (ProviderSettings::Huawei(_), ProviderSettings::Volcengine(_)) => return Err(OtherKind),
    }
    found.note("qps", &now.qps, qps);
    found.note("pacing", &now.pacing, pacing);
    found.note("max_transit", &now.max_transit, max_transit);
    found.note("max_in_flight", &now.max_in_flight, max_in_flight);
    found.note("timeout", &now.timeout, timeout);
    found.note("retired", &now.retired, retired);
    Ok(found.paths)
}

fn volcengine_changes(now: &volcengine::Settings, wanted: &volcengine::Settings, found: &mut Found) {
    let volcengine::Settings { endpoint, region, action, keys, app_ids, gone_codes } = wanted;
    let volcengine::Keys { access_key_id, secret_access_key, session_token } = keys;
    found.note("endpoint", &now.endpoint, endpoint);
    found.note("region", &now.region, region);
    match (now.action, *action) {
        (
            Action::BanRoomUser { version, forbidden_interval },
            Action::BanRoomUser { version: new_version, forbidden_interval: new_interval },
        ) => {
            found.note("version", &version, &new_version);
            found.note("forbidden_interval", &forbidden_interval, &new_interval);
        }
        (now, wanted) => found.note("action", &now, &wanted),
    }
    found.note("access_key_id", &now.keys.access_key_id, access_key_id);
    found.note("secret_access_key", &now.keys.secret_access_key, secret_access_key);
    found.note("session_token", &now.keys.session_token, session_token);
    found.note("app_ids", &now.app_ids, app_ids);
    found.note("gone_codes", &now.gone_codes, gone_codes);
}

fn huawei_changes(now: &huawei::Settings, wanted: &huawei::Settings, found: &mut Found) {
    let huawei::Settings { endpoint, auth, app_ids } = wanted;
    found.note("endpoint", &now.endpoint, endpoint);
    match (&now.auth, auth) {
        (Auth::AkSk(now), Auth::AkSk(wanted)) => {
            let huawei::Keys { access_key_id, secret_access_key, security_token, project_id } = wanted;
            found.note("access_key_id", &now.access_key_id, access_key_id);
            found.note("secret_access_key", &now.secret_access_key, secret_access_key);
            found.note("security_token", &now.security_token, security_token);
            found.note("project_id", &now.project_id, project_id);
        }
        (Auth::Token(now), Auth::Token(wanted)) => {
            let IamUser { iam_endpoint, domain, user, password, project } = wanted;
            found.note("iam_endpoint", &now.iam_endpoint, iam_endpoint);
            found.note("domain", &now.domain, domain);
            found.note("user", &now.user, user);
            found.note("password", &now.password, password);
            let key = match project {
                Project::Id(_) => "project_id",
                Project::Name(_) => "project_name",
            };
            found.note(key, &now.project, project);
        }
        (now, wanted) => found.note("auth", now, wanted),
    }
    found.note("app_ids", &now.app_ids, app_ids);
}

fn retry_changes(now: &RetryPolicy, wanted: &RetryPolicy, found: &mut Found) {
    let RetryPolicy { initial, multiplier, max, max_attempts } = wanted;
    found.note("retry.initial", &now.initial, initial);
    found.note("retry.multiplier", &now.multiplier, multiplier);
    found.note("retry.max", &now.max, max);
    found.note("retry.max_attempts", &now.max_attempts, max_attempts);
}

fn queue_changes(now: &Queue, wanted: &Queue, found: &mut Found) {
    match (now, wanted) {
        (
            Queue::Amqp { url, ca_file, namespace },
            Queue::Amqp { url: new_url, ca_file: new_file, namespace: new_namespace },
        ) => {
            found.note("queue.url", url, new_url);
            found.note("queue.ca_file", ca_file, new_file);
            found.note("queue.namespace", namespace, new_namespace);
        }
        (Queue::Sqlite { path }, Queue::Sqlite { path: new_path }) => found.note("queue.path", path, new_path),
        (now, wanted) => found.note("queue.backend", now, wanted),
    }
}

fn results_changes(now: &Results, wanted: &Results, found: &mut Found) {
    let Results { queue, max_bytes } = wanted;
    found.note("results.queue", &now.queue, queue);
    found.note("results.max_bytes", &now.max_bytes, max_bytes);
}

fn ledger_changes(now: Option<&Ledger>, wanted: Option<&Ledger>, found: &mut Found) {
    match (now, wanted) {
        (Some(now), Some(Ledger { url, keep, dedupe })) => {
            found.note("ledger.url", &now.url, url);
            found.note("ledger.keep", &now.keep, keep);
            found.note("ledger.dedupe", &now.dedupe, dedupe);
        }
        (now, wanted) => found.note("ledger", &now, &wanted),
    }
}
