//! `check`: is everything there that a worker needs?

mod ledger;

use std::process::ExitCode;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Context;
use crate::adapters::{amqp, sqlite};
use crate::app::cli::out::say;
use crate::app::cli::table::cut;
use crate::app::config::{self, Config, ProviderConfig, Queue};
use crate::app::wire::{self, OpenError, Opener};
use crate::pipeline::account::{Account, Common};
use crate::pipeline::stamp::NoStamp;
use crate::ports::broker::Broker;
use crate::ports::ledger::Migrate;
use crate::provider::Call;

/// Say whether everything is there that a worker needs.
///
/// One line each for configuration, broker, topology, ledger, clock and credentials: ok, or what to
/// do about it. Exit code 1 if any of them is not. The queues are made, as a worker would do it, and
/// a write has to be confirmed; no room is closed.
///
/// Examples:
///   roomsweep --config roomsweep.toml check
///   roomsweep check --migrate
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Stop after the configuration: no connection is made.
    #[arg(long)]
    config_only: bool,
    /// Bring the ledger's schema up to date, as a starting worker does. Any number may do it at a time.
    #[arg(long, conflicts_with = "config_only")]
    migrate: bool,
}

/// A provider's clock may differ from ours by so much before signatures are refused; half of it is a warning.
const CLOCK_LIMIT: Duration = Duration::from_secs(15 * 60);

/// A write that is not confirmed by then shows that none is.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);

pub async fn run(args: Args, context: Context) -> anyhow::Result<ExitCode> {
    let config = match config::load(context.file.as_deref(), &context.env) {
        Ok(config) => config,
        Err(faults) => return Ok(super::refuse(&faults)),
    };
    let mut report = Report::default();
    let names: Vec<_> = config.providers.iter().map(|provider| provider.name.as_str()).collect();
    report.ok("configuration", &format!("providers: {}", names.join(", ")));
    if !args.config_only {
        queue(&config, &mut report).await;
        let migrate = if args.migrate { Migrate::Yes } else { Migrate::No };
        ledger::check(&config, migrate, &mut report).await;
        let common = wire::common(&config);
        for (provider, account) in config.providers.iter().zip(wire::accounts(&config, &common)?) {
            clock(provider, &account, &common, &mut report).await;
            credentials(&account, &common, &mut report).await;
        }
    }
    Ok(report.exit_code())
}

#[derive(Default)]
struct Report {
    failed: usize,
}

impl Report {
    fn ok(&mut self, what: &str, note: &str) {
        line("ok      ", what, note);
    }

    /// Nothing is wrong, but nothing was proven either.
    fn untried(&mut self, what: &str, note: &str) {
        line("untried ", what, note);
    }

    fn fail(&mut self, what: &str, note: &str) {
        self.failed += 1;
        line("FAILED  ", what, note);
    }

    fn exit_code(&self) -> ExitCode {
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Whatever a provider or a broker may have written, it is one line.
fn line(stands: &str, what: &str, note: &str) {
    say!("{stands}{what}: {}", cut(note, 2_000));
}

async fn queue(config: &Config, report: &mut Report) {
    let opener = match Opener::of_worker(config) {
        Ok(opener) => opener,
        Err(error) => return report.fail("broker", &format!("{error:#}")),
    };
    match (&config.queue, opener.open().await) {
        (Queue::Amqp { url, namespace, .. }, Ok(opened)) => {
            match confirms(&*opened.broker).await {
                Ok(()) => report.ok("broker", &url.to_string()),
                Err(why) => report.fail("broker", &format!("{url}: connected, but it confirms nothing ({why})")),
            }
            report.ok(
                "topology",
                &format!(
                    "all queues and exchanges under {namespace:?} are there; policies cannot be seen from here, and none with \
                     message-ttl, max-length or expires may apply to them (rabbitmqctl list_policies)"
                ),
            );
            opened.broker.close().await;
        }
        (Queue::Sqlite { path }, Ok(opened)) => {
            match confirms(&*opened.broker).await {
                Ok(()) => report.ok("queue file", &format!("{} can be worked on", path.display())),
                Err(why) => report.fail("queue file", &format!("{}: it takes no writes ({why})", path.display())),
            }
            opened.broker.close().await;
        }
        (Queue::Amqp { url, .. }, Err(OpenError::Amqp(amqp::OpenError::Unreachable(reason)))) => {
            report.fail("broker", &format!("{url}: {reason}; is it running, and are queue.url's user and host right?"));
        }
        (Queue::Amqp { url, .. }, Err(error)) => {
            report.ok("broker", &url.to_string());
            report.fail(
                "topology",
                &format!("{error}; delete it by hand if nothing in it is needed, or change queue.namespace"),
            );
        }
        // Somebody at work on it shows better than any check that it is fit.
        (Queue::Sqlite { path }, Err(OpenError::Sqlite(sqlite::OpenError::Busy { .. }))) => {
            report.ok("queue file", &format!("{}: a worker or a sweep is at work on it", path.display()));
        }
        (Queue::Sqlite { .. }, Err(error)) => report.fail("queue file", &error.to_string()),
    }
}

/// Whether what is written is confirmed; why not.
async fn confirms(broker: &dyn Broker) -> Result<(), String> {
    match tokio::time::timeout(CONFIRM_TIMEOUT, broker.prove()).await {
        Ok(proven) => proven.map_err(|error| error.to_string()),
        Err(_) => Err(broker.flow().blocked().unwrap_or_else(|| format!("no answer within {CONFIRM_TIMEOUT:?}"))),
    }
}

/// Asks the provider's gateway for nothing, unsigned, and reads the time off its answer.
async fn clock(provider: &ProviderConfig, account: &Account, common: &Common, report: &mut Report) {
    let what = format!("clock of {}", provider.name);
    let endpoint = provider.settings.endpoint();
    let call = Call {
        method: http::Method::GET,
        url: endpoint.join("/"),
        headers: http::HeaderMap::new(),
        body: bytes::Bytes::new(),
    };
    let reply = match account.terms().transport.send(call, Duration::from_secs(5), oneshot::channel().0).await {
        Ok(reply) => reply,
        Err(error) => return report.fail(&what, &format!("{endpoint} does not answer: {error}")),
    };
    let told = reply.headers.get(http::header::DATE).and_then(|date| date.to_str().ok()).and_then(read_http_date);
    let Some(told) = told else {
        return report.untried(&what, &format!("{endpoint} answers without a date"));
    };
    let apart = common.clock.now().duration_since(told).unsigned_abs();
    let seconds = apart.as_secs();
    if apart >= CLOCK_LIMIT / 2 {
        report.fail(&what, &format!("{seconds} s apart from {endpoint}, 900 s are refused: set this machine's clock"));
    } else {
        report.ok(&what, &format!("{seconds} s apart from {endpoint}"));
    }
}

fn read_http_date(date: &str) -> Option<jiff::Timestamp> {
    let parsed = jiff::fmt::rfc2822::parse(date).ok()?;
    Some(parsed.timestamp())
}

/// A token can be fetched without harm; a signature is only tried by closing a room.
async fn credentials(account: &Account, common: &Common, report: &mut Report) {
    let what = format!("credentials of {}", account.name);
    let terms = account.terms();
    if terms.provider.token_call().is_none() {
        let note = "access key and secret are set; only a real job shows whether the provider takes them";
        return report.untried(&what, note);
    }
    match terms.stamps.fresh(account, &terms).await {
        Ok(_) => report.ok(&what, &format!("a token was issued at {}", common.clock.now())),
        Err(NoStamp::Shortage(short)) => report.fail(&what, &format!("no token: {short}")),
        Err(NoStamp::Verdict(verdict)) => {
            let fault = verdict.fault().map(|fault| format!("{}: {}", fault.code, fault.message)).unwrap_or_default();
            report.fail(&what, &format!("no token: {fault}"));
        }
    }
}
