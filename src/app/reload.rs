//! A running worker's configuration, read again: on SIGHUP all of it, and its secret files whenever they change.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::signal::unix::Signal;

use super::config::{self, Changes, Config, Faults, Source};
use super::wire;
use crate::model::secret::Secret;
use crate::pipeline::account::{Account, Terms};

/// How often secret files are read. Only their content tells: the times of mounted secrets do not.
const LOOK: Duration = Duration::from_secs(2);

/// What can change while a worker runs.
pub struct Reloader {
    source: Arc<Source>,
    /// In force.
    config: Config,
    /// Of its providers, in their order.
    accounts: Vec<Arc<Account>>,
    admin_token: Arc<ArcSwapOption<Secret>>,
    secrets: Settling,
    /// What was said to need a restart since the last SIGHUP.
    said: Vec<String>,
}

type Reading = Result<Config, Faults>;

/// Who asked.
#[derive(Clone, Copy)]
enum Cause {
    Signal,
    SecretFiles,
}

impl Reloader {
    /// `config` was read from `source`, and the rest was made by it.
    pub fn new(
        source: Source,
        config: Config,
        accounts: Vec<Arc<Account>>,
        admin_token: Arc<ArcSwapOption<Secret>>,
    ) -> Self {
        let (source, secrets, said) = (Arc::new(source), Settling::default(), Vec::new());
        Self { source, config, accounts, admin_token, secrets, said }
    }

    /// Never ends.
    pub async fn run(mut self, mut hangup: Signal) {
        loop {
            tokio::select! {
                Some(()) = hangup.recv() => self.reload().await,
                reading = look(&self.source, &self.config) => {
                    if let Some(news) = self.secrets.news(reading) {
                        self.take(news, Cause::SecretFiles);
                    }
                }
            }
        }
    }

    async fn reload(&mut self) {
        self.said.clear();
        self.secrets = Settling::default();
        let before = self.source.clone();
        let reading = off_the_thread(move || {
            let source = before.reopen()?;
            let config = source.config()?;
            Ok((source, config))
        });
        match reading.await {
            Ok((source, config)) => {
                // A file that is refused is not read again for its secrets either.
                if self.take(Ok(config), Cause::Signal) == Taken::Yes {
                    self.source = Arc::new(source);
                }
            }
            Err(faults) => refuse(&faults),
        }
    }

    /// Puts into force what of it can be.
    fn take(&mut self, wanted: Reading, cause: Cause) -> Taken {
        let (config, changes) = match wanted.and_then(|wanted| config::merge(&self.config, &wanted)) {
            Ok(merged) => merged,
            Err(faults) => {
                refuse(&faults);
                return Taken::No;
            }
        };
        let terms = match self.terms(&config) {
            Ok(terms) => terms,
            Err(error) => {
                tracing::error!("reload: nothing is changed: {error:#}");
                return Taken::No;
            }
        };
        for ((account, provider), terms) in self.accounts.iter().zip(&config.providers).zip(terms) {
            wire::reconfigure(account, provider, terms);
        }
        self.admin_token.store(config.admin.token.clone().map(Arc::new));
        self.config = config;
        self.tell(changes, cause);
        Taken::Yes
    }

    /// Everything that can fail comes before anything is changed.
    fn terms(&self, config: &Config) -> anyhow::Result<Vec<Terms>> {
        let providers = self.config.providers.iter().zip(&config.providers);
        let accounts = self.accounts.iter().zip(providers);
        accounts.map(|(account, (before, after))| wire::next_terms(account, before, after, &config.retry)).collect()
    }

    fn tell(&mut self, Changes { applied, restart }: Changes, cause: Cause) {
        let changed = applied.join(", ");
        match (cause, applied.as_slice()) {
            (Cause::Signal, []) => tracing::info!("reload: configuration read again, nothing changed that is in force"),
            (Cause::Signal, _) => tracing::info!("reload: configuration read again, now in force: {changed}"),
            (Cause::SecretFiles, []) => {}
            (Cause::SecretFiles, _) => tracing::info!("reload: secret files read again, now in force: {changed}"),
        }
        for path in restart {
            if !self.said.contains(&path) {
                tracing::warn!("reload: {path}: needs a restart, left as it was");
                self.said.push(path);
            }
        }
    }
}

/// Whether a configuration is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Yes,
    No,
}

fn refuse(faults: &Faults) {
    for fault in faults.iter() {
        tracing::error!("reload: nothing is changed: {fault}");
    }
}

/// Tells news from readings of the secret files: what is read twice in a row, for one that is being written is not to be
/// had, and is not what was told last.
#[derive(Default)]
struct Settling {
    last: Option<Reading>,
    told: Option<Reading>,
}

impl Settling {
    fn news(&mut self, reading: Reading) -> Option<Reading> {
        let settled = self.last.as_ref() == Some(&reading);
        let is_news = settled && self.told.as_ref() != Some(&reading);
        if is_news {
            self.told = Some(reading.clone());
        }
        self.last = Some(reading.clone());
        is_news.then_some(reading)
    }
}

/// What the secret files say a moment later. The file of the configuration itself is read on SIGHUP alone.
async fn look(source: &Arc<Source>, config: &Config) -> Reading {
    if config.secret_files.is_empty() {
        return std::future::pending().await;
    }
    tokio::time::sleep(LOOK).await;
    let source = source.clone();
    off_the_thread(move || source.config()).await
}

/// A mounted file may be slow, and the one thread that sends must not wait for it.
async fn off_the_thread<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(read).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::config::{Environment, Fault};

    fn good(qps: &str) -> Reading {
        let variables = [
            ("VOLC_ACCESSKEY", "AK"),
            ("VOLC_SECRETKEY", "SK"),
            ("ROOMSWEEP__PROVIDERS__VOLCENGINE__QPS", qps),
            ("ROOMSWEEP__QUEUE__BACKEND", "sqlite"),
        ];
        config::load(None, &Environment::from(variables))
    }

    fn faulty() -> Reading {
        Err(Fault { path: "key".into(), message: "is empty".into() }.into())
    }

    #[test]
    fn a_secret_is_taken_once_it_has_settled_and_a_fault_is_told_once() {
        let mut secrets = Settling::default();
        let mut check = |reading: Reading, is_news: bool| {
            assert_eq!(secrets.news(reading.clone()), is_news.then_some(reading));
        };
        check(good("1"), false);
        check(good("1"), true);
        check(good("1"), false);
        check(faulty(), false);
        check(good("2"), false);
        check(good("2"), true);
        for news in [false, true, false, false] {
            check(faulty(), news);
        }
        check(good("2"), false);
        check(good("2"), true);
    }

    #[test]
    fn what_did_not_change_is_kept_a_token_and_connections_too() {
        let now = good("1").unwrap();
        let common = wire::common(&now);
        let [account] = wire::accounts(&now, &common).unwrap().try_into().ok().unwrap();
        let terms = account.terms();
        let next = |change: &dyn Fn(&mut config::ProviderConfig)| {
            let mut wanted = now.providers[0].clone();
            change(&mut wanted);
            let next = wire::next_terms(&account, &now.providers[0], &wanted, &now.retry).unwrap();
            [
                Arc::ptr_eq(&next.provider, &terms.provider),
                Arc::ptr_eq(&next.stamps, &terms.stamps),
                Arc::ptr_eq(&next.transport, &terms.transport),
            ]
        };
        assert_eq!(next(&|provider| provider.timeout *= 2), [true, true, true]);
        assert_eq!(next(&|provider| provider.max_transit *= 2), [true, true, false]);
        let region = |provider: &mut config::ProviderConfig| match &mut provider.settings {
            crate::provider::catalog::ProviderSettings::Volcengine(settings) => settings.region.push('x'),
            crate::provider::catalog::ProviderSettings::Huawei(_) => panic!("the other kind"),
        };
        assert_eq!(next(&region), [false, false, true]);
    }
}
