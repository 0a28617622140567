//! Where queries spill: the configured directories, with a quota per query and one for all.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use datafusion::execution::disk_manager::{DiskManager, DiskManagerBuilder, DiskManagerMode};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::Abort;
use crate::config::SpillConfig;
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::units::ByteSize;

/// The server's spill space.
#[derive(Debug)]
pub(crate) struct SpillArea {
    directories: Vec<PathBuf>,
    max_bytes: u64,
    max_bytes_per_query: u64,
    users: Mutex<Vec<User>>,
}

/// A query with spill space.
#[derive(Debug)]
struct User {
    space: Weak<DiskManager>,
    owner: Weak<dyn Abort>,
}

impl SpillArea {
    /// Prepares the directories, and deletes what an earlier run of this server left in them.
    pub(crate) fn open(config: &SpillConfig, data_dir: &Path) -> Result<Self> {
        // Servers may share a disk but not a data directory: its name tells their files apart.
        let digest = Sha256::digest(data_dir.as_os_str().as_encoded_bytes());
        let own: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let directories: Vec<PathBuf> = match config.directories.as_slice() {
            [] => vec![data_dir.join("spill")],
            listed => listed.iter().map(|directory| directory.join(format!("tidemill-spill-{own}"))).collect(),
        };
        for directory in &directories {
            prepare(directory)?;
        }
        Ok(Self {
            directories,
            max_bytes: config.max_bytes.0,
            max_bytes_per_query: config.max_bytes_per_query.0,
            users: Mutex::default(),
        })
    }

    /// Spill space for one query; its files are gone when the last handle is dropped. The owner is told if it must end.
    pub(crate) fn for_query(&self, owner: Weak<dyn Abort>) -> Result<Arc<DiskManager>> {
        let manager = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(self.directories.clone()))
            .with_max_temp_directory_size(self.max_bytes_per_query.min(self.max_bytes))
            .build()?;
        let manager = Arc::new(manager);
        let mut users = self.users.lock();
        users.retain(|user| user.space.strong_count() > 0);
        users.push(User { space: Arc::downgrade(&manager), owner });
        Ok(manager)
    }

    /// No spill space, for what can not spill.
    pub(crate) fn none() -> Result<Arc<DiskManager>> {
        Ok(Arc::new(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled).build()?))
    }

    /// Bytes that all queries together have on disk now.
    pub(crate) fn used(&self) -> u64 {
        self.users.lock().iter().filter_map(|user| user.space.upgrade()).map(|manager| manager.used_disk_space()).sum()
    }

    /// Ends the query that spilled most while all together are over the quota.
    pub(crate) fn enforce(&self) {
        let users = self.users.lock();
        let living = users.iter().filter_map(|user| Some((user.space.upgrade()?, user.owner.upgrade()?)));
        let mut sizes: Vec<(u64, Arc<dyn Abort>)> =
            living.map(|(space, owner)| (space.used_disk_space(), owner)).collect();
        let total: u64 = sizes.iter().map(|(bytes, _)| bytes).sum();
        if total <= self.max_bytes {
            return;
        }
        sizes.sort_by_key(|(bytes, _)| *bytes);
        if let Some((bytes, owner)) = sizes.pop() {
            owner.abort(
                Error::new(
                    ErrorKind::Resources,
                    format!(
                        "disk quota exceeded: all queries together spilled {}, more than spill.max_bytes ({}), and this one most ({})",
                        ByteSize(total),
                        ByteSize(self.max_bytes),
                        ByteSize(bytes)
                    ),
                )
                .about(Subject::Disk)
                .hint("narrow the query, or raise spill.max_bytes"),
            );
        }
    }
}

fn prepare(directory: &Path) -> Result<()> {
    let fail = |error: std::io::Error| {
        Error::new(ErrorKind::Storage, format!("spill directory '{}' can not be used: {error}", directory.display()))
            .about(Subject::Disk)
            .hint("see spill.directories in the configuration")
    };
    std::fs::create_dir_all(directory).map_err(fail)?;
    for entry in std::fs::read_dir(directory).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if entry.file_name().to_string_lossy().starts_with("datafusion-") {
            std::fs::remove_dir_all(entry.path()).map_err(fail)?;
        }
    }
    Ok(())
}
