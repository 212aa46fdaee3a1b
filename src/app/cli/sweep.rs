//! `sweep`: closes every room of a file, with nothing but this program.

mod books;
mod dry;
pub mod follow;
mod plan;
mod summary;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;

use super::ask::{self, Answer};
use super::input::{Fill, InputError};
use super::progress::{Progress, Stage, held_up};
use super::{Context, USAGE, signals};
use crate::adapters::sqlite::{OpenError, Part, SqliteQueue, Sweep, Tally};
use crate::app::cli::out::{say, tell};
use crate::app::config::{self, Config, Queue};
use crate::app::embedded::{Ended, Engine, Onlooker};
use crate::app::{run, wire};
use crate::model::ids::{AppId, ProviderName};
use crate::model::job::Lane;
use crate::pipeline::account::Common;
use crate::ports::broker::{Broker, BrokerError, LaneKey};
use books::SweepBooks;
use follow::Follow;
use plan::Plan;

/// Close every room of a file, without a broker, and tell what became of each.
///
/// The rooms are put into the embedded queue and sent from there, within the providers' quotas.
///
/// FILE holds CSV with a header of job fields (room_id, app_id, …), JSON lines of jobs, or, with
/// --provider and --app, one room ID a line. A bad row is named by its line, and then nothing is
/// sent. A room that stands twice is sent once.
///
/// Interrupted by whatever, the same command on the same file goes on where it stopped, and sends
/// nothing again that was settled. Exit code 0 only if every room ended dismissed or already_gone.
///
/// Examples:
///   roomsweep sweep rooms.csv --dry-run
///   roomsweep sweep rooms.csv --results results.jsonl
///   roomsweep sweep - --provider volcengine --app 661e0000 --yes < rooms.txt
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// File of rooms; - reads standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Provider of rows that name none.
    #[arg(long, value_name = "NAME", value_parser = |text: &str| ProviderName::parse(text))]
    provider: Option<ProviderName>,
    /// Application of rows that name none.
    #[arg(long, value_name = "APP", value_parser = |text: &str| AppId::parse(text))]
    app: Option<AppId>,
    /// Why; copied into the results.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Write the result of every room there, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Check, sign and show what would be sent and how long it would take; send and store nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before more than 100 rooms are closed.
    #[arg(long)]
    yes: bool,
    /// Begin anew, although a sweep of the same rooms was stopped half-way.
    #[arg(long)]
    fresh: bool,
}

/// More rooms than that are not closed without asking.
const UNASKED: u64 = 100;
/// The queue's file where the configuration has a broker instead.
const DEFAULT_PATH: &str = "roomsweep.db";

pub async fn run(args: Args, context: Context) -> anyhow::Result<ExitCode> {
    let config = match config::load(context.file.as_deref(), &context.env) {
        Ok(config) => config,
        Err(faults) => return Ok(super::refuse(&faults)),
    };
    let known: Vec<ProviderName> = config.providers.iter().map(|provider| provider.name.clone()).collect();
    let fill = Fill {
        provider: args.provider.clone(),
        app_id: args.app.clone(),
        reason: args.reason.clone(),
        ..Fill::default()
    };
    let plan = match Plan::read(&args.file, &fill, &known) {
        Ok(plan) => plan,
        Err(error @ InputError::Read { .. }) => return Err(error.into()),
        Err(error @ (InputError::Format { .. } | InputError::Rows { .. })) => {
            tell!("roomsweep: {error}");
            return Ok(ExitCode::from(USAGE));
        }
    };
    if args.dry_run {
        return dry::run(&plan, &config);
    }
    if plan.jobs.is_empty() {
        say!("there is no room in it");
        return Ok(ExitCode::SUCCESS);
    }
    let common = wire::common(&config);
    let path = path(&config);
    let queue = match SqliteQueue::open(path, Part::Sender, common.clock.clone()).await {
        Ok(queue) => Arc::new(queue),
        Err(error @ OpenError::Busy { .. }) => return Err(error.into()),
        Err(error) => {
            tell!("roomsweep: {error}");
            return Ok(ExitCode::from(USAGE));
        }
    };
    if let Some(results) = args.results.as_deref().filter(|results| queue.is_at(results)) {
        tell!("roomsweep: --results: {} is the queue's own file; nothing was sent", results.display());
        queue.close().await;
        return Ok(ExitCode::from(USAGE));
    }
    let ended = match begin(&args, plan, &config, &queue, &common).await {
        Ok(Begun::Sweep(sweep)) => match SweepBooks::open(path, &config).await {
            Ok(books) => {
                let ended = work(&args, sweep, &config, &queue, (&books, books.of(common))).await;
                books.close().await;
                ended
            }
            Err(error) => Err(error),
        },
        Ok(Begun::Refused(why)) => {
            tell!("roomsweep: {why}; nothing was sent");
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(error),
    };
    queue.close().await;
    ended
}

fn path(config: &Config) -> &Path {
    match &config.queue {
        Queue::Sqlite { path } => path,
        Queue::Amqp { .. } => {
            tell!(
                "roomsweep: a sweep does not use the broker; workers that run on it would share the quota unknowingly"
            );
            Path::new(DEFAULT_PATH)
        }
    }
}

enum Begun {
    Sweep(Sweep),
    Refused(String),
}

/// Takes up the sweep of these rooms where it was stopped, or stores a new one; asks before.
async fn begin(
    args: &Args,
    plan: Plan,
    config: &Config,
    queue: &Arc<SqliteQueue>,
    common: &Common,
) -> anyhow::Result<Begun> {
    let digest = plan.digest();
    let stopped = queue.sweep(&digest).await?;
    let open = match &stopped {
        Some(sweep) => queue.tally(&sweep.tag).await?.open,
        None => 0,
    };
    let others = waiting(queue, common).await?.saturating_sub(open);
    if others > 0 {
        return Ok(Begun::Refused(format!(
            "the queue's file holds {others} other jobs, of another sweep that was stopped or put in by enqueue, and they \
             would be sent too. Finish them first (the other sweep, or a worker), or use another file: \
             ROOMSWEEP__QUEUE__PATH=other.db"
        )));
    }
    let going_on = stopped.filter(|_| !args.fresh);
    let rooms = if going_on.is_some() { open } else { plan.jobs.len() as u64 };
    if plan.repeated > 0 {
        tell!("{} rows name a room that was named before: each room is sent once", plan.repeated);
    }
    if let Some(sweep) = &going_on {
        tell!(
            "going on with the sweep of {}: {} of {} rooms are settled and not sent again (--fresh begins anew)",
            sweep.started_at,
            sweep.total.saturating_sub(open),
            sweep.total
        );
    }
    if rooms > UNASKED && !args.yes {
        match ask::ask(&plan.question(rooms, config))? {
            Answer::Yes => {}
            Answer::No => return Ok(Begun::Refused("not confirmed".to_owned())),
            Answer::NobodyThere => {
                return Ok(Begun::Refused(format!("{rooms} rooms, and no terminal to ask at: add --yes")));
            }
        }
    }
    Ok(Begun::Sweep(match going_on {
        Some(sweep) => sweep,
        None => queue.begin_sweep(&digest, &plan.jobs).await?,
    }))
}

/// All jobs in the file that the configured providers' lanes would send.
async fn waiting(queue: &SqliteQueue, common: &Common) -> Result<u64, BrokerError> {
    let mut waiting = queue.deferred().await?;
    for provider in common.providers.iter() {
        for lane in Lane::ALL {
            waiting += queue.ready(&LaneKey { provider: provider.clone(), lane }).await?;
        }
    }
    Ok(waiting)
}

async fn work(
    args: &Args,
    sweep: Sweep,
    config: &Config,
    queue: &Arc<SqliteQueue>,
    (books, common): (&SweepBooks, Common),
) -> anyhow::Result<ExitCode> {
    let accounts = wire::accounts(config, &common)?;
    let lanes = run::lanes(accounts.clone());
    let engine = Engine { queue: queue.clone(), tag: sweep.tag.clone(), common, lanes, grace: config.shutdown.grace };
    let clock = engine.common.clock.clone();
    let mut desk = Desk {
        follow: Follow::new(args.results.as_deref())?,
        progress: Progress::new(clock.elapsed()),
        total: sweep.total,
        before: None,
        engine: &engine,
    };
    let (stop, _watching) = signals::watch("stopping: letting what is on the wire finish; once more to end at once")?;
    let began = clock.elapsed();
    let ended = tokio::select! {
        biased;
        ended = engine.run(stop, &mut desk) => ended,
        never = books.tend(&engine.common, &accounts) => match never {},
    };
    let Desk { follow, progress, before, .. } = desk;
    progress.end();
    let this_run = summary::Run {
        settled: follow.settled().saturating_sub(before.unwrap_or_default()),
        took: clock.elapsed().saturating_sub(began),
    };
    match ended.context("the sweep broke off; the same command again goes on with it")? {
        Ended::Done => {
            queue.finish_sweep(&sweep.tag).await?;
            summary::print(&sweep, &follow, &this_run, args.results.as_deref());
            books.forget(&engine.common).await;
            Ok(if follow.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Ended::Stopped => {
            let settled = follow.settled();
            tell!(
                "stopped: {settled} of {} rooms are settled, {} are left; the same command again goes on with them",
                sweep.total,
                sweep.total.saturating_sub(settled)
            );
            Ok(ExitCode::from(signals::INTERRUPTED))
        }
    }
}

/// Looks on: writes results, shows progress.
struct Desk<'e> {
    follow: Follow,
    progress: Progress,
    total: u64,
    /// What was settled when this run began.
    before: Option<u64>,
    engine: &'e Engine,
}

impl Onlooker for Desk<'_> {
    async fn look(&mut self, tally: &Tally) -> anyhow::Result<()> {
        let Engine { queue, tag, common, .. } = self.engine;
        self.follow.catch_up(queue, tag).await?;
        self.before.get_or_insert(tally.over());
        let stage = Stage { total: self.total, done: self.follow.settled(), failed: self.follow.failed };
        self.progress.show(stage, common.clock.elapsed(), &held_up(&common.meter));
        Ok(())
    }
}
