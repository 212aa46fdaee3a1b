//! What commands print and tell. Work that is under way goes on though nobody reads it, or nobody does any more.

use std::fmt;
use std::io;
use std::time::Duration;

use super::signals;
use crate::app::streams::{self, EXIT_WAIT};

/// Prints a line to standard output, as `println!` does, but never waits for its reader, and none that has gone is
/// missed. What cannot be written for another reason is told at the end, and [`is_lost`] knows it.
macro_rules! say {
    ($($line:tt)+) => { $crate::app::cli::out::line(format_args!($($line)+)) };
}
pub(crate) use say;

/// Tells a line on standard error, as `eprintln!` does, but never waits for its reader, and none that has gone is
/// missed.
macro_rules! tell {
    () => { $crate::app::cli::out::notice(format_args!("\n")) };
    ($($line:tt)+) => { $crate::app::cli::out::notice(format_args!("{}\n", format_args!($($line)+))) };
}
pub(crate) use tell;

/// Both streams may be one terminal: a line of the one waits so long for those of the other before it.
const ORDER_WAIT: Duration = Duration::from_millis(100);

/// What [`say`] does.
pub fn line(line: fmt::Arguments<'_>) {
    streams::stderr().settle(ORDER_WAIT);
    streams::stdout().offer(format!("{line}\n").into_bytes());
}

/// What [`tell`] does; a question is one without the end of a line.
pub fn notice(text: fmt::Arguments<'_>) {
    streams::stdout().settle(ORDER_WAIT);
    streams::stderr().offer(text.to_string().into_bytes());
}

/// Redraws the last line of the terminal, unless that is behind.
pub fn redraw(frame: fmt::Arguments<'_>) {
    streams::stderr().offer_if_idle(frame.to_string().into_bytes());
}

/// Waits a moment for the terminal, so that the next [`redraw`] is seen.
pub fn settle() {
    streams::stderr().settle(ORDER_WAIT);
}

/// Whether something was said that could not be written, and not for want of a reader. To be asked at the end.
pub fn is_lost() -> bool {
    match streams::stdout().failure() {
        Some(error) => {
            tell!("roomsweep: standard output: {error}");
            true
        }
        None => false,
    }
}

/// Prints lines.
pub fn print(lines: impl Iterator<Item = String>) {
    lines.for_each(|line| say!("{line}"));
}

/// How the wait for the reader of standard output ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// As it should; or who ended the command is not to wait for it.
    Over,
    Interrupted,
}

/// Waits until all is read that was printed, or until Ctrl-C or SIGTERM; not for long once there was one.
pub async fn read() -> Read {
    if streams::stdout().finish(ORDER_WAIT) {
        return Read::Over;
    }
    if signals::is_asked() {
        streams::stdout().finish(EXIT_WAIT);
        return Read::Over;
    }
    let Ok(asked) = signals::asked() else { return Read::Over };
    tokio::select! {
        biased;
        () = streams::written() => Read::Over,
        () = asked => Read::Interrupted,
    }
}

/// Whether the other end still reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    There,
    Gone,
}

/// Prints what may be long, and waits until it is read.
pub async fn page(text: Vec<u8>) -> io::Result<Reader> {
    let stdout = streams::stdout();
    stdout.offer(text);
    stdout.settle(ORDER_WAIT);
    streams::written().await;
    match stdout.failure() {
        Some(error) => Err(io::Error::other(error)),
        None if stdout.is_closed() => Ok(Reader::Gone),
        None => Ok(Reader::There),
    }
}
