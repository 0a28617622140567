//! What is known of the contents of one table without a query: from the footers of its files, or from memory.

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics as Known, ResolvedTableReference, ScalarValue};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

use super::ddl::unknown_table;
use super::memory::MemoryTable;
use super::overlay::SessionCatalogs;
use super::scan::Table;
use crate::error::{Error, Result};

/// What is known of the contents of a table.
#[derive(Debug, Clone)]
pub struct TableStatistics {
    /// Rows.
    pub rows: Option<Figure<u64>>,
    /// Bytes in memory, or of its files.
    pub bytes: Option<Figure<u64>>,
    /// One entry for each column, in order.
    pub columns: Vec<ColumnStatistics>,
}

/// What is known of the values of a column.
#[derive(Debug, Clone)]
pub struct ColumnStatistics {
    /// The name of the column.
    pub name: String,
    /// Values that are missing.
    pub nulls: Option<Figure<u64>>,
    /// Different values.
    pub distinct: Option<Figure<u64>>,
    /// The least value, as an array that holds it alone.
    pub min: Option<Figure<ArrayRef>>,
    /// The greatest value, as an array that holds it alone.
    pub max: Option<Figure<ArrayRef>>,
}

/// What something is, or is estimated to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure<T> {
    /// What it is.
    pub value: T,
    /// Whether it is that exactly; else it is an estimate, or a bound.
    pub exact: bool,
}

impl SessionCatalogs {
    /// What is known of the contents of a table. Files are asked for their footers; in-memory tables are looked through.
    ///
    /// # Errors
    /// `NotFound`, with similar names; a table that can not be opened.
    pub(crate) async fn statistics(
        &self,
        name: &ResolvedTableReference,
        session: &dyn Session,
    ) -> Result<TableStatistics> {
        let Some(table) = self.table(name).await? else {
            return Err(unknown_table(name, self.tree().schema(&name.catalog, &name.schema)?));
        };
        let schema = table.schema();
        let statistics = match table.downcast_ref::<Table<MemoryTable>>() {
            Some(table) => {
                let table = Arc::clone(table.inner());
                let looked = tokio::task::spawn_blocking(move || table.column_statistics()).await;
                looked.map_err(|lost| Error::internal("a look at a table was lost").caused_by(lost))?
            }
            None => {
                let plan = table.scan(session, None, &[], None).await?;
                let known = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new())?;
                match bytes_of_files(plan.as_ref()) {
                    Some(bytes) => known.as_ref().clone().with_total_byte_size(Precision::Exact(bytes)),
                    None => known.as_ref().clone(),
                }
            }
        };
        let mut known = statistics.column_statistics.iter();
        let columns = schema.fields().iter().map(|field| ColumnStatistics::new(field.name(), known.next()));
        Ok(TableStatistics {
            rows: count(&statistics.num_rows),
            bytes: count(&statistics.total_byte_size),
            columns: columns.collect::<Result<_>>()?,
        })
    }
}

/// The size of the files of a scan.
fn bytes_of_files(plan: &dyn ExecutionPlan) -> Option<usize> {
    let source = plan.downcast_ref::<DataSourceExec>()?;
    let files = source.data_source().downcast_ref::<FileScanConfig>()?.file_groups.iter().flat_map(FileGroup::files);
    usize::try_from(files.map(|file| file.object_meta.size).sum::<u64>()).ok()
}

impl ColumnStatistics {
    fn new(name: &str, known: Option<&Known>) -> Result<Self> {
        let name = name.to_owned();
        let Some(known) = known else { return Ok(Self { name, nulls: None, distinct: None, min: None, max: None }) };
        Ok(Self {
            name,
            nulls: count(&known.null_count),
            distinct: count(&known.distinct_count),
            min: value(&known.min_value)?,
            max: value(&known.max_value)?,
        })
    }
}

fn count(known: &Precision<usize>) -> Option<Figure<u64>> {
    let value = *known.get_value()? as u64;
    Some(Figure { value, exact: is_exact(known) })
}

/// The least of no values is no value.
fn value(known: &Precision<ScalarValue>) -> Result<Option<Figure<ArrayRef>>> {
    let Some(value) = known.get_value().filter(|value| !value.is_null()) else { return Ok(None) };
    Ok(Some(Figure { value: value.to_array()?, exact: is_exact(known) }))
}

fn is_exact<T: std::fmt::Debug + Clone + PartialEq + Eq + PartialOrd>(known: &Precision<T>) -> bool {
    matches!(known, Precision::Exact(_))
}
