//! [`SessionCatalogs`] in the form that DataFusion asks for. `SchemaProvider` is implemented without `#[async_trait]` for
//! the reason given in [`scan`](crate::catalog::scan).

use std::pin::Pin;
use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::ResolvedTableReference;
use datafusion::error::Result;
use datafusion::logical_expr::TableType;

use super::SessionCatalogs;
use crate::catalog::{VIRTUAL_SCHEMAS, virtual_schema};
use crate::storage::READ_SCHEMA;

#[derive(Debug)]
struct Catalog {
    catalogs: SessionCatalogs,
    name: Arc<str>,
}

#[derive(Debug)]
struct Schema {
    catalogs: SessionCatalogs,
    catalog: Arc<str>,
    name: Arc<str>,
}

impl CatalogProviderList for SessionCatalogs {
    /// Catalogs are made through [`Catalogs`](crate::catalog::Catalogs); a statement's view of them does not change.
    fn register_catalog(&self, _name: String, _catalog: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        self.tree().catalogs.keys().map(ToString::to_string).collect()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        let (name, _) = self.tree().catalogs.get_key_value(name)?;
        Some(Arc::new(Catalog { catalogs: self.clone(), name: Arc::clone(name) }))
    }
}

impl CatalogProvider for Catalog {
    fn schema_names(&self) -> Vec<String> {
        let declared = self.catalogs.tree().catalogs.get(&self.name).into_iter().flat_map(|node| node.schemas.keys());
        declared.map(AsRef::as_ref).chain(VIRTUAL_SCHEMAS).map(str::to_owned).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let known = virtual_schema(name).is_some()
            || name == READ_SCHEMA
            || self.catalogs.tree().schema(&self.name, name).is_ok();
        known.then(|| {
            let schema = Schema { catalogs: self.catalogs.clone(), catalog: Arc::clone(&self.name), name: name.into() };
            let schema: Arc<dyn SchemaProvider> = Arc::new(schema);
            schema
        })
    }
}

impl Schema {
    fn reference(&self, table: &str) -> ResolvedTableReference {
        ResolvedTableReference {
            catalog: Arc::clone(&self.catalog),
            schema: Arc::clone(&self.name),
            table: table.into(),
        }
    }
}

impl SchemaProvider for Schema {
    fn table_names(&self) -> Vec<String> {
        self.catalogs.known_names(&self.catalog, &self.name)
    }

    fn table<'schema, 'name, 'lookup>(
        &'schema self,
        name: &'name str,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Arc<dyn TableProvider>>>> + Send + 'lookup>>
    where
        'schema: 'lookup,
        'name: 'lookup,
        Self: 'lookup,
    {
        let (catalogs, name) = (self.catalogs.clone(), self.reference(name));
        Box::pin(async move { Ok(catalogs.table(&name).await?) })
    }

    fn table_type<'schema, 'name, 'lookup>(
        &'schema self,
        name: &'name str,
    ) -> Pin<Box<dyn Future<Output = Result<Option<TableType>>> + Send + 'lookup>>
    where
        'schema: 'lookup,
        'name: 'lookup,
        Self: 'lookup,
    {
        let (catalogs, name) = (self.catalogs.clone(), self.reference(name));
        Box::pin(async move { Ok(catalogs.table_type(&name).await?) })
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|known| known == name)
    }
}
