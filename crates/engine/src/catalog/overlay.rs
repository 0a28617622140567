//! The catalogs as one statement sees them: the shared tree at one moment, the session's temporary views, tables that
//! stand for functions and URLs of the statement, and the virtual schemas.

mod provider;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::{ResolvedTableReference, TableReference};
use datafusion::logical_expr::TableType;
use parking_lot::Mutex;

use super::census::Census;
use super::entry::{Body, TableEntry, TableKind, TableStatus, memory_provider};
use super::listing::Listed;
use super::registry::Catalogs;
use super::tree::Tree;
use super::view::{self, PlanView};
use super::virtual_schema;
use crate::auth::Principal;
use crate::error::Result;
use crate::plan::suggest::closest;
use crate::storage::READ_SCHEMA;

/// Tables by name that exist for one session or one statement.
pub(crate) type NamedTables = BTreeMap<String, Arc<dyn TableProvider>>;

/// What a statement's names are looked up in.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// Who asks.
    pub(crate) principal: Principal,
    /// What all sessions share.
    pub(crate) catalogs: Arc<Catalogs>,
    /// Who knows what goes on, for the `system` tables.
    pub(crate) census: Arc<dyn Census>,
    /// Who plans views.
    pub(crate) planner: Arc<dyn PlanView>,
    /// The session's temporary views: they hide tables of their name in the default schema.
    pub(crate) temporary: Arc<NamedTables>,
    /// Tables of this statement alone, under names that it generated, found in [`READ_SCHEMA`].
    pub(crate) generated: Arc<NamedTables>,
    /// The catalog of unqualified names.
    pub(crate) catalog: String,
    /// The schema of unqualified names.
    pub(crate) schema: String,
}

/// The catalogs as one statement of a session sees them, from its start to its end. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct SessionCatalogs(Arc<State>);

#[derive(Debug)]
struct State {
    scope: Scope,
    /// As it was when the statement started.
    tree: Arc<Tree>,
    /// The views that are being planned, outermost first.
    inside: Vec<ResolvedTableReference>,
    /// Full names of the tables that were found, those within views included.
    touched: Arc<Mutex<BTreeSet<String>>>,
}

impl SessionCatalogs {
    /// The catalogs as they are now, for one statement.
    pub(crate) fn new(scope: Scope) -> Self {
        let tree = scope.catalogs.snapshot();
        Self(Arc::new(State { scope, tree, inside: Vec::new(), touched: Arc::default() }))
    }

    /// What names are looked up in.
    pub(crate) fn scope(&self) -> &Scope {
        &self.0.scope
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.0.tree
    }

    pub(super) fn planner(&self) -> &dyn PlanView {
        self.0.scope.planner.as_ref()
    }

    pub(super) fn inside(&self) -> &[ResolvedTableReference] {
        &self.0.inside
    }

    /// What the query of a view sees: the same moment, its own defaults, and nothing of the session.
    pub(super) fn within_view(&self, name: ResolvedTableReference, catalog: &str, schema: &str) -> Self {
        let mut scope = self.0.scope.clone();
        scope.temporary = Arc::default();
        scope.generated = Arc::default();
        catalog.clone_into(&mut scope.catalog);
        schema.clone_into(&mut scope.schema);
        let inside = self.0.inside.iter().cloned().chain([name]).collect();
        let (tree, touched) = (Arc::clone(&self.0.tree), Arc::clone(&self.0.touched));
        Self(Arc::new(State { scope, tree, inside, touched }))
    }

    /// The same with tables of one statement.
    pub(crate) fn with_generated(&self, generated: NamedTables) -> Self {
        let State { scope, tree, inside, touched } = self.0.as_ref();
        let scope = Scope { generated: Arc::new(generated), ..scope.clone() };
        let (tree, touched) = (Arc::clone(tree), Arc::clone(touched));
        Self(Arc::new(State { scope, tree, inside: inside.clone(), touched }))
    }

    /// The full name.
    pub(crate) fn resolve(&self, reference: TableReference) -> ResolvedTableReference {
        reference.resolve(&self.0.scope.catalog, &self.0.scope.schema)
    }

    /// The table of this name, opened; `None` if there is none.
    ///
    /// # Errors
    /// If it can not be opened, or is a view that can not be planned.
    pub(crate) async fn table(&self, name: &ResolvedTableReference) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some(own) = self.own(name) {
            return Ok(Some(own));
        }
        let found = match virtual_schema(&name.schema) {
            Some(schema) => schema.table(&name.table, self),
            None => match self.entry(name).await? {
                Some(entry) => Some(self.open(name, &entry).await?),
                None => None,
            },
        };
        if found.is_some() {
            self.0.touched.lock().insert(name.to_string());
        }
        Ok(found)
    }

    /// Full names of the tables and views that were found so far, but for the session's own views.
    pub(crate) fn touched(&self) -> BTreeSet<String> {
        self.0.touched.lock().clone()
    }

    /// The type of the table of this name, without opening it.
    ///
    /// # Errors
    /// If the folder of its schema can not be listed.
    pub(crate) async fn table_type(&self, name: &ResolvedTableReference) -> Result<Option<TableType>> {
        if let Some(own) = self.own(name) {
            return Ok(Some(own.table_type()));
        }
        if let Some(schema) = virtual_schema(&name.schema) {
            return Ok(schema.has(&name.table).then_some(TableType::View));
        }
        Ok(self.entry(name).await?.map(|entry| entry.table_type()))
    }

    /// Whether there is such a catalog.
    ///
    /// # Errors
    /// `NotFound`, with similar names.
    pub(crate) fn require_catalog(&self, catalog: &str) -> Result<()> {
        self.0.tree.catalog(catalog).map(drop)
    }

    /// Whether there is such a schema. Each catalog has the virtual ones.
    ///
    /// # Errors
    /// `NotFound`, with similar names.
    pub(crate) fn require_schema(&self, catalog: &str, schema: &str) -> Result<()> {
        self.0.tree.require_schema(catalog, schema)
    }

    /// Full or short names that the user may have meant by one that does not resolve, best first.
    pub(crate) fn suggest_table(&self, reference: &TableReference) -> Vec<String> {
        let wanted = self.resolve(reference.clone());
        let near = closest(&wanted.table, self.known_names(&wanted.catalog, &wanted.schema).iter().map(String::as_str));
        if !near.is_empty() {
            let prefix = match reference {
                TableReference::Bare { .. } => String::new(),
                TableReference::Partial { schema, .. } => format!("{schema}."),
                TableReference::Full { catalog, schema, .. } => format!("{catalog}.{schema}."),
            };
            return near.into_iter().map(|name| format!("{prefix}{name}")).collect();
        }
        let table = reference.table();
        let elsewhere = self.0.tree.catalogs.iter().flat_map(|(catalog, node)| {
            let holding = node.schemas.iter().filter(|(_, node)| node.known().contains_key(table));
            holding.map(move |(schema, _)| format!("{catalog}.{schema}.{table}"))
        });
        elsewhere.take(3).collect()
    }

    /// Every table that the statement can name, without opening one.
    pub(super) async fn listed(&self) -> Vec<Listed> {
        let Scope { catalogs, principal, temporary, catalog, schema, .. } = &self.0.scope;
        let own = temporary.keys().map(|name| Listed {
            catalog: catalog.as_str().into(),
            schema: schema.as_str().into(),
            name: name.as_str().into(),
            kind: TableKind::View,
            temporary: true,
            status: TableStatus::Open,
            error: None,
            entry: None,
        });
        let mut listed: Vec<_> = own.collect();
        listed.extend(catalogs.listed(principal, &self.0.tree).await);
        listed
    }

    /// Names in a schema, as far as they are known without IO.
    fn known_names(&self, catalog: &str, schema: &str) -> Vec<String> {
        let mut names = Vec::new();
        if self.is_default(catalog, schema) {
            names.extend(self.0.scope.temporary.keys().cloned());
        }
        if let Some(schema) = virtual_schema(schema) {
            names.extend(schema.names().map(str::to_owned));
        } else if let Ok(node) = self.0.tree.schema(catalog, schema) {
            names.extend(node.known().keys().map(ToString::to_string));
        }
        names
    }

    fn is_default(&self, catalog: &str, schema: &str) -> bool {
        catalog == self.0.scope.catalog && schema == self.0.scope.schema
    }

    /// The session's or the statement's own table of this name.
    fn own(&self, name: &ResolvedTableReference) -> Option<Arc<dyn TableProvider>> {
        let Scope { generated, temporary, .. } = &self.0.scope;
        if *name.schema == *READ_SCHEMA {
            return generated.get(name.table.as_ref()).map(Arc::clone);
        }
        let visible = self.is_default(&name.catalog, &name.schema);
        temporary.get(name.table.as_ref()).filter(|_| visible).map(Arc::clone)
    }

    async fn entry(&self, name: &ResolvedTableReference) -> Result<Option<Arc<TableEntry>>> {
        match self.0.tree.schema(&name.catalog, &name.schema) {
            Ok(schema) => schema.table(&name.table, self.0.scope.catalogs.opener().as_ref()).await,
            Err(_) => Ok(None),
        }
    }

    async fn open(&self, name: &ResolvedTableReference, entry: &TableEntry) -> Result<Arc<dyn TableProvider>> {
        match &entry.body {
            Body::External(slot) => slot.open(self.0.scope.catalogs.opener().as_ref()).await,
            Body::Memory(table) => Ok(memory_provider(table)),
            Body::View(definition) => view::open(definition, name.clone(), self).await,
        }
    }
}
