//! The files of a location.

use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::TableReference;
use datafusion::execution::cache::TableScopedPath;
use datafusion::execution::cache::cache_manager::CachedFileList;
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::location::{Location, Shape};
use super::policy::StoragePolicy;
use crate::plan::suggest;
use crate::{Error, ErrorKind, Result, Subject};

/// Neighbours that are looked at to suggest a name.
const MAX_NEIGHBOURS: usize = 1000;

/// The files of `location`, by name; empty files hold no rows and are left out.
///
/// # Errors
/// `NotFound` for a single file that does not exist, `Resources` for more files than one scan may list.
pub(super) async fn list(
    session: &dyn Session,
    policy: &StoragePolicy,
    location: &Location,
) -> Result<Vec<ObjectMeta>> {
    let store = session.runtime_env().object_store(location.store())?;
    if matches!(location.shape, Shape::File) {
        match store.head(location.base()).await {
            Ok(meta) => return Ok(vec![meta]),
            // A prefix that was written without its slash.
            Err(object_store::Error::NotFound { .. }) if location.is_listable() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let cache = session.runtime_env().cache_manager.get_list_files_cache().filter(|_| policy.cached_listings);
    let key = cache_key(location);
    if let Some(cache) = &cache
        && let Some(known) = cache.get(&key)
    {
        return Ok(known.files.as_ref().clone());
    }
    let mut files = list_below(store.as_ref(), policy, location).await?;
    files.sort_by(|a, b| a.location.cmp(&b.location));
    if let Some(cache) = cache {
        cache.put(&key, CachedFileList::new(files.clone()));
    }
    Ok(files)
}

/// Forgets what is known about the files of `location`, after writing there.
pub(super) fn forget(session: &dyn Session, location: &Location) {
    if let Some(cache) = session.runtime_env().cache_manager.get_list_files_cache() {
        cache.remove(&cache_key(location));
    }
}

/// A bare path would mean the same in two buckets; the name of the location does not.
fn cache_key(location: &Location) -> TableScopedPath {
    TableScopedPath { table: Some(TableReference::bare(location.to_string())), path: location.base().clone() }
}

async fn list_below(store: &dyn ObjectStore, policy: &StoragePolicy, location: &Location) -> Result<Vec<ObjectMeta>> {
    let mut listed = store.list(Some(location.base()));
    let mut files = Vec::new();
    while let Some(file) = listed.try_next().await? {
        let wanted = location.relative(&file.location).is_some_and(|path| is_wanted(&location.shape, path));
        if !wanted || file.size == 0 || location.is_local() && policy.hides(&file.location) {
            continue;
        }
        if files.len() == policy.max_files_per_scan {
            return Err(Error::new(
                ErrorKind::Resources,
                format!("'{location}' has more than {} files", policy.max_files_per_scan),
            )
            .about(Subject::File)
            .hint("narrow the pattern, or raise storage.max_files_per_scan of the server"));
        }
        files.push(file);
    }
    Ok(files)
}

/// `_delta_log`, `_SUCCESS` and `.crc` files lie beside the data; a hive folder such as `_x=1` is data.
fn is_wanted(shape: &Shape, path: &str) -> bool {
    let is_hidden = |segment: &str| segment.starts_with(['.', '_']) && !segment.contains('=');
    match shape {
        Shape::File | Shape::Folder => !path.split('/').any(is_hidden),
        Shape::Glob(glob, text) => {
            glob.matches(path) && (text.split('/').any(is_hidden) || !path.split('/').any(is_hidden))
        }
    }
}

/// The error for a location without files, with the names that come closest where looking is cheap.
pub(super) async fn nothing_found(location: &Location) -> Error {
    let message = match location.shape {
        Shape::File => format!("no file at '{location}'"),
        Shape::Folder => format!("no data files in '{location}'"),
        Shape::Glob(..) => format!("no files match '{location}'"),
    };
    let error = Error::not_found(Subject::File, message).suggest(neighbours(location).await);
    match location.shape {
        Shape::File => error,
        Shape::Folder | Shape::Glob(..) => {
            error.hint("files that are empty, and names that begin with '.' or '_', do not count")
        }
    }
}

async fn neighbours(location: &Location) -> Vec<String> {
    let path = Arc::<str>::from(format!("/{}", location.base()));
    if !location.is_local() || !matches!(location.shape, Shape::File) {
        return Vec::new();
    }
    let looked = tokio::task::spawn_blocking(move || {
        let path = std::path::Path::new(path.as_ref());
        let wanted = path.file_name()?.to_str()?.to_owned();
        let names: Vec<String> = std::fs::read_dir(path.parent()?)
            .ok()?
            .take(MAX_NEIGHBOURS)
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        Some(suggest::closest(&wanted, names.iter().map(String::as_str)))
    });
    looked.await.ok().flatten().unwrap_or_default()
}
