//! A stream that a thread of its own writes: whoever has something to say never waits for its reader.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use super::queue::{LineQueue, Pushed};

/// The thread formats and writes one line at a time.
const STACK_BYTES: usize = 1 << 20;
/// How long a descriptor that does not block and takes nothing is left alone.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Told by the writing thread, once lines get through again: how many are missing, and what the system said of the
/// last of them if it refused it.
pub(super) type GapTeller = fn(missing: u64, refused: Option<&io::Error>);

/// Lines on their way to a file descriptor.
pub struct OutputStream {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Something was queued, or something was written.
    changed: Condvar,
    dropped: AtomicU64,
}

struct State {
    queue: LineQueue,
    /// A line was taken from the queue and is not written yet.
    is_writing: bool,
    /// A reader was waited for in vain; not again before it has read something.
    is_stalled: bool,
    /// Why a line could not be written, of those that came last.
    refused: Option<io::Error>,
    /// The first of them that was not for want of a reader.
    failure: Option<String>,
    /// The reader has closed its end.
    is_closed: bool,
}

impl OutputStream {
    /// Starts the thread that writes to `target` what waits, up to `capacity` bytes.
    pub(super) fn start(
        name: &str,
        target: impl Write + Send + 'static,
        capacity: usize,
        tell: GapTeller,
    ) -> io::Result<Self> {
        let state = State {
            queue: LineQueue::new(capacity),
            is_writing: false,
            is_stalled: false,
            refused: None,
            failure: None,
            is_closed: false,
        };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), dropped: AtomicU64::default() });
        let writing = shared.clone();
        // Not the usual stack of this process, which is for the AMQP client.
        Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(move || writing.write_all(target, tell))?;
        Ok(Self { shared })
    }

    /// Queues a line, or drops and counts it where there is no room.
    pub fn offer(&self, line: Vec<u8>) {
        match self.shared.state().queue.push(line) {
            Pushed::Queued => self.shared.changed.notify_all(),
            Pushed::Dropped => {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Queues what is worth nothing later, unless something waits already.
    pub fn offer_if_idle(&self, frame: Vec<u8>) {
        if self.is_idle() {
            self.offer(frame);
        }
    }

    /// How many lines were dropped, or could not be written, since the start.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Whether all that was queued has been written.
    pub fn is_idle(&self) -> bool {
        self.shared.state().is_idle()
    }

    /// Waits until all is written, for so long at most; not at all for a reader that was waited for in vain before.
    pub fn settle(&self, limit: Duration) {
        if self.shared.state().is_stalled {
            return;
        }
        if !self.finish(limit) {
            self.shared.state().is_stalled = true;
        }
    }

    /// Waits until all is written, for so long at most; whether it is.
    pub fn finish(&self, limit: Duration) -> bool {
        let state = self.shared.state();
        let waited = self.shared.changed.wait_timeout_while(state, limit, |state| !state.is_idle());
        let (_state, result) = waited.unwrap_or_else(PoisonError::into_inner);
        !result.timed_out()
    }

    /// Whether the reader has closed its end.
    pub fn is_closed(&self) -> bool {
        self.shared.state().is_closed
    }

    /// What the system said when it first refused a line, if that was not for want of a reader.
    pub fn failure(&self) -> Option<String> {
        self.shared.state().failure.clone()
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.queue.is_empty() && !self.is_writing
    }

    /// Takes in what became of a line; tells how many are missing before it, and why, if that can be told now.
    fn noted(&mut self, written: io::Result<()>, dropped: &AtomicU64) -> Option<(u64, Option<io::Error>)> {
        self.is_stalled = false;
        let Err(error) = written else {
            let missing = self.queue.gap()?;
            return Some((missing, self.refused.take()));
        };
        dropped.fetch_add(1, Ordering::Relaxed);
        self.queue.lost();
        if error.kind() == ErrorKind::BrokenPipe {
            self.is_closed = true;
        } else {
            self.failure.get_or_insert_with(|| error.to_string());
        }
        self.refused = Some(error);
        None
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread's life. It is not joined: the end of the process ends it, wherever it is blocked.
    fn write_all(&self, mut target: impl Write, tell: GapTeller) {
        let mut torn = Torn::No;
        loop {
            let line = self.next();
            let written = write_line(&mut target, &line, &mut torn);
            let gap = self.state().noted(written, &self.dropped);
            // Before anybody may take the stream for idle and end: this too is to be written.
            if let Some((missing, refused)) = gap {
                tell(missing, refused.as_ref());
            }
            self.state().is_writing = false;
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut state = self.state();
        loop {
            if let Some(line) = state.queue.pop() {
                state.is_writing = true;
                return line;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Whether the last line was written in part only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Torn {
    No,
    Yes,
}

/// Writes one line with one call where the system takes it whole, so that it stays whole among those of other processes.
fn write_line(target: &mut impl Write, line: &[u8], torn: &mut Torn) -> io::Result<()> {
    if *torn == Torn::Yes {
        write_whole(target, b"\n", torn)?;
    }
    write_whole(target, line, torn)
}

fn write_whole(target: &mut impl Write, bytes: &[u8], torn: &mut Torn) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match target.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => {
                rest = &rest[count..];
                *torn = if rest.is_empty() { Torn::No } else { Torn::Yes };
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Whoever shares it may have set it so.
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(RETRY_PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
