//! `worker`: the main job.

use std::process::ExitCode;

use super::Context;
use crate::app::config::Source;
use crate::app::run;

/// Consume dismiss jobs until SIGTERM or SIGINT, then drain.
///
/// Any number of workers may run against the same queues: for each provider one of them sends, the
/// others stand by. Metrics, health and status are served on `admin.listen` (127.0.0.1:9464).
/// SIGHUP reads the configuration again.
///
/// Example:  roomsweep --config roomsweep.toml --log-format json worker
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {}

pub async fn run(_: Args, context: Context) -> anyhow::Result<ExitCode> {
    let read = Source::open(context.file, context.env).and_then(|source| Ok((source.config()?, source)));
    match read {
        Ok((config, source)) => run::worker(config, source).await,
        Err(faults) => Ok(super::refuse(&faults)),
    }
}
