//! The commands: one file each.

mod ask;
mod batch;
mod check;
mod dead;
mod demo;
mod desk;
mod enqueue;
mod history;
pub mod input;
mod out;
mod pause;
mod progress;
mod sandbox;
pub mod schema;
mod signals;
mod signature;
mod sweep;
mod table;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::config::{self, Environment};
use super::descriptors;
use super::telemetry::{self, LogFormat};
use out::{Read, tell};

/// Usage or configuration error, before anything was sent.
pub const USAGE: u8 = 2;

/// Closes RTC rooms reliably: reads dismiss jobs from a queue and sends each, signed and within its
/// provider's quota, until there is a result for every one.
///
/// Examples:
///   roomsweep demo
///   roomsweep --config roomsweep.toml worker
///   roomsweep sweep rooms.txt --provider volcengine --app 661e0000
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment, name = "roomsweep", version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    /// Configuration file; ./roomsweep.toml if it is there. ROOMSWEEP__SECTION__KEY overrides single keys.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How log lines are written to stderr; their level is set by RUST_LOG (default: info, and warn beside progress bars and tables).
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Sweep(sweep::Args),
    Worker(worker::Args),
    Enqueue(enqueue::Args),
    Batch(batch::Args),
    History(history::Args),
    Pause(pause::Pause),
    Resume(pause::Resume),
    Dead(dead::Args),
    Check(check::Args),
    Schema(schema::Args),
    Sandbox(sandbox::Args),
}

impl Command {
    /// Whether Ctrl-C is no ordinary end of it.
    fn ends_by_itself(&self) -> bool {
        match self {
            Command::Worker(_) | Command::Sandbox(_) => false,
            Command::Demo(_)
            | Command::Sweep(_)
            | Command::Enqueue(_)
            | Command::Batch(_)
            | Command::History(_)
            | Command::Pause(_)
            | Command::Resume(_)
            | Command::Dead(_)
            | Command::Check(_)
            | Command::Schema(_) => true,
        }
    }

    /// Beside a progress bar, only what somebody must see.
    fn default_level(&self) -> &'static str {
        match self {
            Command::Demo(_)
            | Command::Sweep(_)
            | Command::Batch(_)
            | Command::History(_)
            | Command::Pause(_)
            | Command::Resume(_)
            | Command::Dead(_) => "warn",
            Command::Worker(_) | Command::Enqueue(_) | Command::Check(_) | Command::Schema(_) | Command::Sandbox(_) => {
                "info"
            }
        }
    }

    fn reach(&self) -> Reach {
        match self {
            Command::Worker(_) | Command::Sweep(_) | Command::Demo(_) | Command::Sandbox(_) => Reach::Sends,
            Command::Enqueue(_)
            | Command::Batch(_)
            | Command::History(_)
            | Command::Pause(_)
            | Command::Resume(_)
            | Command::Dead(_)
            | Command::Check(_)
            | Command::Schema(_) => Reach::Asks,
        }
    }
}

/// What a command does to its machine.
#[derive(Clone, Copy)]
enum Reach {
    /// It holds many connections.
    Sends,
    Asks,
}

/// What every command is given.
pub struct Context {
    pub file: Option<PathBuf>,
    pub env: Environment,
}

/// Runs the process's command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let env = Environment::of_process();
    #[cfg(debug_assertions)]
    if let Some(Err(error)) = env.filled("ROOMSWEEP_CRASH_AT").map(crate::ports::crash::arm) {
        tell!("roomsweep: ROOMSWEEP_CRASH_AT: {error}");
        return ExitCode::from(USAGE);
    }
    let level = env.filled("RUST_LOG").unwrap_or(cli.command.default_level());
    if let Err(error) = telemetry::init(cli.log_format, Some(level), env.get("NO_COLOR")) {
        tell!("roomsweep: logging: {error:#}");
        return ExitCode::from(USAGE);
    }
    if cli.command.ends_by_itself()
        && let Err(error) = signals::end_on_interrupt()
    {
        tell!("roomsweep: cannot start: {error:#}");
        return ExitCode::FAILURE;
    }
    match cli.command.reach() {
        Reach::Sends => descriptors::raise_limit(),
        Reach::Asks => {}
    }
    if let Err(error) = descriptors::check() {
        tell!("roomsweep: cannot start: {error}");
        return ExitCode::FAILURE;
    }
    // One thread: the HTTP client's notice of a written request is exact only there (see adapters::http), and one
    // thread sends far more than any provider allows.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell!("roomsweep: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let context = Context { file: config::find(cli.config), env };
    let code = runtime.block_on(async {
        let code = run(cli.command, context).await.unwrap_or_else(|error| {
            tell!("roomsweep: {error:#}");
            ExitCode::FAILURE
        });
        // Whoever has not read it yet may still want to; or wants to leave.
        if out::read().await == Read::Interrupted { ExitCode::from(signals::INTERRUPTED) } else { code }
    });
    runtime.shutdown_background();
    if out::is_lost() && code == ExitCode::SUCCESS { ExitCode::FAILURE } else { code }
}

async fn run(command: Command, context: Context) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(args) => demo::run(args).await,
        Command::Sweep(args) => sweep::run(args, context).await,
        Command::Worker(args) => worker::run(args, context).await,
        Command::Enqueue(args) => enqueue::run(args, context).await,
        Command::Batch(args) => batch::run(args, context).await,
        Command::History(args) => history::run(args, context).await,
        Command::Pause(args) => pause::pause(args, context).await,
        Command::Resume(args) => pause::resume(args, context).await,
        Command::Dead(args) => dead::run(args, context).await,
        Command::Check(args) => check::run(args, context).await,
        Command::Schema(args) => Ok(schema::run(&args)),
        Command::Sandbox(args) => sandbox::run(args).await,
    }
}

/// Says what is wrong with the configuration, every fault on a line of its own.
fn refuse(faults: &config::Faults) -> ExitCode {
    tell!("roomsweep: the configuration is not usable:\n{faults}");
    ExitCode::from(USAGE)
}
