//! What staging a local file leaves on the disk, and how to get rid of it.

use std::path::{Path, PathBuf};

use object_store::path::Path as ObjectPath;

/// A local file that is being staged beside its final place, as `name#1`.
#[derive(Debug)]
pub(super) struct LocalTarget {
    file: PathBuf,
    /// Folders that exist only because of this file, innermost first.
    made_folders: Vec<PathBuf>,
}

impl LocalTarget {
    /// Notes which folders are missing, so that only those are removed again.
    pub(super) async fn before_staging(location: &ObjectPath) -> Self {
        let file = Path::new("/").join(location.as_ref());
        let mut made_folders = Vec::new();
        for folder in file.ancestors().skip(1) {
            if tokio::fs::try_exists(folder).await.unwrap_or(true) {
                break;
            }
            made_folders.push(folder.to_owned());
        }
        Self { file, made_folders }
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

    /// Removes the folders, unless another file lives there by now.
    pub(super) async fn remove_made_folders(&self) {
        for folder in &self.made_folders {
            if tokio::fs::remove_dir(folder).await.is_err() {
                break;
            }
        }
    }
}

fn is_staged(candidate: &str, name: &str) -> bool {
    let number = candidate.strip_prefix(name).and_then(|rest| rest.strip_prefix('#'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}
