//! What the operator decided: one file, overridden by the environment, checked as a whole before anything is touched.

mod changes;
mod environment;
mod fault;
mod providers;
mod queue;
mod reader;
mod secret;
mod sections;
mod source;
#[cfg(test)]
mod tests;
mod urls;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use changes::{Changes, merge};
pub use environment::Environment;
pub use fault::{Fault, Faults};
pub use urls::{AmqpUrl, LedgerUrl, PostgresUrl};

use crate::model::ids::ProviderName;
use crate::model::secret::Secret;
use crate::policy::decide::RetryPolicy;
use crate::policy::quota::Pacing;
use crate::provider::catalog::ProviderSettings;
use reader::{Notes, Section};
use source::Document;

/// The file that is read if it is there and no other is named.
pub const DEFAULT_FILE: &str = "roomsweep.toml";

/// Everything that a worker is told; every value in it is usable.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub queue: Queue,
    /// At least one, ordered by name, no two sharing a quota unknowingly.
    pub providers: Vec<ProviderConfig>,
    pub retry: RetryPolicy,
    pub results: Results,
    pub ledger: Option<Ledger>,
    pub admin: Admin,
    pub shutdown: Shutdown,
    /// The files of `{ file = … }`.
    pub secret_files: Vec<PathBuf>,
}

/// Where jobs come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Queue {
    Amqp {
        url: AmqpUrl,
        /// PEM; the system's authorities where absent.
        ca_file: Option<PathBuf>,
        /// The first part of every queue's and exchange's name: `[a-zA-Z0-9_.-]{1,64}`.
        namespace: String,
    },
    Sqlite {
        path: PathBuf,
    },
}

/// One account at one cloud, and how hard it may be pressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderConfig {
    pub name: ProviderName,
    pub settings: ProviderSettings,
    /// At most this many requests in any one second.
    pub qps: u32,
    pub pacing: Pacing,
    /// The longest that a request may be on its way to the provider.
    pub max_transit: Duration,
    pub max_in_flight: usize,
    /// Of one attempt.
    pub timeout: Duration,
    /// Nothing is sent any more; what its lanes still hold is rejected.
    pub retired: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Results {
    /// Whether results are kept in a queue, or only pass through the exchange.
    pub queue: bool,
    /// Of that queue; sending stops when it is full.
    pub max_bytes: Option<u64>,
}

/// How long results are kept where nothing is said of it.
pub const KEEP: Duration = Duration::from_secs(90 * 24 * 3600);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    pub url: LedgerUrl,
    pub keep: Duration,
    /// Whether a job ID that already has a result is answered with it instead of being sent again.
    pub dedupe: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    pub listen: SocketAddr,
    /// Without one, only loopback may change state.
    pub token: Option<Secret>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shutdown {
    pub grace: Duration,
}

/// What a command needs that only publishes: no secrets but the broker's.
#[derive(Debug, Clone)]
pub struct QueueConfig {
    pub queue: Queue,
    /// Of all provider tables; empty where the configuration has none, and then any name may be meant.
    pub providers: Vec<ProviderName>,
}

/// What a command needs that asks the ledger: no secrets but the ledger's and the broker's.
#[derive(Debug, Clone)]
pub struct LedgerConfig {
    /// None where there is none: AMQP without `[ledger]`.
    pub url: Option<LedgerUrl>,
    /// Of all provider tables.
    pub providers: Vec<ProviderName>,
}

/// The file to read: the one named on the command line, else `./roomsweep.toml` if it is there.
pub fn find(named: Option<PathBuf>) -> Option<PathBuf> {
    named.or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()))
}

/// Reads file, environment and secrets; all faults come back together.
pub fn load(file: Option<&Path>, env: &Environment) -> Result<Config, Faults> {
    Source::open(file.map(Path::to_path_buf), env.clone())?.config()
}

/// Where a configuration comes from, and the text that its file had.
pub struct Source {
    file: Option<PathBuf>,
    env: Environment,
    document: Option<Document>,
}

impl Source {
    pub fn open(file: Option<PathBuf>, env: Environment) -> Result<Self, Faults> {
        let document = file.as_deref().map(open).transpose()?;
        Ok(Self { file, env, document })
    }

    /// The same with the file's text of now.
    pub fn reopen(&self) -> Result<Self, Faults> {
        Self::open(self.file.clone(), self.env.clone())
    }

    /// What it says, with what its secret files hold now; all faults come back together.
    pub fn config(&self) -> Result<Config, Faults> {
        parse(self.document.as_ref(), &self.env)
    }
}

/// Like [`load`], for a text that lies in no file; faults call it `name`.
pub fn load_text(name: &str, text: &str, env: &Environment) -> Result<Config, Faults> {
    parse(Some(&Document { name: name.to_owned(), text: text.to_owned() }), env)
}

/// Like [`load`], but reads the queue alone and of the providers nothing but their names.
pub fn load_queue(file: Option<&Path>, env: &Environment) -> Result<QueueConfig, Faults> {
    let document = file.map(open).transpose()?;
    read(document.as_ref(), env, |root| {
        let providers = root.table("providers").map(|section| providers::names(&section)).unwrap_or_default();
        let queue = queue::read(root);
        for section in ["retry", "results", "ledger", "admin", "shutdown"] {
            root.take(section);
        }
        queue.map(|queue| QueueConfig { queue, providers })
    })
}

/// Like [`load`], but reads the ledger alone (which stands in the queue's file unless told otherwise), and of the providers
/// nothing but their names.
pub fn load_ledger(file: Option<&Path>, env: &Environment) -> Result<LedgerConfig, Faults> {
    let document = file.map(open).transpose()?;
    read(document.as_ref(), env, |root| {
        let providers = root.table("providers").map(|section| providers::names(&section)).unwrap_or_default();
        let queue = queue::read(root);
        let ledger = sections::ledger(root, queue.as_ref());
        for section in ["retry", "results", "admin", "shutdown"] {
            root.take(section);
        }
        Some(LedgerConfig { url: ledger.map(|ledger| ledger.url), providers })
    })
}

fn open(path: &Path) -> Result<Document, Faults> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Document { name, text }),
        Err(error) => Err(Fault { path: name, message: format!("cannot be read: {error}") }.into()),
    }
}

fn parse(document: Option<&Document>, env: &Environment) -> Result<Config, Faults> {
    read(document, env, |root| {
        let queue = queue::read(root);
        let providers = providers::read(root);
        let retry = sections::retry(root);
        let results = sections::results(root);
        let ledger = sections::ledger(root, queue.as_ref());
        let admin = sections::admin(root);
        let shutdown = sections::shutdown(root);
        let secret_files = root.notes.files.take();
        Some(Config { queue: queue?, providers, retry, results, ledger, admin: admin?, shutdown, secret_files })
    })
}

/// None from `take` means that a fault was noted.
fn read<T>(
    document: Option<&Document>,
    env: &Environment,
    take: impl FnOnce(&mut Section<'_>) -> Option<T>,
) -> Result<T, Faults> {
    let entries = source::entries(document, env)?;
    let notes = Notes::new(env);
    let mut root = Section::root(entries, &notes);
    let value = take(&mut root);
    root.close();
    match (value, notes.faults.take()) {
        (Some(value), faults) if faults.is_empty() => Ok(value),
        (_, faults) => Err(Faults(faults)),
    }
}
