//! A table of files.
//!
//! DataFusion's `ListingTable` leaves `name=value` folders out before it applies a pattern and knows no `**`, so the files
//! are listed here; formats, statistics and scans are DataFusion's, and so is writing.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::listing::helpers::expr_applicable_for_cols;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::cache::SchemaFingerprint;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;

use super::definition::TableDefinition;
use super::format::Recognized;
use super::listing;
use super::location::{Location, Shape};
use super::open::{self, PartitionColumn};
use super::partition::with_folder_values;
use super::policy::StoragePolicy;
use crate::cache::{Digester, Fingerprint};
use crate::{Error, ErrorKind, Result, Subject};

mod scan;

pub use scan::is_json_array;

/// A table of files in one store. Files that appear later are seen by the next scan.
pub(crate) struct ExternalTable {
    policy: Arc<StoragePolicy>,
    locations: Vec<Location>,
    accept: Accept,
    format: Arc<dyn FileFormat>,
    file_schema: SchemaRef,
    fingerprint: Arc<SchemaFingerprint>,
    partitions: Vec<PartitionColumn>,
    /// The columns of the files, then the partition columns.
    schema: SchemaRef,
}

/// Which of the listed files belong to the table.
#[derive(Debug, Clone, Copy)]
pub(super) enum Accept {
    All,
    /// Those whose names tell this format and compression.
    Named(Recognized),
}

impl Accept {
    pub(super) fn accepts(self, path: &Path) -> bool {
        match self {
            Self::All => true,
            Self::Named(wanted) => path
                .filename()
                .and_then(Recognized::of)
                .is_some_and(|found| (found.format, found.compression) == (wanted.format, wanted.compression)),
        }
    }
}

impl ExternalTable {
    /// Looks into the files: finds their format, schema and partitions.
    ///
    /// # Errors
    /// `Forbidden` for a location that statements may not name, `NotFound` for one without files, `Invalid` for options that
    /// the format does not have, `Data` for files that contradict each other or can not be read.
    pub(crate) fn open<'a>(
        definition: TableDefinition,
        policy: &Arc<StoragePolicy>,
        session: &'a dyn Session,
    ) -> BoxFuture<'a, Result<Arc<dyn TableProvider>>> {
        let policy = Arc::clone(policy);
        async move {
            let place = definition.place();
            let opened = open::open(definition, policy, session).await;
            let table = opened.map_err(|error| match error.kind() {
                ErrorKind::Storage => error.while_doing(&format!("reading {place}")),
                _ => error,
            })?;
            Ok(Arc::new(table) as Arc<dyn TableProvider>)
        }
        .boxed()
    }

    pub(super) fn new(
        policy: Arc<StoragePolicy>,
        locations: Vec<Location>,
        accept: Accept,
        format: Arc<dyn FileFormat>,
        file_schema: SchemaRef,
        partitions: Vec<PartitionColumn>,
    ) -> Self {
        let columns = file_schema.fields().iter().map(Arc::clone).chain(partitions.iter().map(partition_field));
        let schema = Arc::new(Schema::new_with_metadata(columns.collect::<Vec<_>>(), file_schema.metadata().clone()));
        let fingerprint = Arc::new(SchemaFingerprint::from_schema(&file_schema));
        Self { policy, locations, accept, format, file_schema, fingerprint, partitions, schema }
    }

    /// What is read and how, apart from the files that there are: equal for tables that give the same rows of the same files.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let mut digester = Digester::new("table of files");
        for location in &self.locations {
            digester = digester.add(location.store().as_str()).add(location.url().as_str());
            digester = digester.add(&format!("{:?}", location.shape));
        }
        digester.add(&format!("{:?} {:?} {:?}", self.accept, self.format, self.partitions)).add(&self.schema).end()
    }

    fn partition_names(&self) -> Vec<&str> {
        self.partitions.iter().map(|column| column.name.as_str()).collect()
    }

    /// Whether the names of the folders alone decide the filter.
    fn is_partition_filter(&self, filter: &Expr) -> bool {
        !self.partitions.is_empty() && expr_applicable_for_cols(&self.partition_names(), filter)
    }

    /// Writing is DataFusion's: new files in the table's folder, by partition.
    async fn insert(
        &self,
        session: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        operation: InsertOp,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let [location] = self.locations.as_slice() else { return Err(self.not_writable().into()) };
        if !matches!(location.shape, Shape::Folder) {
            return Err(self.not_writable().into());
        }
        let named = with_folder_values(input, &self.partition_names(), session.config().options())?;
        let partitions = self.partitions.iter().map(|column| (column.name.clone(), DataType::Utf8)).collect();
        let options = ListingOptions::new(Arc::clone(&self.format)).with_table_partition_cols(partitions);
        let url = ListingTableUrl::try_new(location.url().clone(), None)?;
        let config =
            ListingTableConfig::new(url).with_listing_options(options).with_schema(Arc::clone(&self.file_schema));
        listing::forget(session, location);
        ListingTable::try_new(config)?.insert_into(session, named, operation).await
    }

    fn not_writable(&self) -> Error {
        let places: Vec<String> = self.locations.iter().map(Location::to_string).collect();
        Error::unsupported(format!("rows can not be inserted into the files of '{}'", places.join("', '")))
            .about(Subject::ReadOnly)
            .hint("insert into a table whose location is a folder (it ends with /), or write files with COPY")
    }
}

fn partition_field(column: &PartitionColumn) -> FieldRef {
    Arc::new(Field::new(&column.name, column.data_type.clone(), true))
}

/// Written out as `async_trait` would, because its `where` clauses cost seconds of compile time for each `Expr`.
impl TableProvider for ExternalTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        let pushdown = |filter: &&Expr| match self.is_partition_filter(filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(pushdown).collect())
    }

    fn scan<'table, 'session, 'projection, 'filters, 'out>(
        &'table self,
        session: &'session dyn Session,
        projection: Option<&'projection Vec<usize>>,
        filters: &'filters [Expr],
        limit: Option<usize>,
    ) -> Pin<Box<dyn Future<Output = DataFusionResult<Arc<dyn ExecutionPlan>>> + Send + 'out>>
    where
        'table: 'out,
        'session: 'out,
        'projection: 'out,
        'filters: 'out,
        Self: 'out,
    {
        self.plan_scan(session, projection, filters, limit)
    }

    fn insert_into<'table, 'session, 'out>(
        &'table self,
        session: &'session dyn Session,
        input: Arc<dyn ExecutionPlan>,
        operation: InsertOp,
    ) -> Pin<Box<dyn Future<Output = DataFusionResult<Arc<dyn ExecutionPlan>>> + Send + 'out>>
    where
        'table: 'out,
        'session: 'out,
        Self: 'out,
    {
        Box::pin(self.insert(session, input, operation))
    }
}

impl fmt::Debug for ExternalTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalTable")
            .field("locations", &self.locations)
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}
