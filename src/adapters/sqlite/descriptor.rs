//! The one descriptor of our own on a database file, and the right to send that is locked with it.
//!
//! Closing any descriptor of a file drops all POSIX locks that the process has on it, SQLite's among them
//! (<https://www.sqlite.org/howtocorrupt.html>, 2.2). So this process has one of its own on each file at most, which stays
//! open until no connection of the process to that file is left. `flock` belongs to the file, not to a name of it, is
//! independent of POSIX locks, and ends with the process.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::together::{self, Togetherness};

/// What a file is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// Of the file to which `path` leads; opens nothing.
    pub fn at(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::of(&metadata))
    }
}

/// Why a file is not this process's to open, or to send from.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// Another process has the right to send.
    #[error("another process sends from it")]
    Busy,
    /// This process has not closed it yet, after it was lost or a session ended.
    #[error("this process has not closed it yet")]
    NotClosed,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A use of an open file; clones are further ones.
pub struct Descriptor {
    id: FileId,
}

/// The right to send from a file: one a file, over all processes and all its names.
pub struct SendingRight(Descriptor);

/// What this process has open.
static FILES: Mutex<BTreeMap<FileId, OpenFile>> = Mutex::new(BTreeMap::new());

struct OpenFile {
    file: File,
    /// Opened while the path was changing hands: closing them alone would drop SQLite's locks.
    others: Vec<File>,
    users: usize,
    right: Right,
    /// By which it was opened first. Nothing else is opened there until all of it is closed.
    path: PathBuf,
    /// Log and index, as the first connection found them.
    beside: Option<[FileId; 2]>,
    state: FileState,
}

/// What is known of an open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// Nothing is open on it yet.
    Unproven,
    Whole,
    /// It does not begin as a database does.
    Overwritten,
    /// Given up: all of it is closed before it is opened again.
    Lost,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Right {
    Free,
    Held,
}

/// The file holds room IDs: they are nobody else's business.
const MODE: u32 = 0o600;
/// Every database begins with it.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

fn files() -> MutexGuard<'static, BTreeMap<FileId, OpenFile>> {
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Descriptor {
    /// Opens the file at `path`, or makes it; a file that is open already is not opened again.
    pub fn open(path: &Path) -> Result<Self, Denied> {
        let mut files = files();
        let found = FileId::at(path).ok();
        if files.iter().any(|(id, open)| open.path == path && found != Some(*id)) {
            return Err(Denied::NotClosed);
        }
        if let Some(id) = found
            && let Some(open) = files.get_mut(&id)
        {
            return open.used(id);
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(MODE).open(path)?;
        let id = FileId::of(&file.metadata()?);
        match files.get_mut(&id) {
            Some(open) => {
                open.others.push(file);
                open.used(id)
            }
            None => {
                let (path, state) = (path.to_owned(), FileState::Unproven);
                let open =
                    OpenFile { file, others: Vec::new(), users: 1, right: Right::Free, path, beside: None, state };
                files.insert(id, open);
                Ok(Self { id })
            }
        }
    }

    pub fn id(&self) -> FileId {
        self.id
    }

    /// Takes the right to send.
    pub fn claim(self) -> Result<SendingRight, Denied> {
        files().get_mut(&self.id).expect(COUNTED).claim()?;
        Ok(SendingRight(self))
    }
}

impl SendingRight {
    pub fn descriptor(&self) -> &Descriptor {
        &self.0
    }
}

const COUNTED: &str = "open while it is used";

impl OpenFile {
    fn claim(&mut self) -> Result<(), Denied> {
        if self.right == Right::Held {
            return Err(Denied::NotClosed);
        }
        match self.file.try_lock() {
            Ok(()) => self.right = Right::Held,
            Err(TryLockError::WouldBlock) => return Err(Denied::Busy),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        Ok(())
    }

    fn used(&mut self, id: FileId) -> Result<Descriptor, Denied> {
        if self.state == FileState::Lost {
            return Err(Denied::NotClosed);
        }
        self.users += 1;
        Ok(Descriptor { id })
    }
}

/// What lies beside an open file at `real`. To be asked until it is whole, before a connection looks into the file: once it
/// was, it is not looked at again.
pub fn prove(id: FileId, real: &Path) -> Togetherness {
    let mut files = files();
    let Some(open) = files.get_mut(&id).filter(|open| open.state == FileState::Unproven) else {
        return Togetherness::Whole(None);
    };
    let found = together::look(real, &open.file);
    if let Togetherness::Whole(_) = found {
        open.state = FileState::Whole;
    }
    found
}

/// What all connections of this process to a file have beside it: what the first of them `found`.
pub fn beside(id: FileId, found: [FileId; 2]) -> [FileId; 2] {
    files().get_mut(&id).map_or(found, |open| *open.beside.get_or_insert(found))
}

/// The file is not what it was: this process opens it again only when all of it is closed.
pub fn lose(id: FileId) {
    if let Some(open) = files().get_mut(&id) {
        open.state = FileState::Lost;
    }
}

/// What is known of a file; one that is not open is not looked at.
pub fn state(id: FileId) -> FileState {
    let mut begins = [0; MAGIC.len()];
    match files().get(&id) {
        Some(open) if open.state == FileState::Whole => {
            let is_database = open.file.read_exact_at(&mut begins, 0).is_ok() && begins == *MAGIC;
            if is_database { FileState::Whole } else { FileState::Overwritten }
        }
        Some(open) => open.state,
        None => FileState::Whole,
    }
}

impl Clone for Descriptor {
    fn clone(&self) -> Self {
        files().get_mut(&self.id).expect(COUNTED).users += 1;
        Self { id: self.id }
    }
}

impl Drop for Descriptor {
    /// Closes the last one before anybody else can open the file: later, it would drop their locks.
    fn drop(&mut self) {
        let mut files = files();
        if let Some(open) = files.get_mut(&self.id) {
            open.users -= 1;
            if open.users == 0 {
                drop(files.remove(&self.id));
            }
        }
    }
}

impl Drop for SendingRight {
    fn drop(&mut self) {
        if let Some(open) = files().get_mut(&self.0.id) {
            open.right = Right::Free;
            if let Err(error) = open.file.unlock() {
                tracing::warn!(%error, "giving up the right to send from the queue's file");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn one_sends_from_a_file_whatever_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link, other] = ["file", "link", "other"].map(|name| folder.path().join(name));
        let first = Descriptor::open(&file).unwrap();
        symlink(&file, &link).unwrap();
        fs::hard_link(&file, &other).unwrap();
        let right = first.clone().claim().unwrap();
        for name in [&file, &link, &other] {
            let again = Descriptor::open(name).unwrap();
            assert_eq!(again.id(), first.id(), "{}", name.display());
            assert!(matches!(again.clone().claim(), Err(Denied::NotClosed)), "{}", name.display());
            let elsewhere = File::open(name).unwrap();
            assert!(matches!(elsewhere.try_lock(), Err(TryLockError::WouldBlock)), "{}", name.display());
            drop(again);
        }
        drop(right);
        File::open(&file).unwrap().try_lock().expect("given up");
    }

    #[test]
    fn a_file_has_one_descriptor_until_its_last_use_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let held = || {
            let open =
                fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
            open.filter(|target| *target == path).count()
        };
        let first = Descriptor::open(&path).unwrap();
        let second = first.clone();
        let third = Descriptor::open(&path).unwrap();
        assert_eq!(held(), 1);
        drop((first, third));
        assert_eq!(held(), 1);
        drop(second);
        assert_eq!(held(), 0);
    }

    #[test]
    fn a_lost_file_is_not_opened_again_nor_another_in_its_place_before_it_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let [path, away] = ["file", "away"].map(|name| folder.path().join(name));
        let lost = Descriptor::open(&path).unwrap();
        fs::rename(&path, &away).unwrap();
        assert!(matches!(Descriptor::open(&path), Err(Denied::NotClosed)));
        lose(lost.id());
        assert!(matches!(Descriptor::open(&away), Err(Denied::NotClosed)));
        drop(lost);
        for name in [&path, &away] {
            Descriptor::open(name).expect("closed by now");
        }
    }
}
