//! Where the output of tasks lies until it is fetched: a folder per membership, in it one per job. What an earlier process left
//! is deleted.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidemill_engine::error::{Error, ErrorKind, Result, Subject};

/// The folder of all memberships of this process. The data directory around it belongs to this process alone.
#[derive(Debug)]
pub(super) struct WorkDir {
    root: PathBuf,
}

/// The folder of one membership.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
    used: Arc<AtomicU64>,
    /// What tasks wrote since it was measured, before it was compressed.
    unmeasured: Arc<AtomicU64>,
}

impl WorkDir {
    /// Takes the folder over, empty.
    pub(super) async fn open(root: PathBuf) -> Result<Self> {
        let work_dir = Self { root };
        remove(&work_dir.root).await.map_err(|error| unusable(&work_dir.root, error))?;
        tokio::fs::create_dir_all(&work_dir.root).await.map_err(|error| unusable(&work_dir.root, error))?;
        Ok(work_dir)
    }

    /// A folder for a new membership.
    pub(super) async fn begin(&self, id: &str) -> Result<Folder> {
        let path = self.root.join(id);
        tokio::fs::create_dir_all(&path).await.map_err(|error| unusable(&path, error))?;
        Ok(Folder { path, used: Arc::default(), unmeasured: Arc::default() })
    }

    /// Deletes everything.
    pub(super) async fn clear(&self) {
        if let Err(error) = remove(&self.root).await {
            tracing::warn!(folder = %self.root.display(), %error, "the work directory could not be deleted");
        }
    }
}

impl Folder {
    /// The path, in the form that Ballista wants.
    pub(super) fn text(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// Bytes of all files, as last measured.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Notes what a task wrote; returns how much there is, at most.
    pub(super) fn wrote(&self, bytes: u64) -> u64 {
        let unmeasured = self.unmeasured.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.used().saturating_add(unmeasured)
    }

    /// Measures the files of each job. Blocks for as long as the disk needs.
    pub(super) fn measure(&self) -> HashMap<String, u64> {
        self.unmeasured.store(0, Ordering::Relaxed);
        let jobs = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        let sizes: HashMap<String, u64> =
            jobs.map(|job| (job.file_name().to_string_lossy().into_owned(), size(&job.path()))).collect();
        self.used.store(sizes.values().sum(), Ordering::Relaxed);
        sizes
    }

    /// Deletes the files of a job, or of some of its stages.
    pub(super) async fn delete_job(&self, job: &str, stages: &[u32]) -> std::io::Result<()> {
        let folder = self.path.join(job);
        if stages.is_empty() {
            return remove(&folder).await;
        }
        for stage in stages {
            remove(&folder.join(stage.to_string())).await?;
        }
        Ok(())
    }

    /// Deletes everything.
    pub(super) async fn delete(&self) {
        if let Err(error) = remove(&self.path).await {
            tracing::warn!(folder = %self.path.display(), %error, "files of tasks could not be deleted");
        }
        self.used.store(0, Ordering::Relaxed);
    }
}

/// Whether a name that came over the network is that of a job, and can not lead out of the folder.
pub(super) fn is_job(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Deletes a folder; one that is not there is deleted already. A task that is about to end may still put a file there.
async fn remove(folder: &Path) -> std::io::Result<()> {
    let mut tries = 0;
    loop {
        match tokio::fs::remove_dir_all(folder).await {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty && tries < 5 => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

fn size(path: &Path) -> u64 {
    // What is deleted meanwhile takes no space.
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {
            std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| size(&entry.path())).sum()
        }
        Ok(found) => found.len(),
        Err(_) => 0,
    }
}

fn unusable(folder: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Storage, format!("cannot use work directory '{}': {error}", folder.display()))
        .about(Subject::Disk)
        .hint("see worker.work_dir in the configuration")
        .caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_an_earlier_process_left_is_gone() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("shuffle");
        std::fs::create_dir_all(root.join("old/job/1")).unwrap();
        std::fs::write(root.join("old/job/1/data.arrow"), "rows").unwrap();
        let work_dir = WorkDir::open(root.clone()).await.unwrap();
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
        work_dir.clear().await;
        assert!(!root.exists());
    }

    #[tokio::test]
    async fn jobs_are_measured_and_deleted_on_their_own() {
        let temp = tempfile::tempdir().unwrap();
        let work_dir = WorkDir::open(temp.path().join("shuffle")).await.unwrap();
        let folder = work_dir.begin("me").await.unwrap();
        for (file, bytes) in [("a/1/0/data.arrow", 10), ("a/2/0/data.arrow", 20), ("b/1/0/data.arrow", 5)] {
            let path = Path::new(&folder.text()).join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![0; bytes]).unwrap();
        }
        let sizes = folder.measure();
        assert_eq!((sizes["a"], sizes["b"], folder.used()), (30, 5, 35));
        folder.delete_job("a", &[1]).await.unwrap();
        assert_eq!(folder.measure()["a"], 20);
        folder.delete_job("a", &[]).await.unwrap();
        folder.delete_job("a", &[]).await.unwrap();
        assert!(!folder.measure().contains_key("a") && folder.used() == 5);
    }

    #[test]
    fn names_that_lead_elsewhere_are_no_jobs() {
        for name in ["0195ab", "a-b_c", "J"] {
            assert!(is_job(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "/etc", "a\0b", "../../x", "a.b", &"x".repeat(129)] {
            assert!(!is_job(name), "{name}");
        }
    }
}
