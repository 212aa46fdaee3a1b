//! `history`: what was dismissed when, why and under which request ID.

mod filter;
mod rows;

use std::process::ExitCode;

use super::Context;
use super::desk::Desk;
use super::out::{self, Reader, tell};
use crate::model::ledger::Cursor;
use filter::Filters;
use rows::{Look, Sheet};

/// Look up what became of jobs: when, how, why, and under which request IDs; the last first.
///
/// At least one filter is needed; all that are given must agree. Times are RFC 3339, or ages like
/// 2h. JSON is whole results, one a line, as they are published; CSV has a header row.
///
/// Examples:
///   roomsweep history --room lobby --since 2d
///   roomsweep history --request-id 20230604110420010225022188 --json
///   roomsweep history --batch incident-42 --outcome exhausted --outcome rejected --limit 0 --csv
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    filters: Filters,
    /// At most so many, the last first; 0: all.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
    /// Whole results, one JSON object a line.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Comma-separated values with a header row, as they are: what begins with = is a formula to a spreadsheet.
    #[arg(long)]
    csv: bool,
}

/// How many results are asked for at a time: all that is ever held in memory.
const PAGE: u64 = 500;

pub async fn run(args: Args, context: Context) -> anyhow::Result<ExitCode> {
    let desk = match Desk::open(&context).await {
        Ok(desk) => desk,
        Err(code) => return Ok(code),
    };
    let ended = print(&desk, &args).await;
    desk.ledger.close().await;
    ended?;
    Ok(ExitCode::SUCCESS)
}

async fn print(desk: &Desk, args: &Args) -> anyhow::Result<()> {
    let look = match (args.json, args.csv) {
        (true, _) => Look::Json,
        (false, true) => Look::Csv,
        (false, false) => Look::Table,
    };
    let filter = args.filters.filter(desk.clock.now())?;
    let mut sheet = Sheet::new(look);
    let mut left = if args.limit == 0 { u64::MAX } else { args.limit };
    let mut after: Option<Cursor> = None;
    loop {
        // One more than is shown tells whether there are more.
        let most = left.saturating_add(1).min(PAGE);
        let mut page = desk.ledger.history(&filter, after.as_ref(), u32::try_from(most).unwrap_or(u32::MAX)).await?;
        let found = page.len() as u64;
        page.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        if out::page(sheet.lines(&page)?).await? == Reader::Gone {
            return Ok(());
        }
        if found > left {
            tell!("there are more than these {}: --limit 0 shows all", args.limit);
            return Ok(());
        }
        left -= found;
        match page.last() {
            Some(last) if found == most => after = Some(Cursor::behind(last)),
            Some(_) => return Ok(()),
            None => {
                if after.is_none() {
                    tell!("no result matches");
                }
                return Ok(());
            }
        }
    }
}
