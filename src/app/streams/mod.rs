//! Standard output and standard error: each is written by a thread of its own, so that no reader of theirs can stop
//! the work.

mod output;
mod queue;

use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::time::Duration;

use output::GapTeller;
pub use output::OutputStream;

/// So many bytes wait for a reader of stderr that is behind; what comes then is dropped and counted.
const STDERR_BYTES: usize = 1 << 20;
/// What is printed is what was asked for: none of it is dropped, and whoever prints much [waits](written) in between.
const STDOUT_BYTES: usize = usize::MAX;
/// How long the end waits for a reader of stderr: one that reads needs no part of it.
pub const EXIT_WAIT: Duration = Duration::from_secs(1);
/// The same for an end that is to be at once.
pub const ABRUPT_EXIT_WAIT: Duration = Duration::from_millis(100);
/// Between two looks whether a reader has read all.
const LOOK: Duration = Duration::from_millis(5);

static STDOUT: OnceLock<OutputStream> = OnceLock::new();
static STDERR: OnceLock<OutputStream> = OnceLock::new();

/// Where results and reports go.
pub fn stdout() -> &'static OutputStream {
    STDOUT.get_or_init(|| start("stdout", rustix::stdio::stdout(), STDOUT_BYTES, |_, _| {}))
}

/// Where logs, notices and progress go.
pub fn stderr() -> &'static OutputStream {
    STDERR.get_or_init(|| start("stderr", rustix::stdio::stderr(), STDERR_BYTES, tell_gap))
}

fn start(name: &str, target: BorrowedFd<'static>, capacity: usize, tell: GapTeller) -> OutputStream {
    OutputStream::start(name, Descriptor(target), capacity, tell).expect("a thread can be started")
}

/// Waits until the reader of stdout has read all that was printed.
pub async fn written() {
    while !stdout().is_idle() {
        tokio::time::sleep(LOOK).await;
    }
}

fn tell_gap(missing: u64, refused: Option<&io::Error>) {
    // At the highest level, so that it is told wherever one of these lines would have been.
    match refused {
        Some(error) => tracing::error!("{missing} log lines were dropped: stderr could not be written: {error}"),
        None => tracing::error!("{missing} log lines were dropped: the reader of stderr stopped"),
    }
}

/// A descriptor without std's lock around it: a thread that is blocked in it blocks no other that writes there.
struct Descriptor(BorrowedFd<'static>);

impl Write for Descriptor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(self.0, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
