//! The directory of one result, and when it goes.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::error::ArrowError;

use super::manifest;
use super::quota::Account;
use crate::data_dir;
use crate::error::{Error, Result};
use crate::query::QueryId;

/// The directory of one result. Held by its writer and by each of its readers; the last one to go deletes it, unless it is
/// to be kept for the next server.
#[derive(Debug)]
pub(super) struct Files {
    id: QueryId,
    dir: PathBuf,
    quota: Account,
    bytes: AtomicU64,
    keep: AtomicBool,
}

impl Files {
    /// Creates the directory. It is deleted again unless [`Files::keep`] is called. Blocks.
    pub(super) fn create(id: QueryId, dir: PathBuf, quota: Account) -> Result<Self> {
        data_dir::create_dir(&dir)
            .map_err(|error| data_dir::failure(&format!("cannot create the result of query {id}"), error))?;
        Ok(Self { id, dir, quota, bytes: AtomicU64::new(0), keep: AtomicBool::new(false) })
    }

    /// The directory of a complete result with this many bytes.
    pub(super) fn existing(id: QueryId, dir: PathBuf, quota: Account, bytes: u64) -> Self {
        quota.add(bytes);
        Self { id, dir, quota, bytes: AtomicU64::new(bytes), keep: AtomicBool::new(true) }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A new part. Blocks.
    pub(super) fn create_part(&self, number: usize) -> Result<File> {
        let name = part_name(number);
        data_dir::create_file(&self.path(&name)).map_err(|error| self.failure("create", &name, error))
    }

    /// A part for reading. Blocks.
    pub(super) fn open_part(&self, number: usize) -> Result<File> {
        let name = part_name(number);
        File::open(self.path(&name)).map_err(|error| self.failure("open", &name, error))
    }

    /// Counts bytes that were written.
    ///
    /// # Errors
    /// A quota is exceeded.
    pub(super) fn charge(&self, bytes: u64) -> Result<()> {
        self.quota.add(bytes);
        let of_query = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.quota.check(of_query).map_err(|error| error.of_query(self.id))
    }

    /// Leaves the files in place when the last holder goes.
    pub(super) fn keep(&self) {
        self.keep.store(true, Ordering::Release);
    }

    /// Deletes the files when the last holder goes. The manifest goes at once, so that a result with readers is not there
    /// again when the server is killed now. Does not block in a runtime.
    pub(super) fn discard(&self) {
        self.keep.store(false, Ordering::Release);
        let manifest = self.path(manifest::NAME);
        off_thread(move || {
            if let Err(error) = std::fs::remove_file(&manifest)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(file = %manifest.display(), %error, "cannot delete the manifest of a result");
            }
        });
    }

    /// Deletes the files here and now. Blocks.
    pub(super) fn delete(mut self) {
        self.deletion()();
        self.keep();
    }

    fn deletion(&mut self) -> impl FnOnce() + Send + use<> {
        let (dir, quota, bytes) = (std::mem::take(&mut self.dir), self.quota.clone(), *self.bytes.get_mut());
        move || {
            if let Err(error) = std::fs::remove_dir_all(&dir)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(directory = %dir.display(), %error, "cannot delete the files of a result");
            }
            quota.release(bytes);
        }
    }

    /// What went wrong with a file of this result. Names the file but not where it is: clients see this.
    pub(super) fn failure(&self, tried: &str, name: &str, error: io::Error) -> Error {
        data_dir::failure(&format!("cannot {tried} '{name}' of the result of query {}", self.id), error)
            .of_query(self.id)
    }

    /// As [`Files::failure`], for what Arrow's readers and writers return.
    pub(super) fn arrow_failure(&self, tried: &str, number: usize, error: ArrowError) -> Error {
        match error {
            ArrowError::IoError(_, error) => self.failure(tried, &part_name(number), error),
            other => Error::from(other).of_query(self.id),
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if *self.keep.get_mut() {
            return;
        }
        off_thread(self.deletion());
    }
}

/// The name of a part's file.
pub(super) fn part_name(number: usize) -> String {
    format!("part-{number:05}.arrow")
}

/// Runs file work on a blocking thread where there is an async runtime to protect, else here.
fn off_thread(work: impl FnOnce() + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}
