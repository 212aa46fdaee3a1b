//! The worker's life: start, supervise, connect anew, stop in order.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::admin::{self, AdminState, Exposure, Intake};
use super::config::Config;
use super::wire::{self, Door, OpenError, Opened, Opener, Remedy};
use crate::pipeline::account::{Account, Common};
use crate::pipeline::lane::Lane;
use crate::pipeline::stop::{self, Stop};
use crate::pipeline::{backlog, router};
use crate::ports::broker::{Broker, BrokerError};
use crate::ports::meter::QueueLink;
use crate::ports::readiness::Readiness;

/// Between two tries to reach the broker, at least and at most; each is drawn from the upper half.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// A session that lived so long was a good one: the next connection is tried without delay.
const LASTING: Duration = Duration::from_secs(30);
/// A broker that is frozen or gone is not waited for.
const GOOD_BYE: Duration = Duration::from_secs(2);

/// A lane survives the tasks that run it: what it has on the wire is not lost with a connection.
pub(super) type Lanes = Vec<Arc<Mutex<Lane>>>;

/// Works until SIGTERM or SIGINT, then drains.
pub async fn worker(config: Config) -> anyhow::Result<ExitCode> {
    let common = wire::common(&config);
    let opener = Opener::of_worker(&config)?;
    let lanes = lanes(wire::accounts(&config, &common)?);
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
    let state = AdminState {
        meter: common.meter.clone(),
        readiness: readiness.clone(),
        clock: common.clock.clone(),
        version: env!("CARGO_PKG_VERSION"),
        worker: common.worker.to_string(),
        intake: Intake {
            door: door.clone(),
            providers: common.providers.clone(),
            token: config.admin.token.clone(),
            exposure: if address.ip().is_loopback() { Exposure::Loopback } else { Exposure::Network },
        },
    };
    let admin = tokio::spawn(admin::serve(listener, state, async move { admin_stop.asked().await }));
    tracing::info!(%address, worker = %common.worker, "started");

    let watch = tokio::spawn(watch_signals(stopper, readiness.clone()));
    let ended = supervise(&opener, &door, &lanes, &common, &readiness, stop, config.shutdown.grace).await;
    watch.abort();
    admin_stopper.stop();
    let _closed = tokio::time::timeout(Duration::from_secs(2), admin).await;
    match ended {
        Ok(()) => {
            tracing::info!("stopped");
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            tracing::error!(%error, "cannot work with this {}", opener.kind());
            Ok(match error.remedy() {
                Remedy::Operator => ExitCode::from(2),
                Remedy::ThisMachine | Remedy::Time => ExitCode::FAILURE,
            })
        }
    }
}

pub(super) fn lanes(accounts: Vec<Arc<Account>>) -> Lanes {
    accounts.into_iter().map(|account| Arc::new(Mutex::new(Lane::new(account)))).collect()
}

/// The first signal asks for the drain, the second ends the process at once.
async fn watch_signals(stopper: stop::Stopper, readiness: Readiness) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    tracing::info!("draining: letting what is on the wire finish; once more to end at once");
    readiness.draining();
    stopper.stop();
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    std::process::exit(143);
}

/// Connects, works, and connects anew, until asked to stop. An error is one that does not mend itself: before the first
/// session that is more, for then somebody is still looking.
async fn supervise(
    opener: &Opener,
    door: &Door,
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
            () = stop.asked() => break,
            opened = opener.open() => opened,
        };
        let reason = match opened {
            Ok(Opened { broker, entrance }) => {
                tracing::info!("connected to the {}", opener.kind());
                worked = Worked::Before;
                door.open(entrance);
                common.meter.queue_connected(QueueLink::Up);
                readiness.ready();
                let since = common.clock.elapsed();
                let ended = session(&broker, lanes, common, &stop, grace).await;
                door.shut();
                common.meter.queue_connected(QueueLink::Down);
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
                (Remedy::Operator, _) | (Remedy::ThisMachine, Worked::NotYet) => return Err(error),
                (Remedy::Time, _) | (Remedy::ThisMachine, Worked::Before) => error.to_string(),
            },
        };
        let wait = pause.mul_f64(0.5 + (common.jitter)() / 2.0);
        tracing::warn!(reason, "no {}; trying again in {wait:?}", opener.kind());
        readiness.connecting(reason);
        tokio::select! {
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

/// Works on one connection. Ok when asked to stop and drained; an error when the connection is to be given up.
pub(super) async fn session(
    broker: &Arc<dyn Broker>,
    lanes: &Lanes,
    common: &Common,
    stop: &Stop,
    grace: Duration,
) -> Result<(), BrokerError> {
    let mut workers: JoinSet<Result<(), BrokerError>> = JoinSet::new();
    workers.spawn(router::run(broker.clone(), common.clone(), stop.clone()));
    for lane in lanes {
        let (lane, broker, stop) = (lane.clone(), broker.clone(), stop.clone());
        workers.spawn(async move { lane.lock().await.run(&broker, stop).await });
    }
    let mut gauge = std::pin::pin!(backlog::deferred(common.clone(), broker.clone()));
    let work = async {
        loop {
            tokio::select! {
                error = broker.lost() => return Err(error),
                Err(error) = &mut gauge => return Err(error),
                worked = workers.join_next() => match worked {
                    None => return Ok(()),
                    Some(Ok(ended)) => ended?,
                    Some(Err(error)) => return Err(BrokerError::Lost(format!("a worker task failed: {error}"))),
                },
            }
        }
    };
    let mut overdue = std::pin::pin!(overdue(stop.clone(), grace));
    let ended = tokio::select! {
        ended = work => ended,
        () = &mut overdue => Ok(()),
    };
    workers.shutdown().await;
    ended?;
    tokio::select! {
        () = drain(lanes) => {}
        () = &mut overdue => give_up(lanes).await,
    }
    Ok(())
}

/// Resolves when the grace is over: not even a frozen broker keeps a stopping worker longer.
async fn overdue(mut stop: Stop, grace: Duration) {
    stop.asked().await;
    tokio::time::sleep(grace).await;
}

async fn drain(lanes: &Lanes) {
    join_all(lanes.iter().map(|lane| async { lane.lock().await.drain().await })).await;
}

async fn give_up(lanes: &Lanes) {
    let mut given_up = 0;
    for lane in lanes {
        given_up += lane.lock().await.give_up();
    }
    tracing::warn!(given_up, "the grace is over: what was still on the wire goes back to its queue");
}
