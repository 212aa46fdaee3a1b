//! Whether a database and what lies beside it belong together, before it is opened.
//!
//! Whoever has a database open has its log and the index of that too, and locks on both. Where one of them was deleted or
//! exchanged under them, SQLite would make another one for whoever comes next: the two would not see what the other
//! writes, and overwrite it.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::process::{Flock, FlockType, fcntl_getlk};

use super::place::named;

/// Whether another process has locks on a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Elsewhere {
    Locked,
    Free,
}

impl Elsewhere {
    /// What cannot be told counts as free: then SQLite's own locks do not work either.
    fn of(file: &File) -> Self {
        match fcntl_getlk(file, &Flock::from(FlockType::WriteLock)) {
            Ok(Some(lock)) if lock.typ != FlockType::Unlocked => Elsewhere::Locked,
            Ok(_) | Err(_) => Elsewhere::Free,
        }
    }
}

/// What lies beside the database at `real` and is not its own, or is missing. Only for a file to which this process has no
/// connection yet: looking at the index would drop its locks.
pub fn stranger(real: &Path, database: &File) -> Option<PathBuf> {
    let index = File::open(named(real, "-shm")).map_or(Elsewhere::Free, |file| Elsewhere::of(&file));
    let suffix = judge(Elsewhere::of(database), index, named(real, "-wal").exists())?;
    Some(named(real, suffix))
}

fn judge(database: Elsewhere, index: Elsewhere, has_log: bool) -> Option<&'static str> {
    match (database, index) {
        (Elsewhere::Free, Elsewhere::Free) => None,
        (Elsewhere::Locked, Elsewhere::Locked) => (!has_log).then_some("-wal"),
        (Elsewhere::Locked, Elsewhere::Free) | (Elsewhere::Free, Elsewhere::Locked) => Some("-shm"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_open_together_with_its_log_and_index_or_not_at_all() {
        use Elsewhere::{Free, Locked};
        for has_log in [true, false] {
            assert_eq!(judge(Free, Free, has_log), None, "nobody has it open");
            assert_eq!(judge(Locked, Free, has_log), Some("-shm"), "its index is gone");
            assert_eq!(judge(Free, Locked, has_log), Some("-shm"), "the index is that of another database");
        }
        assert_eq!(judge(Locked, Locked, true), None);
        assert_eq!(judge(Locked, Locked, false), Some("-wal"), "its log is gone");
    }
}
