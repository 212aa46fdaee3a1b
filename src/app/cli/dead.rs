//! `dead`: looks after the jobs that ended badly.

mod act;
mod filter;
mod show;
mod survey;

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::anyhow;

use super::out::tell;
use super::progress::{Progress, Stage};
use super::{Context, USAGE, signals};
use crate::app::config;
use crate::app::wire::{Opener, Remedy};
use crate::model::dead::DeadLetter;
use crate::model::ids::{JobId, ProviderName};
use crate::pipeline::stop::Stop;
use crate::ports::clock::Clock;
use crate::ports::dead::{DeadLetters, Others};
use act::Deed;
use filter::Filters;

/// Look after dead letters: jobs that were rejected, exhausted or invalid.
///
/// While somebody looks at them, RabbitMQ shows them to nobody else; they come back by themselves.
///
/// Examples:
///   roomsweep dead list --provider volcengine --newer-than 1h
///   roomsweep dead redrive --outcome exhausted --batch incident-42
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    List(List),
    Show(Show),
    Redrive(Redrive),
    Purge(Purge),
}

/// List dead letters, a line each.
///
/// Example:  roomsweep dead list --outcome exhausted --older-than 1h --limit 20
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct List {
    #[command(flatten)]
    filters: Filters,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Show the dead letters of one job whole, as JSON: body, properties, why it ended, and each attempt
/// with its request ID.
///
/// Example:  roomsweep dead show end-of-class-4711
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct Show {
    #[arg(value_name = "JOB_ID", value_parser = |text: &str| JobId::parse(text))]
    job_id: JobId,
    #[command(flatten)]
    filters: Filters,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Send dead letters again: each goes back into its lane as a new job, in its next run and with all
/// its attempts, and is sent by the worker within the quota.
///
/// Says how many match, and asks. What is no job, or names a provider that is not configured, stays.
/// A redrive that breaks off loses nothing: the same command again goes on with what is left.
///
/// Example:  roomsweep dead redrive --provider volcengine --outcome exhausted --yes
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct Redrive {
    #[command(flatten)]
    chosen: Chosen,
}

/// Throw dead letters away for good.
///
/// Says how many match, and asks. What was not counted then is not purged.
///
/// Example:  roomsweep dead purge --outcome invalid --older-than 30d
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct Purge {
    #[command(flatten)]
    chosen: Chosen,
}

#[derive(Debug, clap::Args)]
struct Chosen {
    #[command(flatten)]
    filters: Filters,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// How often progress is shown.
const SHOWN_EACH: u64 = 256;

pub async fn run(args: Args, context: Context) -> anyhow::Result<ExitCode> {
    let config = match config::load_queue(context.file.as_deref(), &context.env) {
        Ok(config) => config,
        Err(faults) => return Ok(super::refuse(&faults)),
    };
    let opener = Opener::beside(&config.queue, config.providers.clone())?;
    let (mut stop, _watching) =
        signals::watch("stopping: what is not done stays a dead letter; once more to end at once")?;
    let opening = tokio::select! {
        biased;
        () = stop.asked() => return Ok(ExitCode::from(signals::INTERRUPTED)),
        opening = opener.open() => opening,
    };
    let opened = match opening {
        Ok(opened) => opened,
        Err(error) => match error.remedy() {
            Remedy::Operator | Remedy::File => {
                tell!("roomsweep: {error}");
                return Ok(ExitCode::from(USAGE));
            }
            Remedy::ThisMachine | Remedy::Time => return Err(error.into()),
        },
    };
    let office = Office { dead: opened.dead, providers: config.providers, clock: Clock::system(), stop };
    let work = async {
        match args.what {
            What::List(list) => show::list(&office, &list.filters, list.json).await,
            What::Show(show) => show::show(&office, &show.job_id, &show.filters, show.json).await,
            What::Redrive(Redrive { chosen }) => act::run(&office, Deed::Redrive, &chosen).await,
            What::Purge(Purge { chosen }) => act::run(&office, Deed::Purge, &chosen).await,
        }
    };
    let ended = tokio::select! {
        biased;
        ended = work => ended,
        () = signals::overdue(office.stop.clone()) => Err(anyhow!("the queue does not answer")),
    };
    opened.broker.close().await;
    if office.stop.is_asked() {
        if let Err(error) = ended {
            tell!("roomsweep: {error:#}");
        }
        return Ok(ExitCode::from(signals::INTERRUPTED));
    }
    ended
}

/// What each of the commands works with.
struct Office {
    dead: Arc<dyn DeadLetters>,
    /// That may be meant; empty where any may be.
    providers: Vec<ProviderName>,
    clock: Clock,
    stop: Stop,
}

impl Office {
    /// Looks through all dead letters until `look` has seen enough; tells how far on a terminal.
    async fn look(&self, look: &mut (dyn FnMut(&DeadLetter) -> ControlFlow<()> + Send)) -> anyhow::Result<()> {
        let count = self.dead.count().await?;
        if count.others == Others::Somebody {
            tell!("somebody else has dead letters in hand just now: those are not seen here");
        }
        let mut progress = Progress::new(self.clock.elapsed());
        let mut stage = Stage { total: count.letters, done: 0, failed: 0 };
        let mut shown = |letter: &DeadLetter| {
            stage.done += 1;
            if stage.done.is_multiple_of(SHOWN_EACH) {
                progress.show(stage, self.clock.elapsed(), "");
            }
            if self.stop.is_asked() { ControlFlow::Break(()) } else { look(letter) }
        };
        let looked = self.dead.look(&mut shown).await;
        progress.clear();
        Ok(looked?)
    }
}
