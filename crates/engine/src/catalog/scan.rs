//! The one place where DataFusion's `TableProvider` is implemented.
//!
//! Its methods take `Expr`s by reference in async functions, which costs the compiler seconds for each `#[async_trait]`
//! implementation. So our tables implement the object-safe, `'static` [`Scan`], and [`Table`] translates once, by hand.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Constraints, Statistics};
use datafusion::error::Result;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;

use crate::cache::Sources;
use crate::error::Error;

/// A table of ours: its schema, and how to read it.
pub(crate) trait Scan: fmt::Debug + Send + Sync + 'static {
    /// The columns.
    fn schema(&self) -> SchemaRef;

    /// Base table, view or temporary.
    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// What holds for the rows, enforced: the optimizer relies on it.
    fn constraints(&self) -> Option<&Constraints> {
        None
    }

    /// How well each of these predicates is served by [`Scan::scan`].
    fn supports(&self, filters: &[&Expr]) -> Vec<TableProviderFilterPushDown> {
        vec![TableProviderFilterPushDown::Unsupported; filters.len()]
    }

    /// What is known of the contents without reading them.
    fn statistics(&self) -> Option<Statistics> {
        None
    }

    /// The plan that reads what `request` asks for.
    fn scan(self: Arc<Self>, request: ScanRequest) -> BoxFuture<'static, Result<Arc<dyn ExecutionPlan>>>;

    /// The plan that writes the rows of `input`.
    fn insert(self: Arc<Self>, input: Arc<dyn ExecutionPlan>, op: InsertOp) -> Result<Arc<dyn ExecutionPlan>> {
        let _ = (input, op);
        Err(Error::unsupported("this table can only be read").into())
    }
}

/// What of a table is to be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScanRequest {
    /// Columns, by index; all if absent.
    pub(crate) projection: Option<Vec<usize>>,
    /// Predicates that [`Scan::supports`] accepted.
    pub(crate) filters: Vec<Expr>,
    /// No more rows than this are needed.
    pub(crate) limit: Option<usize>,
    /// How many partitions keep the machine busy.
    pub(crate) target_partitions: usize,
    /// Where to note what is read, if anybody wants to know.
    pub(crate) sources: Option<Arc<Sources>>,
}

/// A [`Scan`] as DataFusion sees it.
#[derive(Debug)]
pub(crate) struct Table<T>(Arc<T>);

impl<T: Scan> Table<T> {
    /// Makes a table readable by DataFusion.
    pub(crate) fn new(table: Arc<T>) -> Self {
        Self(table)
    }

    /// The table itself.
    pub(crate) fn inner(&self) -> &Arc<T> {
        &self.0
    }
}

impl<T: Scan> TableProvider for Table<T> {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        self.0.table_type()
    }

    fn constraints(&self) -> Option<&Constraints> {
        self.0.constraints()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(self.0.supports(filters))
    }

    fn statistics(&self) -> Option<Statistics> {
        self.0.statistics()
    }

    fn scan<'table, 'session, 'projection, 'filters, 'scan>(
        &'table self,
        session: &'session dyn Session,
        projection: Option<&'projection Vec<usize>>,
        filters: &'filters [Expr],
        limit: Option<usize>,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<dyn ExecutionPlan>>> + Send + 'scan>>
    where
        'table: 'scan,
        'session: 'scan,
        'projection: 'scan,
        'filters: 'scan,
        Self: 'scan,
    {
        Arc::clone(&self.0).scan(ScanRequest {
            projection: projection.cloned(),
            filters: filters.to_vec(),
            limit,
            target_partitions: session.config_options().execution.target_partitions,
            sources: Sources::of(session.config()),
        })
    }

    fn insert_into<'table, 'session, 'insert>(
        &'table self,
        _session: &'session dyn Session,
        input: Arc<dyn ExecutionPlan>,
        op: InsertOp,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<dyn ExecutionPlan>>> + Send + 'insert>>
    where
        'table: 'insert,
        'session: 'insert,
        Self: 'insert,
    {
        Box::pin(std::future::ready(Arc::clone(&self.0).insert(input, op)))
    }
}
