//! How many files and connections this process may have open, and what it keeps for those who ask how it is.

use std::fs::File;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a command needs to come up at all: the event loop, signals, two connections to a broker or the files of an
/// embedded queue, a ledger, the admin port and the first requests.
const LEAST_FREE: usize = 24;

/// Held back for the admin port.
const RESERVE: usize = 4;

/// There are too few to begin with.
#[derive(Debug, thiserror::Error)]
#[error(
    "too few files and connections may be open at a time: {LEAST_FREE} are needed beside those that are; raise the limit \
     (ulimit -n): {0}"
)]
pub struct TooFew(io::Error);

/// Has this process use all that the system lets it have: the usual limit is for programs that cannot tell.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        tracing::debug!(?current, ?maximum, "the limit of open files cannot be raised");
    }
}

/// Whether there are enough of them to begin.
pub fn check() -> Result<(), TooFew> {
    let held: io::Result<Vec<File>> = (0..LEAST_FREE).map(|_| open()).collect();
    held.map(drop).map_err(TooFew)
}

/// What the reserve had to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    One,
    None,
}

/// Descriptors that are held for when there is none left.
#[derive(Debug, Default)]
pub struct Reserve(Mutex<Vec<File>>);

impl Reserve {
    /// Lets go of one; whoever is next has it.
    pub fn give_one(&self) -> Given {
        self.held().pop().map_or(Given::None, |_| Given::One)
    }

    /// Holds as many as it should again, as far as there are any.
    pub fn refill(&self) {
        let mut held = self.held();
        while held.len() < RESERVE
            && let Ok(file) = open()
        {
            held.push(file);
        }
    }

    fn held(&self) -> MutexGuard<'_, Vec<File>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open() -> io::Result<File> {
    File::open("/dev/null")
}
