//! The primary keys of tables. Tables in memory alone have them, so that nothing is listed in a store or opened.

use super::entry::Body;
use super::memory::ConstraintKind;
use super::registry::Catalogs;
use crate::auth::Principal;

/// The primary key of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrimaryKey {
    /// The table's catalog.
    pub catalog: String,
    /// The table's schema.
    pub schema: String,
    /// The table's name in the schema.
    pub table: String,
    /// The name of the constraint.
    pub name: String,
    /// Its columns, in the order of the key.
    pub columns: Vec<String>,
}

impl Catalogs {
    /// The primary keys of the tables of this name that the principal may see, by catalog and schema; a catalog or schema that
    /// is given is the only one to look in.
    pub fn primary_keys(
        &self,
        principal: &Principal,
        catalog: Option<&str>,
        schema: Option<&str>,
        table: &str,
    ) -> Vec<PrimaryKey> {
        // Every principal may see everything until there are grants.
        let _ = principal;
        let mut keys = Vec::new();
        let is = |wanted: Option<&str>, name: &str| wanted.is_none_or(|wanted| wanted == name);
        for (in_catalog, node) in self.snapshot().catalogs.iter().filter(|(name, _)| is(catalog, name)) {
            for (in_schema, node) in node.schemas.iter().filter(|(name, _)| is(schema, name)) {
                let Some(entry) = node.tables.get(table) else { continue };
                let Body::Memory(memory) = &entry.body else { continue };
                let constraints = memory.shape().constraints().into_iter();
                keys.extend(constraints.filter(|constraint| constraint.kind == ConstraintKind::PrimaryKey).map(
                    |key| PrimaryKey {
                        catalog: in_catalog.to_string(),
                        schema: in_schema.to_string(),
                        table: table.to_owned(),
                        name: key.name,
                        columns: key.columns,
                    },
                ));
            }
        }
        keys
    }
}
