//! Local paths: made absolute and free of `.`, `..` and symbolic links.

use std::path::{Component, Path, PathBuf};

/// Removes `.` and `..` by text alone; `..` at the root stays at the root.
pub(super) fn normalize(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

/// Where an absolute path leads after symbolic links; what does not exist yet is kept as written below its nearest existing folder.
pub(super) fn resolve(path: &Path) -> PathBuf {
    // Links first: `link/..` is the parent of the link's target.
    let mut missing: Vec<Component<'_>> = Vec::new();
    let mut existing = path;
    loop {
        if let Ok(real) = existing.canonicalize() {
            let whole = missing.iter().rev().fold(real, |whole: PathBuf, part| whole.join(part.as_os_str()));
            return normalize(&whole);
        }
        match (existing.parent(), existing.components().next_back()) {
            (Some(parent), Some(last)) => {
                missing.push(last);
                existing = parent;
            }
            _ => return normalize(path),
        }
    }
}
