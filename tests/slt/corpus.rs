//! The files of the corpus, less those that are known not to pass.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::connection::Via;

/// One `.slt` file.
pub(crate) struct File {
    /// Path below `tests/sql`.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exceptions {
    exception: Vec<Exception>,
}

/// A file that one way of running can not pass.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    file: String,
    via: String,
    reason: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sql")
}

/// What `$DATA` stands for.
pub(crate) fn data_dir() -> PathBuf {
    root().join("data")
}

/// The files to run this way, in the order of their names.
pub(crate) fn files(via: Via) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    collect(&root(), &mut files)?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let excepted = exceptions(&files)?;
    let wanted = std::env::var("TIDEMILL_SLT").unwrap_or_default();
    files.retain(|file| {
        let except = excepted.iter().any(|exception| exception.file == file.name && exception.via == via.name());
        !except && file.name.contains(&wanted)
    });
    ensure!(!files.is_empty(), "no file of tests/sql matches TIDEMILL_SLT='{wanted}'");
    Ok(files)
}

fn collect(folder: &Path, files: &mut Vec<File>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            let name = path.strip_prefix(root())?.to_string_lossy().into_owned();
            files.push(File { name, path });
        }
    }
    Ok(())
}

/// An exception for a file that is gone, or without a reason, is an error: the list must not rot.
fn exceptions(files: &[File]) -> anyhow::Result<Vec<Exception>> {
    let text = std::fs::read_to_string(root().join("exceptions.toml"))?;
    let Exceptions { exception } = toml::from_str(&text).context("tests/sql/exceptions.toml")?;
    for Exception { file, via, reason } in &exception {
        ensure!(files.iter().any(|known| known.name == *file), "exceptions.toml names no file of the corpus: {file}");
        ensure!(Via::ALL.iter().any(|known| known.name() == via), "exceptions.toml: unknown way '{via}' of {file}");
        ensure!(!reason.trim().is_empty(), "exceptions.toml: {file} needs a reason");
    }
    Ok(exception)
}
