//! Ctrl-C and SIGTERM for commands that run for a while.

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use crate::pipeline::stop::{self, Stop};

/// As a shell calls a command that Ctrl-C ended.
pub const INTERRUPTED: u8 = 130;

/// Turns the first signal into a stop; the second one ends the process at once.
pub fn watch(said: &'static str) -> anyhow::Result<(Stop, JoinHandle<()>)> {
    let (stopper, stop) = stop::channel();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let watching = tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        eprintln!("{said}");
        stopper.stop();
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        std::process::exit(i32::from(INTERRUPTED));
    });
    Ok((stop, watching))
}
