//! Ctrl-C and SIGTERM for commands that run for a while.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use super::out::tell;
use crate::app::streams::{self, ABRUPT_EXIT_WAIT};
use crate::pipeline::stop::{self, Stop};

/// As a shell calls a command that Ctrl-C ended.
pub const INTERRUPTED: u8 = 130;
/// So long a command that was asked to stop may bring to an end what it is at.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether the command itself sees to signals.
static WATCHED: AtomicBool = AtomicBool::new(false);

/// Has Ctrl-C end the process at once, whatever it waits for, until the command itself sees to it.
pub fn end_on_interrupt() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // A thread of its own: the command's may be waiting for its input.
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return };
            while interrupt.recv().await.is_some() {
                if !WATCHED.load(Ordering::Relaxed) {
                    tell!("roomsweep: interrupted");
                    streams::stderr().finish(ABRUPT_EXIT_WAIT);
                    std::process::exit(i32::from(INTERRUPTED));
                }
            }
        });
    })?;
    Ok(())
}

/// Whether somebody wants this command to end.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Whether [`watch`] or [`asked`] saw a signal.
pub fn is_asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// Waits for Ctrl-C or SIGTERM, from this call on.
pub fn asked() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        ASKED.store(true, Ordering::Relaxed);
    })
}

/// Turns the first signal into a stop; the second one ends the process at once.
pub fn watch(said: &'static str) -> anyhow::Result<(Stop, JoinHandle<()>)> {
    let (stopper, stop) = stop::channel();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    WATCHED.store(true, Ordering::Relaxed);
    let watching = tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        ASKED.store(true, Ordering::Relaxed);
        tell!("{said}");
        stopper.stop();
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        streams::stderr().finish(ABRUPT_EXIT_WAIT);
        std::process::exit(i32::from(INTERRUPTED));
    });
    Ok((stop, watching))
}

/// Resolves when a command that was asked to stop has had its time.
pub async fn overdue(mut stop: Stop) {
    stop.asked().await;
    tokio::time::sleep(STOP_TIMEOUT).await;
}
