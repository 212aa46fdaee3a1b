//! Whether a database and what lies beside it belong together, before it is opened.
//!
//! Whoever has a database open has its log and the index of that too, and locks on both. Where one of them was deleted or
//! exchanged under them, SQLite would make another one for whoever comes next: the two would not see what the other
//! writes, and overwrite it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::process::{Flock, FlockType, fcntl_getlk};

use super::descriptor::FileId;
use super::place::{Displaced, named};

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

/// What may be done with a database.
pub enum Togetherness {
    /// It may be opened: all that others have open fits, or nobody has it open.
    Whole(Option<Beside>),
    /// That is missing, or not its own.
    Stranger(PathBuf),
}

/// What lies beside a database that others have open.
pub struct Beside([(PathBuf, FileId); 2]);

/// Looks at what lies beside the database at `real`. Only for a file to which this process has no connection yet: looking at
/// the index would drop its locks.
pub fn look(real: &Path, database: &File) -> Togetherness {
    let [log, index] = ["-wal", "-shm"].map(|suffix| named(real, suffix));
    let seen = (FileId::at(&log).ok(), FileId::at(&index).ok());
    let locks = File::open(&index).map_or(Elsewhere::Free, |file| Elsewhere::of(&file));
    match (judge(Elsewhere::of(database), locks, seen.0.is_some()), locks, seen) {
        (Some(suffix), ..) => Togetherness::Stranger(named(real, suffix)),
        (None, Elsewhere::Locked, (Some(of_log), Some(of_index))) => {
            Togetherness::Whole(Some(Beside([(log, of_log), (index, of_index)])))
        }
        (None, ..) => Togetherness::Whole(None),
    }
}

impl Beside {
    /// Whether SQLite found what was seen before.
    pub fn check(&self) -> Result<(), Displaced> {
        for (path, id) in &self.0 {
            if FileId::at(path).ok() != Some(*id) {
                remove_stray(path, *id);
                return Err(Displaced::Parted { path: path.clone() });
            }
        }
        Ok(())
    }
}

/// Removes what SQLite made anew at `path` beside a database that others have open with the file of this `id`, before others
/// take it for whole.
pub fn remove_stray(path: &Path, id: FileId) {
    if FileId::at(path).is_ok_and(|found| found != id) {
        tracing::debug!("removing {}, which does not belong to its database", path.display());
        // Whoever was quicker has done so.
        let _ = fs::remove_file(path);
    }
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
