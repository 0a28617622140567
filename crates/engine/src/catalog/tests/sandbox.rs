//! A catalog without storage and without a server: what the tests stand on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::TableProvider;
use datafusion::common::ResolvedTableReference;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool, UnboundedMemoryPool};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionConfig;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::auth::{Principal, Role};
use crate::catalog::memory::{Inserted, MemoryTable, Shape, rewrite_dml};
use crate::catalog::{
    CatalogStore, Catalogs, Census, FunctionInfo, IfExists, MemoryInfo, MemoryStore, NamedTables, NewTable, NodeInfo,
    OpenTable, PlanView, Scope, SessionCatalogs, TableDefinition, ViewDefinition,
};
use crate::config::{CatalogConfig, SchemaConfig, TableConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::query::{QueryId, QueryInfo, Stages};
use crate::run::WorkerInfo;
use crate::session::{SessionInfo, SettingInfo};

/// Opens anything as an empty table with one column `id`, but for locations that contain `broken`.
#[derive(Debug, Default)]
pub(in crate::catalog) struct Files {
    opened: Arc<AtomicUsize>,
}

impl Files {
    pub(in crate::catalog) fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

impl OpenTable for Files {
    fn open(&self, definition: &TableDefinition) -> BoxFuture<'static, Result<Arc<dyn TableProvider>>> {
        let location = definition.locations.join(", ");
        let opened = Arc::clone(&self.opened);
        async move {
            opened.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            if location.contains("broken") {
                return Err(Error::new(ErrorKind::Data, format!("'{location}' is not a Parquet file")));
            }
            let schema = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
            let table: Arc<dyn TableProvider> = Arc::new(EmptyTable::new(Arc::new(schema)));
            Ok(table)
        }
        .boxed()
    }

    fn list(&self, folder: &str) -> BoxFuture<'static, Result<Vec<(String, TableDefinition)>>> {
        let file = |name: &str| (name.to_owned(), TableDefinition::at(format!("{folder}/{name}.parquet")));
        let listing = if folder.contains("gone") {
            Err(Error::new(ErrorKind::Storage, format!("cannot list '{folder}'")))
        } else {
            Ok(vec![file("orders"), file("lineitem")])
        };
        std::future::ready(listing).boxed()
    }
}

#[derive(Debug)]
struct Quiet;

impl Census for Quiet {
    fn queries(&self, _: &Principal, _: usize) -> BoxFuture<'static, Result<Vec<QueryInfo>>> {
        futures::future::ok(Vec::new()).boxed()
    }

    fn sessions(&self, _: &Principal) -> Vec<SessionInfo> {
        Vec::new()
    }

    fn settings(&self, _: &Principal) -> Vec<SettingInfo> {
        Vec::new()
    }

    fn functions(&self) -> Vec<FunctionInfo> {
        Vec::new()
    }

    fn nodes(&self) -> Vec<NodeInfo> {
        Vec::new()
    }

    fn stages(&self, _: &Principal) -> Vec<(QueryId, Arc<Stages>)> {
        Vec::new()
    }

    fn workers(&self) -> Vec<WorkerInfo> {
        Vec::new()
    }

    fn memory(&self, _: &Principal) -> Vec<MemoryInfo> {
        Vec::new()
    }
}

#[derive(Debug)]
struct Planner;

impl PlanView for Planner {
    fn plan(&self, sql: &str, catalogs: SessionCatalogs) -> BoxFuture<'static, Result<LogicalPlan>> {
        let sql = sql.to_owned();
        async move { Ok(state(catalogs).create_logical_plan(&sql).await?) }.boxed()
    }
}

fn state(catalogs: SessionCatalogs) -> SessionState {
    let Scope { catalog, schema, .. } = catalogs.scope();
    let config = SessionConfig::new()
        .with_create_default_catalog_and_schema(false)
        .with_target_partitions(2)
        .with_default_catalog_and_schema(catalog, schema);
    SessionStateBuilder::new().with_config(config).with_default_features().with_catalog_list(Arc::new(catalogs)).build()
}

/// A catalog and those who serve it.
pub(in crate::catalog) struct Sandbox {
    pub(in crate::catalog) catalogs: Arc<Catalogs>,
    pub(in crate::catalog) files: Arc<Files>,
    pub(in crate::catalog) pool: Arc<dyn MemoryPool>,
    pub(in crate::catalog) temporary: Arc<NamedTables>,
}

impl Sandbox {
    /// With catalog `demo`: schema `files` with tables `good`, `better` and `broken`, schema `folder` over a folder, and
    /// schema `gone` over one that can not be listed.
    pub(in crate::catalog) async fn new() -> Self {
        Self::with_store(Arc::new(MemoryStore)).await
    }

    pub(in crate::catalog) async fn with_store(store: Arc<dyn CatalogStore>) -> Self {
        let table = |location: &str| TableConfig {
            location: location.to_owned(),
            format: None,
            partitioned_by: Vec::new(),
            options: BTreeMap::new(),
        };
        let tables = ["good", "better", "broken"].map(|name| (name.to_owned(), table(&format!("/{name}.parquet"))));
        let files = SchemaConfig { location: None, tables: BTreeMap::from(tables) };
        let folder = |location: &str| SchemaConfig { location: Some(location.to_owned()), tables: BTreeMap::new() };
        let schemas = [("files", files), ("folder", folder("/data")), ("gone", folder("/gone"))];
        let schemas = schemas.map(|(name, schema)| (name.to_owned(), schema)).into();
        let config = BTreeMap::from([("demo".to_owned(), CatalogConfig { schemas })]);
        let files = Arc::new(Files::default());
        let opener: Arc<dyn OpenTable> = Arc::<Files>::clone(&files);
        let catalogs = Catalogs::start(&config, opener, store).await.unwrap();
        Self { catalogs, files, pool: Arc::new(UnboundedMemoryPool::default()), temporary: Arc::default() }
    }

    /// Whose in-memory tables may hold this many bytes.
    pub(in crate::catalog) async fn with_memory(bytes: usize) -> Self {
        Self { pool: Arc::new(GreedyMemoryPool::new(bytes)), ..Self::new().await }
    }

    pub(in crate::catalog) fn principal() -> Principal {
        Principal::new("ada", Role::Admin)
    }

    /// The view of one statement.
    pub(in crate::catalog) fn session(&self) -> SessionCatalogs {
        SessionCatalogs::new(Scope {
            principal: Self::principal(),
            catalogs: Arc::clone(&self.catalogs),
            census: Arc::new(Quiet),
            planner: Arc::new(Planner),
            temporary: Arc::clone(&self.temporary),
            generated: Arc::default(),
            catalog: "tidemill".to_owned(),
            schema: "public".to_owned(),
        })
    }

    /// A statement, planned and not run yet.
    pub(in crate::catalog) async fn plan(&self, sql: &str) -> Result<DataFrame> {
        let state = state(self.session());
        let plan = rewrite_dml(&state, state.create_logical_plan(sql).await?, &Inserted::default())?;
        Ok(DataFrame::new(state, plan))
    }

    pub(in crate::catalog) async fn batches(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        Ok(self.plan(sql).await?.collect().await?)
    }

    /// The rows of a statement as text, one line each, values separated by `|`.
    pub(in crate::catalog) async fn rows(&self, sql: &str) -> Vec<String> {
        let batches = self.batches(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let table = pretty_format_batches(&batches).unwrap().to_string();
        let lines = table.lines().skip(3).filter(|line| line.starts_with('|'));
        lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join("|")).collect()
    }

    pub(in crate::catalog) async fn error(&self, sql: &str) -> Error {
        self.batches(sql).await.expect_err(sql)
    }

    /// `CREATE TABLE public.name AS sql`.
    pub(in crate::catalog) async fn table_as(&self, name: &str, sql: &str, if_exists: IfExists) -> Arc<MemoryTable> {
        let query = self.plan(sql).await.unwrap();
        let schema = Arc::clone(query.schema().inner());
        let table = Arc::new(MemoryTable::new(name, Shape::plain(schema), &self.pool).unwrap());
        table.append(query.execute_stream().await.unwrap(), &[]).await.unwrap();
        self.catalogs.create_table(&public(name), NewTable::Memory(Arc::clone(&table)), if_exists).await.unwrap();
        table
    }

    /// `CREATE OR REPLACE VIEW public.name AS sql`.
    pub(in crate::catalog) async fn view(&self, name: &str, sql: &str) {
        let view = ViewDefinition {
            sql: sql.to_owned(),
            columns: Vec::new(),
            catalog: "tidemill".to_owned(),
            schema: "public".to_owned(),
        };
        self.catalogs.create_table(&public(name), NewTable::View(view), IfExists::Replace).await.unwrap();
    }
}

pub(in crate::catalog) fn named(catalog: &str, schema: &str, table: &str) -> ResolvedTableReference {
    ResolvedTableReference { catalog: catalog.into(), schema: schema.into(), table: table.into() }
}

pub(in crate::catalog) fn public(table: &str) -> ResolvedTableReference {
    named("tidemill", "public", table)
}
