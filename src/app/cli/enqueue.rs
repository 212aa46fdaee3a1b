//! `enqueue`: publish jobs, each confirmed.

mod register;

use std::cell::{Cell, OnceCell};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::input::{self, Fill, InputError, Terms};
use super::{Context, USAGE, signals};
use crate::app::cli::out::{self, say, tell};
use crate::app::config;
use crate::app::wire::{Entrance, Opener, Remedy};
use crate::model::decode::parse_time;
use crate::model::ids::{AppId, BatchId, JobId, ProviderName};
use crate::model::job::{DismissJob, Lane};
use crate::ports::broker::BrokerError;

/// Put dismiss jobs into the queue.
///
/// Each is confirmed by the broker; into the embedded queue they go all at once.
///
/// FILE holds JSON lines of jobs, CSV with a header of job fields (room_id, app_id, …), or, with
/// --provider and --app, one room ID a line. A bad row is named by its line, and then nothing of
/// the file is published.
///
/// With --batch the job IDs are derived from batch, provider, app and room: running the same
/// command again after a failure publishes the same jobs, not new ones. The ledger, where one is
/// configured, is told of the batch first, and of its size if a file is given, which is then the
/// whole batch: `roomsweep batch watch` shows how far it is.
///
/// Examples:
///   roomsweep enqueue rooms.csv --batch incident-42 --lane urgent --reason "abuse report"
///   roomsweep enqueue --provider volcengine --app 661e0000 --room lobby --room stage
///   cut -d, -f2 bookings.csv | roomsweep enqueue - --provider huawei --app 5af0 --not-before 2026-01-31T18:00:00Z
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// File of jobs or rooms; - reads standard input.
    #[arg(value_name = "FILE", required_unless_present = "room", conflicts_with = "room")]
    file: Option<PathBuf>,
    /// A room to dismiss; may be given again and again.
    #[arg(long, value_name = "ROOM", requires = "provider", requires = "app")]
    room: Vec<String>,
    /// Provider of rows that name none.
    #[arg(long, value_name = "NAME", value_parser = |text: &str| ProviderName::parse(text))]
    provider: Option<ProviderName>,
    /// Application of rows that name none.
    #[arg(long, value_name = "APP", value_parser = |text: &str| AppId::parse(text))]
    app: Option<AppId>,
    /// Batch of rows that name none.
    #[arg(long, value_name = "ID", value_parser = |text: &str| BatchId::parse(text))]
    batch: Option<BatchId>,
    /// Lane of rows that name none: urgent or bulk.
    #[arg(long, value_name = "LANE", value_parser = lane)]
    lane: Option<Lane>,
    /// Why; copied into the results.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Who asks; copied into the results.
    #[arg(long, value_name = "TEXT")]
    requested_by: Option<String>,
    /// Never sent earlier; RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    not_before: Option<Timestamp>,
    /// Not sent at or after it; RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    expires_at: Option<Timestamp>,
    /// Print each job ID with its state, one JSON object a line.
    #[arg(long)]
    json: bool,
}

fn lane(text: &str) -> Result<Lane, String> {
    Lane::parse(text).ok_or_else(|| "must be urgent or bulk".to_owned())
}

pub async fn run(args: Args, context: Context) -> anyhow::Result<ExitCode> {
    let config = match config::load_queue(context.file.as_deref(), &context.env) {
        Ok(config) => config,
        Err(faults) => return Ok(super::refuse(&faults)),
    };
    let jobs = match read(&args, &config.providers) {
        Ok(jobs) => jobs,
        Err(error @ InputError::Read { .. }) => return Err(error.into()),
        Err(error @ (InputError::Format { .. } | InputError::Rows { .. })) => {
            tell!("roomsweep: {error}");
            return Ok(ExitCode::from(USAGE));
        }
    };
    let opener = Opener::beside(&config.queue, config.providers)?;
    let (mut stop, _watching) = signals::watch("stopping")?;
    let tally = Tally::default();
    tokio::select! {
        biased;
        done = work(&context, &opener, &jobs, &args, &tally) => done,
        () = stop.asked() => {
            tell!(
                "roomsweep: interrupted: {} of {} confirmed; with --batch, running the same command again publishes the same jobs",
                tally.confirmed.get(),
                jobs.len()
            );
            Ok(ExitCode::from(signals::INTERRUPTED))
        }
    }
}

async fn work(
    context: &Context,
    opener: &Opener,
    jobs: &[DismissJob],
    args: &Args,
    tally: &Tally,
) -> anyhow::Result<ExitCode> {
    let opened = match opener.open().await {
        Ok(opened) => opened,
        Err(error) => match error.remedy() {
            Remedy::Operator | Remedy::File => {
                tell!("roomsweep: {error}; nothing was published");
                return Ok(ExitCode::from(USAGE));
            }
            Remedy::ThisMachine | Remedy::Time => {
                return Err(anyhow::Error::new(error).context("nothing was published"));
            }
        },
    };
    if args.batch.is_some() {
        register::register(context, jobs).await;
    }
    let published = publish(&opened.entrance, jobs, args, tally).await;
    opened.broker.close().await;
    published.context("nothing was published")?;
    Ok(tally.report(args))
}

fn read(args: &Args, providers: &[ProviderName]) -> Result<Vec<DismissJob>, InputError> {
    let fill = Fill {
        provider: args.provider.clone(),
        app_id: args.app.clone(),
        batch_id: args.batch.clone(),
        lane: args.lane,
        reason: args.reason.clone(),
        requested_by: args.requested_by.clone(),
        not_before: args.not_before,
        expires_at: args.expires_at,
    };
    let mut fresh_id = || JobId::parse(Uuid::now_v7().to_string()).expect("a UUID is a job ID");
    let known = (!providers.is_empty()).then_some(providers);
    let terms = Terms { fill: &fill, known, fresh_id: &mut fresh_id };
    match &args.file {
        Some(path) => input::read_file(path, terms),
        None => input::rooms(&args.room, terms),
    }
}

/// What is known so far, however the command ends.
#[derive(Default)]
struct Tally {
    confirmed: Cell<usize>,
    failed: Cell<usize>,
    reason: OnceCell<BrokerError>,
}

async fn publish(entrance: &Entrance, jobs: &[DismissJob], args: &Args, tally: &Tally) -> Result<(), BrokerError> {
    let live = !args.json && std::io::stderr().is_terminal();
    let note = |job: &DismissJob, outcome: Result<(), BrokerError>| {
        let state = if outcome.is_ok() { "confirmed" } else { "failed" };
        if args.json {
            say!("{}", json!({"job_id": job.job_id, "state": state}));
        }
        match outcome {
            Ok(()) => tally.confirmed.update(|confirmed| confirmed + 1),
            Err(error) => {
                tally.failed.update(|failed| failed + 1);
                tally.reason.get_or_init(|| error);
            }
        }
        let confirmed = tally.confirmed.get();
        if live && confirmed.is_multiple_of(256) {
            out::redraw(format_args!("\r{confirmed} of {} confirmed", jobs.len()));
        }
    };
    entrance.put(jobs, note).await?;
    if live {
        out::notice(format_args!("\r\x1b[K"));
    }
    Ok(())
}

impl Tally {
    fn report(&self, args: &Args) -> ExitCode {
        if !args.json {
            say!("{} confirmed", self.confirmed.get());
        }
        let Some(reason) = self.reason.get() else {
            return ExitCode::SUCCESS;
        };
        if let BrokerError::Unroutable(_) = reason {
            tell!("roomsweep: some jobs found no queue: {reason}; which ones is not certain, so count none as queued");
        }
        let again = if args.batch.is_some() {
            "run the same command again: it publishes the same jobs"
        } else {
            "those that were not confirmed may or may not be queued; with --batch a repeated run makes no new jobs"
        };
        tell!("roomsweep: {} not confirmed: {reason}; {again}", self.failed.get());
        ExitCode::FAILURE
    }
}
