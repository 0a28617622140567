//! Tables that the server computes: columns declared beside the function that fills them, rows made when the plan runs.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, Utc};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};

use super::scan::{Scan, ScanRequest};
use crate::error::Result;

/// The key of a column's description in the metadata of its field.
pub(crate) const COMMENT: &str = "comment";

/// A column and where its values come from.
pub(crate) struct ColumnOf<R> {
    name: &'static str,
    kind: ColumnType,
    comment: &'static str,
    value: fn(&R) -> Value,
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnType {
    Text,
    Integer,
    BigInt,
    Double,
    Boolean,
    /// Microseconds, UTC.
    Timestamp,
}

/// A value of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Text(String),
    Number(i64),
    Double(f64),
    Boolean(bool),
    Time(DateTime<Utc>),
}

impl<R> ColumnOf<R> {
    const fn new(name: &'static str, kind: ColumnType, comment: &'static str, value: fn(&R) -> Value) -> Self {
        Self { name, kind, comment, value }
    }

    pub(crate) const fn text(name: &'static str, comment: &'static str, value: fn(&R) -> Value) -> Self {
        Self::new(name, ColumnType::Text, comment, value)
    }

    pub(crate) const fn integer(name: &'static str, comment: &'static str, value: fn(&R) -> Value) -> Self {
        Self::new(name, ColumnType::Integer, comment, value)
    }

    pub(crate) const fn bigint(name: &'static str, comment: &'static str, value: fn(&R) -> Value) -> Self {
        Self::new(name, ColumnType::BigInt, comment, value)
    }

    pub(crate) const fn double(name: &'static str, comment: &'static str, value: fn(&R) -> Value) -> Self {
        Self::new(name, ColumnType::Double, comment, value)
    }

    pub(crate) const fn boolean(name: &'static str, comment: &'static str, value: fn(&R) -> Value) -> Self {
        Self::new(name, ColumnType::Boolean, comment, value)
    }

    pub(crate) const fn timestamp(name: &'static str, comment: &'static str, value: fn(&R) -> Value) -> Self {
        Self::new(name, ColumnType::Timestamp, comment, value)
    }

    fn array(&self, rows: &[R]) -> ArrayRef {
        let values = rows.iter().map(self.value);
        match self.kind {
            ColumnType::Text => Arc::new(values.map(Value::text).collect::<StringArray>()),
            ColumnType::Integer => Arc::new(
                values
                    .map(|value| value.number().map(|number| i32::try_from(number).unwrap_or(i32::MAX)))
                    .collect::<Int32Array>(),
            ),
            ColumnType::BigInt => Arc::new(values.map(|value| value.number()).collect::<Int64Array>()),
            ColumnType::Double => Arc::new(values.map(|value| value.double()).collect::<Float64Array>()),
            ColumnType::Boolean => Arc::new(values.map(|value| value.boolean()).collect::<BooleanArray>()),
            ColumnType::Timestamp => {
                Arc::new(values.map(|value| value.micros()).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
            }
        }
    }
}

impl<R> fmt::Debug for ColumnOf<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.name, self.kind)
    }
}

impl ColumnType {
    fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Integer => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

impl Value {
    fn text(self) -> Option<String> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    fn number(&self) -> Option<i64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    fn double(&self) -> Option<f64> {
        if let Self::Double(number) = self { Some(*number) } else { None }
    }

    fn boolean(&self) -> Option<bool> {
        if let Self::Boolean(flag) = self { Some(*flag) } else { None }
    }

    fn micros(&self) -> Option<i64> {
        if let Self::Time(time) = self { Some(time.timestamp_micros()) } else { None }
    }

    /// A map or list, as JSON.
    pub(crate) fn json(value: &impl serde::Serialize) -> Self {
        serde_json::to_string(value).map_or(Self::Null, Self::Text)
    }

    /// `YES` or `NO`, as the SQL standard has it.
    pub(crate) fn yes(flag: bool) -> Self {
        Self::from(if flag { "YES" } else { "NO" })
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for Value {
    /// BI tools have no unsigned types; nothing counted here comes near the end of the signed ones.
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Boolean(flag)
    }
}

impl From<DateTime<Utc>> for Value {
    fn from(time: DateTime<Utc>) -> Self {
        Self::Time(time)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Makes the batches of one read; the filters are those that name only the table's `filterable` columns.
type Produce = dyn Fn(&ScanRequest) -> BoxStream<'static, Result<RecordBatch>> + Send + Sync;

/// A table that the server computes.
pub(crate) struct VirtualTable {
    schema: SchemaRef,
    /// Columns whose predicates save work; DataFusion checks them again.
    filterable: &'static [&'static str],
    produce: Arc<Produce>,
}

impl VirtualTable {
    /// A table whose rows are made all at once.
    pub(crate) fn new<R: Send + 'static>(
        columns: &'static [ColumnOf<R>],
        rows: impl Fn(&ScanRequest) -> BoxFuture<'static, Vec<R>> + Send + Sync + 'static,
    ) -> Self {
        Self::streaming(columns, &[], move |request| rows(request).map(Ok).into_stream().boxed())
    }

    /// A table whose rows are made bit by bit, as the reader asks for them.
    pub(crate) fn streaming<R: Send + 'static>(
        columns: &'static [ColumnOf<R>],
        filterable: &'static [&'static str],
        rows: impl Fn(&ScanRequest) -> BoxStream<'static, Result<Vec<R>>> + Send + Sync + 'static,
    ) -> Self {
        let schema = schema_of(columns);
        let batch_schema = Arc::clone(&schema);
        let produce = Arc::new(move |request: &ScanRequest| {
            let schema = Arc::clone(&batch_schema);
            rows(request).map(move |rows| batch(&schema, columns, &rows?)).boxed()
        });
        Self { schema, filterable, produce }
    }
}

fn schema_of<R>(columns: &[ColumnOf<R>]) -> SchemaRef {
    let field = |column: &ColumnOf<R>| {
        let comment = [(COMMENT.to_owned(), column.comment.to_owned())].into();
        Field::new(column.name, column.kind.data_type(), true).with_metadata(comment)
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

fn batch<R>(schema: &SchemaRef, columns: &[ColumnOf<R>], rows: &[R]) -> Result<RecordBatch> {
    let arrays = columns.iter().map(|column| column.array(rows)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)
        .map_err(|error| datafusion::error::DataFusionError::from(error).into())
}

impl fmt::Debug for VirtualTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualTable").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Scan for VirtualTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports(&self, filters: &[&Expr]) -> Vec<TableProviderFilterPushDown> {
        let served = |filter: &&Expr| {
            let columns = filter.column_refs();
            let known = columns.iter().all(|column| self.filterable.contains(&column.name.as_str()));
            if !columns.is_empty() && known && !filter.is_volatile() {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        };
        filters.iter().map(served).collect()
    }

    fn scan(
        self: Arc<Self>,
        request: ScanRequest,
    ) -> BoxFuture<'static, datafusion::error::Result<Arc<dyn ExecutionPlan>>> {
        let plan = || {
            let (projection, limit) = (request.projection.clone(), request.limit);
            let rows = Rows { schema: Arc::clone(&self.schema), produce: Arc::clone(&self.produce), request };
            let plan: Arc<dyn ExecutionPlan> = Arc::new(StreamingTableExec::try_new(
                Arc::clone(&self.schema),
                vec![Arc::new(rows)],
                projection.as_ref(),
                [],
                false,
                limit,
            )?);
            Ok(plan)
        };
        futures::future::ready(plan()).boxed()
    }
}

/// One read of a virtual table; nothing is made before it runs.
struct Rows {
    schema: SchemaRef,
    produce: Arc<Produce>,
    request: ScanRequest,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("request", &self.request).finish_non_exhaustive()
    }
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = (self.produce)(&self.request).map_err(Into::into);
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}
