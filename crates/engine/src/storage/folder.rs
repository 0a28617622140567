//! A folder as a schema: `orders.parquet` and `orders/` in it are table `orders`.

use std::collections::BTreeMap;

use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::ObjectStore;

use super::format::Recognized;
use super::{Location, TableDefinition};
use crate::error::{Error, Result};

/// The tables of a folder, by name. Nothing is opened.
pub(super) async fn tables(folder: &str, runtime: &RuntimeEnv) -> Result<Vec<(String, TableDefinition)>> {
    let location = Location::parse(&format!("{}/", folder.trim_end_matches('/')))?;
    if !location.is_listable() {
        return Err(Error::unsupported(format!("the folder '{folder}' can not be listed over HTTP"))
            .hint("declare its tables one by one"));
    }
    let store = runtime.object_store(location.store())?;
    let listed = store.list_with_delimiter(Some(location.base())).await?;
    let root = match location.is_local() {
        true => "/".to_owned(),
        false => format!("{}/", location.store().as_str().trim_end_matches('/')),
    };
    let mut found = BTreeMap::new();
    for prefix in listed.common_prefixes {
        let Some(name) = prefix.filename() else { continue };
        if !name.starts_with(['.', '_']) {
            found.insert(name.to_lowercase(), format!("{root}{prefix}/"));
        }
    }
    // A file wins over a folder of its name.
    for object in listed.objects {
        let Some(file) = object.location.filename() else { continue };
        if file.starts_with(['.', '_']) || Recognized::of(file).is_none() {
            continue;
        }
        found.insert(super::format::stem(file).to_lowercase(), format!("{root}{}", object.location));
    }
    let declared = |(name, location): (String, String)| {
        (name, TableDefinition { by_operator: true, ..TableDefinition::at(location) })
    };
    Ok(found.into_iter().map(declared).collect())
}
