//! `information_schema.columns`: the only listing that opens tables, so it opens as few as the predicates allow, a few at
//! a time, and leaves out those that are broken.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::create_physical_expr;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};

use crate::catalog::SessionCatalogs;
use crate::catalog::entry::TableKind;
use crate::catalog::listing::Listed;
use crate::catalog::memory::memory_table;
use crate::catalog::rows::{COMMENT, ColumnOf, Value, VirtualTable};
use crate::catalog::types::{datetime_precision, numeric};
use crate::error::Result;
use crate::sql_type::sql_type;

/// Tables that one read opens at the same time.
const OPENED_AT_ONCE: usize = 8;

/// The columns whose predicates say which tables need not be opened.
const NAMES: [&str; 3] = ["table_catalog", "table_schema", "table_name"];

struct Column {
    table: Arc<Listed>,
    position: i64,
    field: FieldRef,
    default: Option<String>,
}

impl Column {
    fn data_type(&self) -> &DataType {
        self.field.data_type()
    }
}

const COLUMNS: &[ColumnOf<Column>] = &[
    ColumnOf::text(NAMES[0], "the catalog", |row| row.table.catalog.as_ref().into()),
    ColumnOf::text(NAMES[1], "the schema", |row| row.table.schema.as_ref().into()),
    ColumnOf::text(NAMES[2], "the table or view", |row| row.table.name.as_ref().into()),
    ColumnOf::text("column_name", "the column", |row| row.field.name().as_str().into()),
    ColumnOf::integer("ordinal_position", "its place in the table, from 1", |row| row.position.into()),
    ColumnOf::text("column_default", "what INSERT puts there by default, as SQL", |row| row.default.clone().into()),
    ColumnOf::text("is_nullable", "YES if values may be missing", |row| Value::yes(row.field.is_nullable())),
    ColumnOf::text("data_type", "its type, as DESCRIBE names it", |row| sql_type(row.data_type()).into()),
    ColumnOf::integer("character_maximum_length", "always null: text has no bound", |_| Value::Null),
    ColumnOf::integer("character_octet_length", "always null", |_| Value::Null),
    ColumnOf::integer("numeric_precision", "digits of a number, in the radix", |row| {
        numeric(row.data_type()).map(|number| number.precision).into()
    }),
    ColumnOf::integer("numeric_precision_radix", "2 or 10", |row| {
        numeric(row.data_type()).map(|number| number.radix).into()
    }),
    ColumnOf::integer("numeric_scale", "digits behind the point", |row| {
        numeric(row.data_type()).and_then(|number| number.scale).into()
    }),
    ColumnOf::integer("datetime_precision", "digits of a second", |row| datetime_precision(row.data_type()).into()),
    ColumnOf::text("interval_type", "always null", |_| Value::Null),
    ColumnOf::text("is_identity", "always NO", |_| Value::yes(false)),
    ColumnOf::text("is_generated", "always NEVER", |_| "NEVER".into()),
    ColumnOf::text("is_updatable", "YES if UPDATE can work", |row| Value::yes(row.table.kind == TableKind::Memory)),
    ColumnOf::text("arrow_type", "its type in Arrow", |row| row.data_type().to_string().into()),
    ColumnOf::text("column_comment", "what it means, if told", |row| row.field.metadata().get(COMMENT).cloned().into()),
];

pub(super) fn table(catalogs: &SessionCatalogs) -> VirtualTable {
    let catalogs = catalogs.clone();
    VirtualTable::streaming(COLUMNS, &NAMES, move |request| {
        let (catalogs, filters) = (catalogs.clone(), request.filters.clone());
        rows(catalogs, filters)
    })
}

fn rows(catalogs: SessionCatalogs, filters: Vec<Expr>) -> BoxStream<'static, Result<Vec<Column>>> {
    let listed = catalogs.clone();
    let wanted = async move {
        let listed = listed.listed().await;
        futures::stream::iter(wanted(listed, &filters))
    };
    let opened = wanted.flatten_stream().map(move |table| columns_of(catalogs.clone(), table).map(Ok));
    opened.buffered(OPENED_AT_ONCE).boxed()
}

/// The tables whose names satisfy the predicates. A predicate that can not be evaluated here keeps every table;
/// DataFusion evaluates all of them again on the rows.
fn wanted(listed: Vec<Listed>, filters: &[Expr]) -> Vec<Listed> {
    match matching(&listed, filters) {
        Ok(keep) => listed.into_iter().zip(keep).filter_map(|(table, keep)| keep.then_some(table)).collect(),
        Err(error) => {
            tracing::debug!(%error, "information_schema.columns opens all tables");
            listed
        }
    }
}

fn matching(listed: &[Listed], filters: &[Expr]) -> datafusion::error::Result<Vec<bool>> {
    let schema = Arc::new(Schema::new(NAMES.map(|name| Field::new(name, DataType::Utf8, false)).to_vec()));
    let column =
        |name: fn(&Listed) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(listed.iter().map(name))) };
    let names = vec![column(|table| &table.catalog), column(|table| &table.schema), column(|table| &table.name)];
    let names = RecordBatch::try_new(Arc::clone(&schema), names)?;
    let schema = DFSchema::try_from(schema)?;
    let mut keep = vec![true; listed.len()];
    for filter in filters {
        let filter =
            create_physical_expr(filter, &schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())?;
        let matches = filter.evaluate(&names)?.into_array(listed.len())?;
        let matches: &BooleanArray = matches.as_boolean();
        for (keep, matches) in keep.iter_mut().zip(matches) {
            *keep &= matches == Some(true);
        }
    }
    Ok(keep)
}

async fn columns_of(catalogs: SessionCatalogs, table: Listed) -> Vec<Column> {
    // Dropped or broken in the meantime; `system.tables` tells why.
    let Ok(Some(opened)) = catalogs.table(&table.reference()).await else { return Vec::new() };
    let memory = memory_table(&opened);
    let table = Arc::new(table);
    let column = |(field, position): (&FieldRef, i64)| {
        let default = memory.as_ref().and_then(|table| table.shape().default_of(field.name()));
        let default = default.map(ToString::to_string);
        Column { table: Arc::clone(&table), position, field: Arc::clone(field), default }
    };
    opened.schema().fields().iter().zip(1..).map(column).collect()
}
