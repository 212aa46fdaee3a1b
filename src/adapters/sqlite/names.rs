//! Several names of one file. SQLite keeps what was written last beside the name by which the file was opened: by another
//! name it would be missed, and the file be damaged.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::descriptor::FileId;
use super::place::named;

/// Whether a file may be opened by one of its names.
#[derive(Debug, PartialEq, Eq)]
pub enum Choice {
    /// What was written last is beside it, or nowhere.
    This,
    /// What was written last is beside that name.
    Other(PathBuf),
    /// Not all names of the file are in its folder: nobody can tell.
    Unclear,
}

/// Looks at the names of the file to which `path` leads. A symbolic link is none: SQLite follows it.
pub fn choose(path: &Path) -> io::Result<Choice> {
    let real = fs::canonicalize(path)?;
    let metadata = fs::metadata(&real)?;
    if metadata.nlink() <= 1 || has_log(&real) {
        return Ok(Choice::This);
    }
    let mut others = Vec::new();
    for entry in fs::read_dir(real.parent().unwrap_or(Path::new("/")))? {
        let other = entry?.path();
        let is_same = fs::symlink_metadata(&other).is_ok_and(|found| FileId::of(&found) == FileId::of(&metadata));
        if is_same && other != real {
            others.push(other);
        }
    }
    let known = others.len() as u64 + 1;
    Ok(match others.into_iter().find(|other| has_log(other)) {
        Some(other) => Choice::Other(other),
        None if known == metadata.nlink() => Choice::This,
        None => Choice::Unclear,
    })
}

fn has_log(name: &Path) -> bool {
    named(name, "-wal").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_opened_by_the_name_beside_which_its_log_is() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let [file, link, other, log] = ["q.db", "link.db", "other.db", "other.db-wal"].map(|name| folder.join(name));
        let check = |name: &Path, expected: Choice| assert_eq!(choose(name).unwrap(), expected, "{}", name.display());
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        check(&file, Choice::This);
        check(&link, Choice::This);
        fs::hard_link(&file, &other).unwrap();
        check(&file, Choice::This);
        check(&other, Choice::This);
        fs::write(&log, "").unwrap();
        check(&file, Choice::Other(other.clone()));
        check(&link, Choice::Other(other.clone()));
        check(&other, Choice::This);
        fs::remove_file(&log).unwrap();
        fs::create_dir(folder.join("backup")).unwrap();
        fs::hard_link(&file, folder.join("backup/q.db")).unwrap();
        check(&file, Choice::Unclear);
        fs::write(named(&file, "-wal"), "").unwrap();
        check(&file, Choice::This);
    }
}
