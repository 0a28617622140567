//! Opens what an earlier server kept.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use arrow::ipc::reader::FileReader;
use chrono::{DateTime, Utc};

use super::files::{Files, part_name};
use super::manifest::{self, Manifest};
use super::quota::Quota;
use super::reader::SpooledResult;
use crate::query::QueryId;

/// The result in this directory; an unfinished, damaged or expired one is deleted. Blocks.
pub(super) fn restore(dir: &Path, quota: &Arc<Quota>, now: DateTime<Utc>) -> Option<SpooledResult> {
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Ok(id) = name.parse::<QueryId>() else {
        tracing::warn!(path = %dir.display(), "leaving alone what is no result");
        return None;
    };
    let opened = open(id, dir, quota).inspect_err(|reason| {
        tracing::info!(query = %id, reason, "deleting an unfinished result");
    });
    match opened {
        Ok(result) if result.expired(now) => {
            result.discard();
            None
        }
        Ok(result) => Some(result),
        Err(_) => {
            if let Err(error) = std::fs::remove_dir_all(dir) {
                tracing::warn!(directory = %dir.display(), %error, "cannot delete an unfinished result");
            }
            None
        }
    }
}

fn open(id: QueryId, dir: &Path, quota: &Arc<Quota>) -> Result<SpooledResult, String> {
    let text = std::fs::read(dir.join(manifest::NAME)).map_err(|error| format!("no manifest: {error}"))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| format!("bad manifest: {error}"))?;
    if manifest.version != manifest::VERSION || manifest.id != id || manifest.parts.is_empty() {
        return Err("the manifest is of another version or result".to_owned());
    }
    for (number, part) in manifest.parts.iter().enumerate() {
        let found = dir.join(part_name(number)).metadata().map_err(|error| format!("part {number}: {error}"))?;
        if found.len() != part.bytes {
            return Err(format!("part {number} has {} bytes instead of {}", found.len(), part.bytes));
        }
    }
    let first = File::open(dir.join(part_name(0))).map_err(|error| format!("part 0: {error}"))?;
    let schema = FileReader::try_new(BufReader::new(first), None).map_err(|error| format!("part 0: {error}"))?.schema();
    let files = Files::existing(id, dir.to_owned(), quota.of(&manifest.owner), manifest.bytes());
    Ok(SpooledResult::new(schema, manifest, files))
}
