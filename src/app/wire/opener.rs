//! Opens the configured queue: the one place that knows that there are two kinds.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;

use super::entrance::{Door, Entrance};
use super::worker_name;
use crate::adapters::amqp::topology::{LedgerQueue, Outcomes, ResultsQueue, Wanted};
use crate::adapters::amqp::{self, AmqpBroker, Doubts, OnAlarm};
use crate::adapters::sqlite::{self, Part, SqliteQueue};
use crate::app::config::{Config, Queue};
use crate::model::ids::ProviderName;
use crate::model::secret::Secret;
use crate::ports::broker::Broker;
use crate::ports::clock::Clock;
use crate::ports::dead::DeadLetters;

/// Opens the configured queue, again and again over the life of a worker.
pub enum Opener {
    Amqp { settings: Box<amqp::Settings>, wanted: Wanted },
    Sqlite { path: PathBuf, part: Part, clock: Clock },
}

/// An open queue, seen from all sides.
pub struct Opened {
    pub broker: Arc<dyn Broker>,
    pub entrance: Entrance,
    pub dead: Arc<dyn DeadLetters>,
}

/// Why there is no queue.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Amqp(#[from] amqp::OpenError),
    #[error(transparent)]
    Sqlite(#[from] sqlite::OpenError),
}

/// What has to happen before another try can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing: it may pass by itself.
    Time,
    /// Something on this machine: another process has to end, or to make room. A worker that has worked before waits
    /// for it; one that starts says so and ends, for somebody is looking.
    ThisMachine,
    /// Another file, or this one mended. A worker that starts says so and ends, as for a configuration that is no good; one
    /// that has worked before waits for it.
    File,
    /// Another configuration.
    Operator,
}

impl OpenError {
    pub fn remedy(&self) -> Remedy {
        match self {
            OpenError::Amqp(amqp::OpenError::Unreachable(_)) => Remedy::Time,
            OpenError::Amqp(amqp::OpenError::Topology { .. }) => Remedy::Operator,
            OpenError::Sqlite(error) => sqlite_remedy(error),
        }
    }
}

fn sqlite_remedy(error: &sqlite::OpenError) -> Remedy {
    match error {
        sqlite::OpenError::NotClosed { .. } | sqlite::OpenError::Displaced(_) => Remedy::Time,
        sqlite::OpenError::Busy { .. } | sqlite::OpenError::Full { .. } | sqlite::OpenError::Other { .. } => {
            Remedy::ThisMachine
        }
        sqlite::OpenError::Newer { .. }
        | sqlite::OpenError::NotWritable { .. }
        | sqlite::OpenError::NotADatabase { .. }
        | sqlite::OpenError::OtherName { .. }
        | sqlite::OpenError::ManyNames { .. } => Remedy::File,
    }
}

/// How a worker comes to its queue, again and again.
pub trait Access {
    /// What it leads to, in the words of an operator.
    fn kind(&self) -> &'static str;

    fn open(&self) -> impl Future<Output = Result<Arc<dyn Broker>, OpenError>>;

    /// The queue that was opened last is not worked on any more.
    fn left(&self);
}

/// The configured queue, and the door for new jobs that stands open as long as it does.
pub struct FrontDoor {
    pub opener: Opener,
    pub door: Door,
}

impl Access for FrontDoor {
    fn kind(&self) -> &'static str {
        self.opener.kind()
    }

    async fn open(&self) -> Result<Arc<dyn Broker>, OpenError> {
        let Opened { broker, entrance, dead: _ } = self.opener.open().await?;
        self.door.open(entrance);
        Ok(broker)
    }

    fn left(&self) {
        self.door.shut();
    }
}

impl Opener {
    /// For a worker, or a check of what a worker will find.
    pub fn of_worker(config: &Config) -> anyhow::Result<Self> {
        let results = match config.results.queue {
            true => ResultsQueue::Kept { max_bytes: config.results.max_bytes },
            false => ResultsQueue::ExchangeOnly,
        };
        let ledger = if config.ledger.is_some() { LedgerQueue::Present } else { LedgerQueue::Absent };
        let providers = config.providers.iter().map(|provider| provider.name.clone()).collect();
        Self::new(&config.queue, Part::Sender, Wanted { providers, outcomes: Some(Outcomes { results, ledger }) })
    }

    /// For a command beside the workers, which takes no jobs.
    pub fn beside(queue: &Queue, providers: Vec<ProviderName>) -> anyhow::Result<Self> {
        Self::new(queue, Part::Beside, Wanted { providers, outcomes: None })
    }

    fn new(queue: &Queue, part: Part, wanted: Wanted) -> anyhow::Result<Self> {
        let (url, ca_file, namespace) = match queue {
            Queue::Amqp { url, ca_file, namespace } => (url, ca_file, namespace),
            Queue::Sqlite { path } => return Ok(Opener::Sqlite { path: path.clone(), part, clock: Clock::system() }),
        };
        let ca = ca_file
            .as_ref()
            .map(|path| std::fs::read_to_string(path).with_context(|| format!("queue.ca_file: {}", path.display())))
            .transpose()?;
        let settings = amqp::Settings {
            url: Secret::new(url.expose()),
            ca,
            namespace: namespace.clone(),
            client_name: format!("roomsweep {}", worker_name()),
            on_alarm: match part {
                Part::Sender => OnAlarm::Wait,
                Part::Beside => OnAlarm::GiveUp,
            },
            doubts: Doubts::default(),
        };
        Ok(Opener::Amqp { settings: Box::new(settings), wanted })
    }

    /// What it opens, in the words of an operator.
    pub fn kind(&self) -> &'static str {
        match self {
            Opener::Amqp { .. } => "broker",
            Opener::Sqlite { .. } => "queue file",
        }
    }

    pub async fn open(&self) -> Result<Opened, OpenError> {
        match self {
            Opener::Amqp { settings, wanted } => {
                let broker = Arc::new(AmqpBroker::open(settings, wanted).await?);
                Ok(Opened { entrance: Entrance::Amqp(broker.clone()), dead: broker.clone(), broker })
            }
            Opener::Sqlite { path, part, clock } => {
                let queue = Arc::new(SqliteQueue::open(path, *part, clock.clone()).await?);
                Ok(Opened { entrance: Entrance::Sqlite(queue.clone()), dead: queue.clone(), broker: queue })
            }
        }
    }
}
