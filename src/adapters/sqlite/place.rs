//! Where an open file stands, and whether it still does: SQLite itself goes on with one that was deleted or replaced.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::descriptor::{self, FileId, FileState};
use super::together::remove_stray;

/// A database and what SQLite keeps beside it, as they were when it was opened.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    /// Where the path led then.
    real: PathBuf,
    database: FileId,
    beside: [(&'static str, FileId); 2],
}

/// Why what is open is not what everybody else finds at its path.
#[derive(Debug, thiserror::Error)]
pub enum Displaced {
    #[error("{} was deleted or moved away: {reason}", path.display())]
    Gone { path: PathBuf, reason: io::Error },
    #[error("{} is another file now", path.display())]
    Replaced { path: PathBuf },
    #[error("{} was overwritten: it is no database any more", path.display())]
    Overwritten { path: PathBuf },
    #[error("{} was deleted or replaced while it was in use", path.display())]
    Parted { path: PathBuf },
    /// It is where it was, and another connection had trouble with it.
    #[error("{} was given up", path.display())]
    GivenUp { path: PathBuf },
}

/// The write-ahead log and its index.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

impl Place {
    /// Of a file that connections are open on.
    pub fn of(path: &Path, database: FileId) -> Result<Self, Displaced> {
        Self::find(path, database).inspect_err(|_| descriptor::lose(database))
    }

    fn find(path: &Path, database: FileId) -> Result<Self, Displaced> {
        let gone = |reason| Displaced::Gone { path: path.to_owned(), reason };
        let real = fs::canonicalize(path).map_err(gone)?;
        let at = |suffix| {
            let path = named(&real, suffix);
            FileId::at(&path).map_err(|_| Displaced::Parted { path })
        };
        let [log, index] = descriptor::beside(database, [at(BESIDE[0])?, at(BESIDE[1])?]);
        let beside = [(BESIDE[0], log), (BESIDE[1], index)];
        let place = Self { path: path.to_owned(), real, database, beside };
        place.found().inspect_err(|_| place.remove_strays())?;
        Ok(place)
    }

    /// Whether all of it is where it was. An error is final: the process opens the file anew only when all of it is closed.
    pub fn check(&self) -> Result<(), Displaced> {
        self.found().inspect_err(|_| descriptor::lose(self.database))
    }

    fn found(&self) -> Result<(), Displaced> {
        let path = || self.path.clone();
        let gone = |reason| Displaced::Gone { path: path(), reason };
        let real = fs::canonicalize(&self.path).map_err(gone)?;
        if FileId::at(&real).map_err(gone)? != self.database {
            return Err(Displaced::Replaced { path: path() });
        }
        for (suffix, id) in self.beside {
            let path = named(&real, suffix);
            if FileId::at(&path).ok() != Some(id) {
                return Err(Displaced::Parted { path });
            }
        }
        match descriptor::state(self.database) {
            FileState::Unproven | FileState::Whole => Ok(()),
            FileState::Overwritten => Err(Displaced::Overwritten { path: path() }),
            FileState::Lost => Err(Displaced::GivenUp { path: path() }),
        }
    }

    /// The same for a connection that has just looked into the file: what it made anew beside it is removed.
    pub fn check_new(&self) -> Result<(), Displaced> {
        self.check().inspect_err(|_| self.remove_strays())
    }

    /// Has all of this process close the file, for there is trouble with it.
    pub fn give_up(&self) {
        descriptor::lose(self.database);
    }

    /// Whether that path leads to any of it.
    pub fn is_at(&self, path: &Path) -> bool {
        let ids = [self.database, self.beside[0].1, self.beside[1].1];
        FileId::at(path).is_ok_and(|id| ids.contains(&id))
    }

    /// Removes what a connection of this process made anew beside the database, which is still where it was.
    fn remove_strays(&self) {
        if FileId::at(&self.real).ok() == Some(self.database) {
            self.beside.iter().for_each(|(suffix, id)| remove_stray(&named(&self.real, suffix), *id));
        }
    }

    /// Removes what a database that is gone left beside its path: SQLite would take it for that of the next one there.
    pub fn clear(&self) {
        let is_elsewhere = match FileId::at(&self.real) {
            Ok(id) => id != self.database,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if !is_elsewhere {
            return;
        }
        for (suffix, id) in self.beside {
            let path = named(&self.real, suffix);
            if FileId::at(&path).ok() == Some(id)
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!(%error, "removing {}, which belongs to a database that is gone", path.display());
            }
        }
    }
}

/// As SQLite calls what it keeps beside a database.
pub fn named(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
