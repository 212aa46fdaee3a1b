//! Standard output, whose reader may have seen enough.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Says a line to standard output at once, as `println!` does. Work that is under way goes on though nobody reads it any
/// more; what cannot be written for another reason is told once, and [`is_lost`] remembers it.
macro_rules! say {
    ($($line:tt)+) => { $crate::app::cli::out::line(format_args!($($line)+)) };
}
pub(crate) use say;

static LOST: AtomicBool = AtomicBool::new(false);

/// What [`say`] does.
pub fn line(line: fmt::Arguments<'_>) {
    let written = io::stdout().lock().write_fmt(format_args!("{line}\n"));
    if let Err(error) = unless_closed(written)
        && !LOST.swap(true, Ordering::Relaxed)
    {
        eprintln!("roomsweep: standard output: {error}");
    }
}

/// Whether something was said that could not be written, and not for want of a reader.
pub fn is_lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Writes lines; a reader that has seen enough is no fault.
pub fn print(lines: impl Iterator<Item = String>) -> io::Result<()> {
    unless_closed(write(lines)).map(|_| ())
}

/// Whether the other end still reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    There,
    Gone,
}

/// Turns the closed pipe of a reader that has seen enough into an answer.
pub fn unless_closed(written: io::Result<()>) -> io::Result<Reader> {
    match written {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error),
    }
}

fn write(lines: impl Iterator<Item = String>) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}
