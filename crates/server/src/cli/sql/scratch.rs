//! The folder of an engine that is to leave nothing behind: removed with its process, or by the next one if that was killed.
//!
//! A folder holds a claim, which its process keeps locked for as long as it lives, however it dies, and the data. Only what
//! carries a claim that nobody holds is removed, and of it only these two.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const PREFIX: &str = "tidemill-sql-";
const CLAIM: &str = "claim";
const DATA: &str = "data";

/// A folder that lives as long as this value.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: PathBuf,
    /// Held until the folder is gone.
    _claim: File,
}

impl Scratch {
    /// A folder in this one, which exists.
    pub(super) fn below(parent: &Path) -> io::Result<Self> {
        loop {
            let private = fs::Permissions::from_mode(0o700);
            let folder = tempfile::Builder::new().prefix(PREFIX).permissions(private).tempdir_in(parent)?;
            if let Some(claim) = claim(&folder.path().join(CLAIM))? {
                return Ok(Self { folder: folder.keep(), _claim: claim });
            }
        }
    }

    /// Where an engine may keep its data.
    pub(super) fn data_dir(&self) -> PathBuf {
        self.folder.join(DATA)
    }

    /// Removes, in the background, what killed processes of the same user left beside it. What can not be removed stays.
    pub(super) fn sweep_around(&self) {
        if let (Some(parent), Ok(own)) = (self.folder.parent(), fs::metadata(&self.folder)) {
            let parent = parent.to_owned();
            tokio::task::spawn_blocking(move || sweep(&parent, own.uid()));
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

fn sweep(parent: &Path, owner: u32) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes())
            && entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == owner);
        if is_ours && let Some(_claim) = abandoned(&entry.path().join(CLAIM)) {
            remove(&entry.path());
        }
    }
}

/// The claim of a new folder; `None` if a sweep of another process took the folder for abandoned before it was locked.
fn claim(path: &Path) -> io::Result<Option<File>> {
    let file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(path.try_exists()?.then_some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The claim of a folder whose process is gone, now held by us.
fn abandoned(path: &Path) -> Option<File> {
    let file = File::options().write(true).open(path).ok()?;
    file.try_lock().ok().map(|()| file)
}

/// The claim goes last: while it is there, a later sweep finds what could not be removed now.
fn remove(folder: &Path) {
    match fs::remove_dir_all(folder.join(DATA)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {}
        _ => {
            let _ = fs::remove_file(folder.join(CLAIM));
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a process that was killed leaves behind.
    fn left_behind(parent: &Path) -> PathBuf {
        let folder = parent.join("tidemill-sql-killed");
        fs::create_dir_all(folder.join("data/spill")).unwrap();
        fs::write(folder.join("data/history.sqlite"), "x").unwrap();
        fs::write(folder.join(CLAIM), "").unwrap();
        folder
    }

    #[test]
    fn nothing_is_left_when_it_is_dropped() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::below(parent.path()).unwrap();
        fs::create_dir(scratch.data_dir()).unwrap();
        fs::write(scratch.data_dir().join("history.sqlite"), "x").unwrap();
        assert_eq!(fs::metadata(&scratch.folder).unwrap().permissions().mode() & 0o777, 0o700);
        drop(scratch);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_sweep_removes_what_nobody_holds_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let killed = left_behind(parent.path());
        let [mine, other] = [(); 2].map(|()| Scratch::below(parent.path()).unwrap());
        let not_ours = parent.path().join("tidemill-sql-notes");
        fs::create_dir_all(not_ours.join(DATA)).unwrap();
        let elsewhere = parent.path().join("kept");
        fs::rename(left_behind(parent.path()), &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, parent.path().join("tidemill-sql-link")).unwrap();
        left_behind(parent.path());

        let owner = fs::metadata(&mine.folder).unwrap().uid();
        sweep(parent.path(), owner + 1);
        assert!(killed.exists());
        sweep(parent.path(), owner);
        assert!(!killed.exists());
        for kept in [&mine.folder, &other.folder, &not_ours.join(DATA), &elsewhere.join("data/history.sqlite")] {
            assert!(kept.exists(), "{}", kept.display());
        }
    }

    #[test]
    fn files_that_others_put_beside_the_data_stay() {
        let parent = tempfile::tempdir().unwrap();
        let killed = left_behind(parent.path());
        fs::write(killed.join("notes.txt"), "mine").unwrap();
        sweep(parent.path(), fs::metadata(&killed).unwrap().uid());
        assert!(killed.join("notes.txt").exists() && !killed.join(DATA).exists());
    }
}
