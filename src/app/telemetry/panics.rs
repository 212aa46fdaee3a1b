//! A panic is logged like anything else: std writes it to stderr itself, and would wait for the reader.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

use crate::app::streams::{self, EXIT_WAIT};

/// From now on panics are logged, in the form of all other lines.
pub(super) fn log() {
    panic::set_hook(Box::new(|info| {
        tell(info);
        // Nothing runs after this hook then.
        if cfg!(panic = "abort") {
            streams::stderr().finish(EXIT_WAIT);
        }
    }));
}

fn tell(info: &PanicHookInfo<'_>) {
    let said = info.payload_as_str().unwrap_or("a value that is no text");
    let current = thread::current();
    let thread = current.name().unwrap_or("unnamed");
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    if !tracing::enabled!(tracing::Level::ERROR) {
        streams::stderr().offer(format!("roomsweep: thread {thread} panicked at {location}: {said}\n").into_bytes());
        return;
    }
    let trace = Backtrace::capture();
    let backtrace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
    tracing::error!(thread, location, backtrace, "panicked: {said}");
}
