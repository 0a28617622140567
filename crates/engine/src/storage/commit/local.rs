//! What staging a local file leaves on the disk, and how to get rid of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use object_store::path::Path as ObjectPath;
use parking_lot::Mutex;

/// A local file that is being staged beside its final place, as `name#1`.
#[derive(Debug)]
pub(super) struct LocalTarget {
    file: PathBuf,
}

/// The folders that exist only because of one statement. Its files share them, so that they go after the last one.
#[derive(Debug, Default)]
pub(super) struct MadeFolders(Mutex<BTreeSet<PathBuf>>);

impl MadeFolders {
    /// Notes which folders are missing, so that only those are removed again.
    pub(super) async fn before_staging(&self, target: &LocalTarget) {
        for folder in target.file.ancestors().skip(1) {
            if tokio::fs::try_exists(folder).await.unwrap_or(true) {
                break;
            }
            self.0.lock().insert(folder.to_owned());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Leaves the folders where they are.
    pub(super) fn keep(&self) {
        self.0.lock().clear();
    }

    /// Removes the folders, but for those in which other files live by now.
    pub(super) async fn remove_empty(&self) {
        let folders = std::mem::take(&mut *self.0.lock());
        // A folder comes before what is in it.
        for folder in folders.iter().rev() {
            // One that holds files, or was never made, is as it should be.
            let _ = tokio::fs::remove_dir(folder).await;
        }
    }
}

impl LocalTarget {
    pub(super) fn new(location: &ObjectPath) -> Self {
        Self { file: Path::new("/").join(location.as_ref()) }
    }

    /// The file that stands where one of the folders should be.
    pub(super) fn blocked_by(&self) -> Option<&Path> {
        self.file.ancestors().skip(1).find(|ancestor| ancestor.is_file())
    }

    /// Removes what a failed completion forgets: `LocalFileSystem` loses the name of the staged file when its rename fails.
    ///
    /// With several staged files for one place, ours can not be told from another statement's, and all stay; listings leave
    /// such names out.
    pub(super) async fn remove_staged(&self) {
        let (Some(folder), Some(name)) = (self.file.parent(), self.file.file_name().and_then(|name| name.to_str()))
        else {
            return;
        };
        let Ok(mut entries) = tokio::fs::read_dir(folder).await else { return };
        let mut staged = Vec::new();
        while let Ok(Some(entry)) = entries.next_entry().await {
            if entry.file_name().to_str().is_some_and(|candidate| is_staged(candidate, name)) {
                staged.push(entry.path());
            }
        }
        match staged.as_slice() {
            [ours] => {
                if let Err(error) = tokio::fs::remove_file(ours).await {
                    tracing::warn!(file = %ours.display(), %error, "a staged file could not be removed");
                }
            }
            [] => {}
            several => tracing::warn!(file = %self.file.display(), count = several.len(), "staged files are left over"),
        }
    }
}

fn is_staged(candidate: &str, name: &str) -> bool {
    let number = candidate.strip_prefix(name).and_then(|rest| rest.strip_prefix('#'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}
