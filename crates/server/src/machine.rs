//! What the machine, or the container around this process, has to give.

use std::path::{Path, PathBuf};

/// Cores that this process may use, at least 1.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Bytes of memory that this process may use: the machine's, or the limit of its control group where that is less.
pub fn memory_bytes() -> u64 {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let membership = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = cgroup_limit(Path::new("/sys/fs/cgroup"), &membership);
    limit.map_or(system.total_memory(), |limit| limit.min(system.total_memory()))
}

/// The least memory limit of the groups named by `membership` (the content of `/proc/self/cgroup`) and of those around
/// them. `sysinfo` looks at the outermost group only, which misses a limit that systemd set.
fn cgroup_limit(root: &Path, membership: &str) -> Option<u64> {
    let limits_of = |line: &str| -> Vec<PathBuf> {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { return Vec::new() };
        let (base, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => return Vec::new(),
        };
        let group = base.join(group.trim_start_matches('/'));
        group.ancestors().take_while(|above| above.starts_with(&base)).map(|above| above.join(file)).collect()
    };
    // `max`, a group that is not mounted here, and version 1's huge number all mean that this level sets no limit.
    let read = |path: PathBuf| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    membership.lines().flat_map(limits_of).filter_map(read).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_enclosing_group_counts() {
        let root = tempfile::tempdir().unwrap();
        let group = |path: &str, file: &str, limit: &str| {
            let folder = root.path().join(path);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(file), limit).unwrap();
        };
        group("system.slice", "memory.max", "4096\n");
        group("system.slice/tidemill", "memory.max", "max\n");
        assert_eq!(cgroup_limit(root.path(), "0::/system.slice/tidemill\n"), Some(4096));
        group("memory", "memory.limit_in_bytes", "9223372036854771712\n");
        group("memory/job", "memory.limit_in_bytes", "2048\n");
        assert_eq!(cgroup_limit(root.path(), "4:cpu,memory:/job\n3:pids:/job\n"), Some(2048));
        assert_eq!(cgroup_limit(root.path(), "0::/elsewhere\n"), None);
        assert_eq!(cgroup_limit(root.path(), ""), None);
    }

    #[test]
    fn this_machine_has_memory_and_cores() {
        assert!(memory_bytes() > 1 << 20);
        assert!(cores() >= 1);
    }
}
