//! What a result consists of: the file that makes it complete.

use std::io::Write;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::files::Files;
use crate::data_dir;
use crate::error::{Error, Result};
use crate::query::QueryId;

/// Its name in the directory of the result.
pub(super) const NAME: &str = "manifest.json";

/// The version of its layout, and of the parts.
pub(super) const VERSION: u32 = 1;

/// A complete result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) version: u32,
    pub(super) id: QueryId,
    /// The name of the principal whose query it was.
    pub(super) owner: Arc<str>,
    pub(super) created_at: DateTime<Utc>,
    /// Absent when it is kept until it is deleted.
    pub(super) expires_at: Option<DateTime<Utc>>,
    /// In order. At least one, which may be empty: the parts hold the schema.
    pub(super) parts: Vec<Part>,
}

/// One file of a result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Size of the file.
    pub(super) bytes: u64,
    /// Rows of each record batch, so that a reader can go to a row without reading those before it.
    pub(super) batches: Vec<u64>,
}

impl Part {
    pub(super) fn rows(&self) -> u64 {
        self.batches.iter().sum()
    }
}

impl Manifest {
    pub(super) fn rows(&self) -> u64 {
        self.parts.iter().map(Part::rows).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Writes it so that it is there whole or not at all when the process dies. Blocks.
    pub(super) fn write(&self, files: &Files) -> Result<()> {
        let json = serde_json::to_vec(self)
            .map_err(|error| Error::internal("the manifest of a result cannot be rendered").caused_by(error))?;
        let unfinished = files.path("manifest.json.tmp");
        // Not synced: results are temporary, and a power cut may take one.
        data_dir::create_file(&unfinished)
            .and_then(|mut file| file.write_all(&json))
            .and_then(|()| std::fs::rename(&unfinished, files.path(NAME)))
            .map_err(|error| files.failure("write", NAME, error))
    }
}
