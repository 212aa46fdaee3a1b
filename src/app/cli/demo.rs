//! `demo`: the whole thing on loopback, with nothing installed.

mod report;
mod rooms;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::progress::{Progress, Stage, held_up};
use super::signals;
use super::sweep::follow::Follow;
use crate::adapters::sqlite::{Part, SqliteQueue, Tally};
use crate::app::admin::{self, AdminState, Exposure, Intake};
use crate::app::cli::out::say;
use crate::app::config::{self, Environment};
use crate::app::embedded::{Ended, Engine, Onlooker};
use crate::app::wire::{Door, Entrance};
use crate::app::{run, wire};
use crate::pipeline::stop;
use crate::ports::broker::Broker;
use crate::ports::meter::QueueLink;
use crate::ports::readiness::Readiness;
use stage::{Clouds, Folder};

/// See it all work: 600 rooms are closed at stand-ins for both clouds, on loopback.
///
/// The sandbox checks every signature and keeps the quotas; some rooms fail, throttle or are gone.
/// The embedded queue, the sender and the admin port are those that a worker has. Everything is on
/// loopback, on ports that are free, and in a temporary folder that goes at the end. It takes about
/// 15 seconds. Exit code 0 if the sandbox saw what we say.
///
/// Example:  roomsweep demo
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Keep everything (configuration, queue, rooms, results, what the sandbox saw) in this folder.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let folder = Folder::new(args.keep)?;
    let clouds = Clouds::start(&folder)?;
    let file = folder.write("roomsweep.toml", &stage::configuration(clouds.address, &folder))?;
    let config = match config::load(Some(&file), &Environment::default()) {
        Ok(config) => config,
        Err(faults) => return Ok(super::refuse(&faults)),
    };
    let jobs = rooms::all();
    folder.write("rooms.csv", &rooms::csv(&jobs))?;

    let common = wire::common(&config);
    let queue = Arc::new(SqliteQueue::open(&folder.path("roomsweep.db"), Part::Sender, common.clock.clone()).await?);
    let sweep = queue.begin_sweep("demo", &jobs).await?;
    let lanes = run::lanes(wire::accounts(&config, &common)?);
    let engine = Engine { queue: queue.clone(), tag: sweep.tag.clone(), common, lanes, grace: config.shutdown.grace };

    let listener = TcpListener::bind(config.admin.listen).await.context("no free port on loopback")?;
    let admin = listener.local_addr()?;
    let readiness = Readiness::starting();
    let door = Door::default();
    door.open(Entrance::Sqlite(queue.clone()));
    let state = AdminState {
        meter: engine.common.meter.clone(),
        readiness: readiness.clone(),
        clock: engine.common.clock.clone(),
        version: env!("CARGO_PKG_VERSION"),
        worker: engine.common.worker.to_string(),
        intake: Intake {
            door,
            providers: engine.common.providers.clone(),
            token: Arc::default(),
            exposure: Exposure::Loopback,
        },
        ledger: None,
    };
    let (admin_stopper, mut admin_stop) = stop::channel();
    let serving = tokio::spawn(admin::serve(listener, state, async move { admin_stop.asked().await }));
    say!("{} rooms at two clouds that run here, on http://{}", jobs.len(), clouds.address);
    say!("while it runs: http://{admin}/ (metrics at http://{admin}/metrics)");

    engine.common.meter.queue_connected(QueueLink::Up);
    readiness.ready();
    let clock = engine.common.clock.clone();
    let mut desk = Desk {
        follow: Follow::new(Some(&folder.path("results.jsonl")))?,
        progress: Progress::new(clock.elapsed()),
        total: sweep.total,
        engine: &engine,
    };
    let (stop, _watching) = signals::watch("stopping")?;
    let ended = engine.run(stop, &mut desk).await;
    let Desk { progress, .. } = desk;
    progress.end();
    readiness.draining();
    if ended? == Ended::Stopped {
        queue.close().await;
        return Ok(ExitCode::from(signals::INTERRUPTED));
    }
    queue.finish_sweep(&sweep.tag).await?;
    let results = report::all(&queue, &sweep.tag).await?;
    let report = report::Report::of(&config, &jobs, &results, &clouds.sandbox);
    say!("\n{report}");
    let metrics = report::settled_by_metrics(&engine.common.meter);
    say!("metrics: {metrics} jobs settled, as http://{admin}/metrics told until now");
    say!("{}", folder.farewell());
    admin_stopper.stop();
    let _closed = tokio::time::timeout(std::time::Duration::from_secs(2), serving).await;
    queue.close().await;
    let agreed = report.agrees() && metrics == results.len() as u64;
    Ok(if agreed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Looks on: shows progress, and writes results where they can be read meanwhile.
struct Desk<'e> {
    follow: Follow,
    progress: Progress,
    total: u64,
    engine: &'e Engine,
}

impl Onlooker for Desk<'_> {
    async fn look(&mut self, _: &Tally) -> anyhow::Result<()> {
        let Engine { queue, tag, common, .. } = self.engine;
        self.follow.catch_up(queue, tag).await?;
        let stage = Stage { total: self.total, done: self.follow.settled(), failed: self.follow.failed };
        self.progress.show(stage, common.clock.elapsed(), &held_up(&common.meter));
        Ok(())
    }
}
