//! The data directory: claimed by one process at a time, and what the engine creates in it is for its owner only.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result, Subject};

/// A data directory that belongs to this process. Whatever writes there takes one as proof; dropping the last gives the
/// directory free.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The kernel gives the lock free when the process dies, however it dies.
    _lock: File,
}

impl DataDir {
    /// Creates the directory of a server unless it exists, and claims it. Blocks for as long as the disk needs.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when another process holds it, [`ErrorKind::Storage`] when it cannot be created or locked.
    pub fn claim(path: &Path) -> Result<Self> {
        Self::claim_as(path, "data directory", "stop that server, or give this one a data_dir of its own")
    }

    /// The same of a worker's directory.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub fn claim_for_worker(path: &Path) -> Result<Self> {
        Self::claim_as(path, "work directory", "each worker needs a worker.work_dir (--work-dir) of its own")
    }

    fn claim_as(path: &Path, what: &str, hint: &str) -> Result<Self> {
        let failed = |error| failure(&format!("cannot use {what} '{}'", path.display()), error);
        create_dir_all(path).map_err(failed)?;
        // The lock has a file of its own, so that it outlives a database that is moved aside.
        let lock = create(&path.join("lock"), OpenOptions::new().create(true).truncate(false)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                let message = format!("{what} '{}' is in use by another process", path.display());
                Err(Error::new(ErrorKind::Conflict, message).hint(hint))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A new file that only its owner may read; an existing one is an error.
pub(crate) fn create_file(path: &Path) -> io::Result<File> {
    create(path, OpenOptions::new().create_new(true))
}

/// Makes sure that the file exists, and that only its owner may read it if it is new.
pub(crate) fn touch(path: &Path) -> io::Result<()> {
    create(path, OpenOptions::new().create(true).truncate(false)).map(drop)
}

/// A new directory that only its owner may enter; an existing one is an error.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Makes sure that the directory and its parents exist; new ones are for their owner only.
pub(crate) fn create_dir_all(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(path)
}

fn create(path: &Path, how: &mut OpenOptions) -> io::Result<File> {
    how.write(true).mode(0o600).open(path)
}

/// A failure of the disk below the data directory, with what was tried.
pub(crate) fn failure(tried: &str, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Resources,
        _ => ErrorKind::Storage,
    };
    let subject = if kind == ErrorKind::Resources { Subject::Disk } else { Subject::File };
    Error::new(kind, format!("{tried}: {error}")).about(subject).caused_by(error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("nested/data");
        let first = DataDir::claim(&path).unwrap();
        let error = DataDir::claim(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains(path.to_str().unwrap()), "{error}");
        drop(first);
        DataDir::claim(&path).unwrap();
    }

    #[test]
    fn only_the_owner_can_read_what_is_created() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("data");
        DataDir::claim(&path).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("lock")), 0o600);
    }
}
