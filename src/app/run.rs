//! The worker's life: start, supervise, connect anew, stop in order.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;

use super::admin::{self, AdminState, Exposure, Intake};
use super::attend;
use super::config::{Config, Source};
use super::reload::Reloader;
use super::session::session;
use super::streams::{self, ABRUPT_EXIT_WAIT};
use super::watch;
use super::wire::{self, Access, Door, FrontDoor, LateLedger, OpenError, Opener, Remedy};
use crate::pipeline::account::{Account, Common};
use crate::pipeline::lane::Lane;
use crate::pipeline::stop::{self, Stop};
use crate::ports::ledger;
use crate::ports::meter::QueueLink;
use crate::ports::readiness::Readiness;

/// Between two tries to reach the broker, at least and at most; each is drawn from the upper half.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// A session that lived so long was a good one: the next connection is tried without delay.
const LASTING: Duration = Duration::from_secs(30);
/// A broker that is frozen or gone is not waited for.
const GOOD_BYE: Duration = Duration::from_secs(2);

/// A lane survives the tasks that run it: what it has on the wire is not lost with a connection.
pub type Lanes = Vec<Arc<Mutex<Lane>>>;

/// Works until SIGTERM or SIGINT, then drains; SIGHUP has it read `source` again, of which `config` comes.
pub async fn worker(config: Config, source: Source) -> anyhow::Result<ExitCode> {
    let hangup = signal(SignalKind::hangup())?;
    let late = config.ledger.as_ref().map(|_| Arc::new(LateLedger::default()));
    let common = Common { books: wire::books(&config, late.clone()), ..wire::common(&config) };
    let opener = Opener::of_worker(&config)?;
    let accounts = wire::accounts(&config, &common)?;
    let lanes = lanes(accounts.clone());
    let readiness = Readiness::starting();
    let (stopper, stop) = stop::channel();
    let (admin_stopper, mut admin_stop) = stop::channel();

    let address = config.admin.listen;
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "admin.listen: cannot listen on {address}");
            return Ok(ExitCode::from(2));
        }
    };
    let door = Door::default();
    let admin_token = Arc::new(ArcSwapOption::from_pointee(config.admin.token.clone()));
    let state = AdminState {
        meter: common.meter.clone(),
        readiness: readiness.clone(),
        clock: common.clock.clone(),
        version: env!("CARGO_PKG_VERSION"),
        worker: common.worker.to_string(),
        intake: Intake {
            door: door.clone(),
            providers: common.providers.clone(),
            token: admin_token.clone(),
            exposure: if address.ip().is_loopback() { Exposure::Loopback } else { Exposure::Network },
        },
        ledger: common.books.ledger.clone(),
    };
    let admin = tokio::spawn(admin::serve(listener, state, async move { admin_stop.asked().await }));
    tracing::info!(%address, worker = %common.worker, "started");

    let watch = tokio::spawn(watch_signals(stopper, readiness.clone()));
    let grace = config.shutdown.grace;
    let mut attending = tokio::spawn(attend::attend(late, config.ledger.clone(), common.clone(), accounts.clone()));
    let reloader = tokio::spawn(Reloader::new(source, config, accounts, admin_token).run(hangup));
    let front = FrontDoor { opener, door };
    let ended = tokio::select! {
        biased;
        ended = supervise(&front, &lanes, &common, &readiness, stop, grace) => Ended::Queue(ended),
        Ok(error) = &mut attending => Ended::Ledger(error),
    };
    watch.abort();
    reloader.abort();
    attending.abort();
    admin_stopper.stop();
    let _closed = tokio::time::timeout(GOOD_BYE, admin).await;
    if let Some(ledger) = &common.books.ledger {
        let _closed = tokio::time::timeout(GOOD_BYE, ledger.close()).await;
    }
    match ended {
        Ended::Queue(Ok(())) => {
            tracing::info!("stopped");
            Ok(ExitCode::SUCCESS)
        }
        Ended::Ledger(error) => {
            tracing::error!(%error, "cannot work with this ledger");
            Ok(ExitCode::from(2))
        }
        Ended::Queue(Err(error)) => {
            tracing::error!(%error, "cannot work with this {}", front.kind());
            Ok(match error.remedy() {
                Remedy::Operator | Remedy::File => ExitCode::from(2),
                Remedy::ThisMachine | Remedy::Time => ExitCode::FAILURE,
            })
        }
    }
}

/// What a worker's life ended with.
enum Ended {
    Queue(Result<(), OpenError>),
    Ledger(ledger::OpenError),
}

/// A lane for each account.
pub fn lanes(accounts: Vec<Arc<Account>>) -> Lanes {
    accounts.into_iter().map(|account| Arc::new(Mutex::new(Lane::new(account)))).collect()
}

/// The first signal asks for the drain, the second ends the process at once.
async fn watch_signals(stopper: stop::Stopper, readiness: Readiness) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! { biased; _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    tracing::info!("draining: letting what is on the wire finish; once more to end at once");
    readiness.draining();
    stopper.stop();
    tokio::select! { biased; _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    streams::stderr().finish(ABRUPT_EXIT_WAIT);
    std::process::exit(143);
}

/// Connects, works, and connects anew, until asked to stop. An error is one that does not mend itself: before the first
/// session that is more, for then somebody is still looking.
pub async fn supervise(
    queue: &impl Access,
    lanes: &Lanes,
    common: &Common,
    readiness: &Readiness,
    mut stop: Stop,
    grace: Duration,
) -> Result<(), OpenError> {
    let mut pause = RECONNECT.0;
    let mut worked = Worked::NotYet;
    while !stop.is_asked() {
        let opened = tokio::select! {
            biased;
            () = stop.asked() => break,
            opened = queue.open() => opened,
        };
        let reason = match opened {
            Ok(broker) => {
                tracing::info!("connected to the {}", queue.kind());
                watch::begin(readiness);
                worked = Worked::Before;
                common.meter.queue_connected(QueueLink::Up);
                let since = common.clock.elapsed();
                common.limbo.renew(since);
                let ended = tokio::select! {
                    biased;
                    ended = session(&broker, lanes, common, readiness, &stop, grace) => ended,
                    never = watch::flow(broker.flow(), readiness) => match never {},
                    never = watch::proofs(&*broker, readiness, queue.kind()) => match never {},
                };
                queue.left();
                common.meter.queue_connected(QueueLink::Down);
                common.limbo.stop_ageing(common.clock.elapsed());
                // Requests on the wire hold on to their deliveries, and these to the connection: merely dropped, it
                // would keep the leads from its successor.
                let _closed = tokio::time::timeout(GOOD_BYE, broker.close()).await;
                if common.clock.elapsed().saturating_sub(since) >= LASTING {
                    pause = RECONNECT.0;
                }
                match ended {
                    Ok(()) => return Ok(()),
                    Err(error) => error.to_string(),
                }
            }
            Err(error) => match (error.remedy(), worked) {
                (Remedy::Operator, _) | (Remedy::ThisMachine | Remedy::File, Worked::NotYet) => return Err(error),
                (Remedy::Time, _) | (Remedy::ThisMachine | Remedy::File, Worked::Before) => error.to_string(),
            },
        };
        let wait = pause.mul_f64(0.5 + (common.jitter)() / 2.0);
        tracing::warn!(reason, "no {}; trying again in {wait:?}", queue.kind());
        readiness.connecting(reason);
        tokio::select! {
            biased;
            () = stop.asked() => break,
            () = tokio::time::sleep(wait) => {}
        }
        pause = (pause * 2).min(RECONNECT.1);
    }
    Ok(())
}

/// Whether there was a session before.
#[derive(Clone, Copy)]
enum Worked {
    NotYet,
    Before,
}
