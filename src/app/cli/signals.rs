//! Ctrl-C and SIGTERM for commands that run for a while.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

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
                    eprintln!("roomsweep: interrupted");
                    std::process::exit(i32::from(INTERRUPTED));
                }
            }
        });
    })?;
    Ok(())
}

/// Turns the first signal into a stop; the second one ends the process at once.
pub fn watch(said: &'static str) -> anyhow::Result<(Stop, JoinHandle<()>)> {
    let (stopper, stop) = stop::channel();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    WATCHED.store(true, Ordering::Relaxed);
    let watching = tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        eprintln!("{said}");
        stopper.stop();
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        std::process::exit(i32::from(INTERRUPTED));
    });
    Ok((stop, watching))
}

/// Resolves when a command that was asked to stop has had its time.
pub async fn overdue(mut stop: Stop) {
    stop.asked().await;
    tokio::time::sleep(STOP_TIMEOUT).await;
}
