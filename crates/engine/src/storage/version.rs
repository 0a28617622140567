//! The version of files: something that can be told without reading them, and that is another when they are.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use object_store::ObjectMeta;
use object_store::local::LocalFileSystem;

use crate::cache::{Digester, Fingerprint};

/// The files that a scan will read.
#[derive(Debug)]
pub(crate) struct FileSet {
    /// How they are read.
    pub(in crate::storage) table: Fingerprint,
    /// Whether they are of this machine.
    pub(in crate::storage) local: bool,
    /// As they were listed.
    pub(in crate::storage) files: Vec<ObjectMeta>,
}

impl FileSet {
    /// The version of all files together; absent if one has none, or changed less than `min_age` ago: a second change within
    /// the same tick of the clock would not show.
    pub(crate) async fn version(self, min_age: Duration) -> Option<Fingerprint> {
        if !self.local {
            return self.remote(min_age);
        }
        tokio::task::spawn_blocking(move || self.on_disk(min_age)).await.ok().flatten()
    }

    /// What the store says. Size and time alone do not tell a file from another of its size, so there must be a strong tag.
    fn remote(&self, min_age: Duration) -> Option<Fingerprint> {
        let mut digester = Digester::new("files").add(&self.table);
        for file in &self.files {
            let tag = file.e_tag.as_deref().filter(|tag| !tag.is_empty() && !tag.starts_with("W/"))?;
            if !is_settled(file.last_modified.into(), min_age) {
                return None;
            }
            digester = digester.add(file.location.as_ref()).add(&file.size).add(tag).add(&file.version);
            // A store may be written A, B, A while a query runs: the tag is that of A again, the time is not.
            digester = digester.add(&file.last_modified.timestamp_micros());
        }
        Some(digester.end())
    }

    /// What the file system says. The time of modification can be set, and the number of a deleted file is given to the next
    /// one; the time of change is the file system's own.
    fn on_disk(&self, min_age: Duration) -> Option<Fingerprint> {
        let disk = LocalFileSystem::new();
        let mut digester = Digester::new("files").add(&self.table);
        for file in &self.files {
            let found = std::fs::metadata(disk.path_to_filesystem(&file.location).ok()?).ok()?;
            let changed = Duration::new(u64::try_from(found.ctime()).ok()?, u32::try_from(found.ctime_nsec()).ok()?);
            let changed = SystemTime::UNIX_EPOCH.checked_add(changed)?;
            if !is_settled(changed, min_age) || !is_settled(file.last_modified.into(), min_age) {
                return None;
            }
            digester = digester
                .add(file.location.as_ref())
                .add(&(file.size, file.last_modified.timestamp_nanos_opt()))
                .add(&(found.dev(), found.ino(), found.size()))
                .add(&(found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()));
        }
        Some(digester.end())
    }
}

fn is_settled(changed: SystemTime, min_age: Duration) -> bool {
    // What changed in the future has a clock that can not be trusted.
    SystemTime::now().duration_since(changed).is_ok_and(|age| age >= min_age)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(tag: Option<&str>, second: i64) -> Option<Fingerprint> {
        let last_modified = chrono::DateTime::from_timestamp(second, 0).unwrap();
        let file = ObjectMeta {
            location: "a.csv".into(),
            last_modified,
            size: 3,
            e_tag: tag.map(str::to_owned),
            version: None,
        };
        let table = Digester::new("table").end();
        FileSet { table, local: false, files: vec![file] }.remote(Duration::from_secs(2))
    }

    #[test]
    fn a_remote_file_needs_a_strong_tag_and_time_to_settle() {
        assert!(remote(Some("\"1\""), 1000).is_some());
        assert_eq!(remote(Some("\"1\""), 1000), remote(Some("\"1\""), 1000));
        assert_ne!(remote(Some("\"1\""), 1000), remote(Some("\"2\""), 1000));
        assert_ne!(remote(Some("\"1\""), 1000), remote(Some("\"1\""), 1001));
        for tag in [None, Some(""), Some("W/\"1\"")] {
            assert_eq!(remote(tag, 1000), None, "{tag:?}");
        }
        let now = chrono::Utc::now().timestamp();
        assert_eq!(remote(Some("\"1\""), now), None);
        assert_eq!(remote(Some("\"1\""), now + 3600), None);
    }

    fn local(path: &std::path::Path, min_age: Duration) -> Option<Fingerprint> {
        let file = ObjectMeta {
            location: object_store::path::Path::from_filesystem_path(path).unwrap(),
            last_modified: path.metadata().unwrap().modified().unwrap().into(),
            size: path.metadata().unwrap().len(),
            e_tag: None,
            version: None,
        };
        FileSet { table: Digester::new("table").end(), local: true, files: vec![file] }.on_disk(min_age)
    }

    #[test]
    fn a_rewrite_shows_also_with_the_same_size_and_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a b%.csv");
        std::fs::write(&path, "one").unwrap();
        let modified = path.metadata().unwrap().modified().unwrap();
        let before = local(&path, Duration::ZERO);
        assert!(before.is_some() && before == local(&path, Duration::ZERO));
        assert_eq!(local(&path, Duration::from_secs(3600)), None, "it changed within the hour");
        // The clock of a file system ticks in milliseconds.
        let changed = || path.metadata().map(|found| (found.ctime(), found.ctime_nsec())).unwrap();
        let first = changed();
        while changed() == first {
            std::fs::write(&path, "two").unwrap();
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        }
        assert_eq!(path.metadata().unwrap().modified().unwrap(), modified);
        assert_ne!(local(&path, Duration::ZERO), before);
    }
}
