//! What a table of files is defined by.

use std::collections::BTreeMap;
use std::fmt;

use datafusion::arrow::datatypes::SchemaRef;

use crate::config::TableConfig;

/// What a table of files is, before anybody looked into the files.
#[derive(Clone, Default, PartialEq)]
pub struct TableDefinition {
    /// URLs or paths of files, folders or globs, in one store.
    pub locations: Vec<String>,
    /// `parquet`, `csv`, `json`, `arrow` or `avro`, as in `STORED AS`; by default what the file names say.
    pub format: Option<String>,
    /// Hive partition columns, in the order of the folders; none means what the folders say.
    pub partitioned_by: Vec<String>,
    /// The columns, partition columns included or not; by default what the files say.
    pub schema: Option<SchemaRef>,
    /// Options of the format. They may hold credentials, so no listing shows their values.
    pub options: BTreeMap<String, String>,
    /// Made by the operator, in the configuration: `storage.allowed` is about statements.
    pub by_operator: bool,
}

impl TableDefinition {
    /// The files at this URL or path, in the format that its extension says.
    pub fn at(location: impl Into<String>) -> Self {
        Self { locations: vec![location.into()], ..Self::default() }
    }

    /// Where it is, for messages: without the queries of signed URLs.
    pub(super) fn place(&self) -> String {
        self.places().join(", ")
    }

    fn places(&self) -> Vec<&str> {
        self.locations.iter().map(|text| cut_query(text)).collect()
    }
}

fn cut_query(text: &str) -> &str {
    if text.starts_with("http") { text.split('?').next().unwrap_or(text) } else { text }
}

impl From<&TableConfig> for TableDefinition {
    fn from(config: &TableConfig) -> Self {
        Self {
            locations: vec![config.location.clone()],
            format: config.format.clone(),
            partitioned_by: config.partitioned_by.clone(),
            schema: None,
            options: config.options.clone(),
            by_operator: true,
        }
    }
}

/// A location may be a signed URL, so what follows `?` is left out; an option may be a secret.
impl fmt::Debug for TableDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableDefinition")
            .field("locations", &self.places())
            .field("format", &self.format)
            .field("partitioned_by", &self.partitioned_by)
            .field("schema", &self.schema)
            .field("options", &self.options.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
