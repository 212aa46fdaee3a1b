//! `batch`: how far a batch is, and how to stop it.

mod cancel;
mod text;
mod watch;

use std::process::ExitCode;

use super::Context;
use super::desk::Desk;
use super::out::{print, tell};
use super::signature::Signature;
use super::table::Table;
use crate::app::board::BatchView;
use crate::app::wire;
use crate::model::ids::BatchId;
use crate::ports::ledger::LedgerError;

/// See how far batches are, and stop one.
///
/// A batch is known from `enqueue --batch`, or from its first job that is settled. Its end is
/// estimated from its own pace, from what waits ahead of it, and from what its providers take.
///
/// Examples:
///   roomsweep batch watch incident-42
///   roomsweep batch cancel incident-42 --reason "wrong list"
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
    Watch(Watch),
    Cancel(Cancel),
}

/// List batches, the newest first, a line each.
///
/// Example:  roomsweep batch list --limit 5
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct List {
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Show how a batch stands: settled by outcome, pace, and when it is over or why nobody can tell.
///
/// Example:  roomsweep batch show incident-42 --json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct Show {
    #[arg(value_name = "ID", value_parser = |text: &str| BatchId::parse(text))]
    id: BatchId,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Watch a batch until it is over. One whose size nobody told has no end: Ctrl-C ends the watching,
/// never the batch.
///
/// Exit code 0 if it is over and nothing failed; 1 if something did (rejected, exhausted, expired or
/// invalid), or no such batch is known; 130 after Ctrl-C.
///
/// Example:  roomsweep batch watch incident-42
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct Watch {
    #[arg(value_name = "ID", value_parser = |text: &str| BatchId::parse(text))]
    id: BatchId,
}

/// Stop a batch: what was not sent of it ends with the outcome cancelled, for good.
///
/// Says how much is settled and left, and asks. Within 2 s no worker sends anything of it any more;
/// jobs that wait for a retry or for their time end when they surface, at most 17 min later. An
/// unknown batch may be cancelled too: then its jobs end as they come.
///
/// Example:  roomsweep batch cancel incident-42 --reason "wrong list" --yes
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct Cancel {
    #[arg(value_name = "ID", value_parser = |text: &str| BatchId::parse(text))]
    id: BatchId,
    #[command(flatten)]
    signature: Signature,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub async fn run(args: Args, context: Context) -> anyhow::Result<ExitCode> {
    let desk = match Desk::open(&context).await {
        Ok(desk) => desk,
        Err(code) => return Ok(code),
    };
    let ended = match args.what {
        What::List(args) => list(&desk, &args).await,
        What::Show(args) => show(&desk, &args).await,
        What::Watch(args) => watch::watch(&desk, &args.id).await,
        What::Cancel(args) => {
            let act = args.signature.clone().act(&context.env, &wire::host_name(), desk.clock.now());
            cancel::cancel(&desk, &args, &act).await
        }
    };
    desk.ledger.close().await;
    ended
}

async fn list(desk: &Desk, args: &List) -> anyhow::Result<ExitCode> {
    let batches = desk.ledger.batches(args.limit).await?;
    let reports = desk.ledger.reports().await?;
    let now = desk.clock.now();
    let views: Vec<BatchView> = batches.into_iter().map(|batch| BatchView::of(batch, &reports, now)).collect();
    if args.json {
        print(views.iter().map(|view| serde_json::to_string(view).unwrap_or_default()));
    } else if views.is_empty() {
        tell!("the ledger knows no batch");
    } else {
        let rows: Vec<_> = views.iter().map(|view| text::cells(view, now)).collect();
        print(Table::fit(text::TITLES, text::WIDEST, &rows).lines(&rows));
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(desk: &Desk, args: &Show) -> anyhow::Result<ExitCode> {
    let Some(view) = look(desk, &args.id).await? else {
        tell!("roomsweep: {}", unknown(&args.id));
        return Ok(ExitCode::FAILURE);
    };
    if args.json {
        print(std::iter::once(serde_json::to_string(&view)?));
    } else {
        print(text::whole(&view, desk.clock.now()).into_iter());
    }
    Ok(ExitCode::SUCCESS)
}

/// How a batch stands now; None where nobody has heard of it.
async fn look(desk: &Desk, id: &BatchId) -> Result<Option<BatchView>, LedgerError> {
    let Some(batch) = desk.ledger.batch(id).await? else { return Ok(None) };
    let reports = desk.ledger.reports().await?;
    Ok(Some(BatchView::of(batch, &reports, desk.clock.now())))
}

fn unknown(id: &BatchId) -> String {
    format!("the ledger knows no batch {id}: none of its jobs is settled, and nobody told of it")
}
