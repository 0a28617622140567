//! What is known of a table's contents, as a document.

use std::sync::Arc;

use arrow::array::ArrayRef;
use serde::Serialize;
use serde_json::Value;
use tidemill_engine::catalog::{self, Figure, TableDetail};
use tidemill_engine::{Error, Session};
use utoipa::ToSchema;

use crate::http::client::Client;
use crate::http::encode::json_value;
use crate::http::problem::Problem;

/// What is known of the contents of a table without a query. What nobody knows is `null`.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Statistics {
    /// Rows.
    rows: Option<Count>,
    /// Bytes in memory, or of its files.
    bytes: Option<Count>,
    /// One entry for each column, in order.
    columns: Vec<ColumnStatistics>,
}

/// What is known of the values of a column.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ColumnStatistics {
    /// The name of the column.
    name: String,
    /// Values that are missing.
    nulls: Option<Count>,
    /// Different values.
    distinct: Option<Count>,
    /// The least value.
    min: Option<Bound>,
    /// The greatest value.
    max: Option<Bound>,
}

/// A number of things.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Count {
    /// How many.
    value: u64,
    /// Whether it is exactly so many; else it is an estimate.
    exact: bool,
}

/// The end of a range of values.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Bound {
    /// The value, as in JSON results.
    value: Value,
    /// Whether a row has it; else no row lies beyond it.
    exact: bool,
}

/// What is known of this table.
pub(super) async fn of_table(
    session: &Arc<Session>,
    table: &TableDetail,
    client: &Client,
) -> Result<Statistics, Problem> {
    let known = session.table_statistics(&table.catalog, &table.schema, &table.name).await;
    known.and_then(Statistics::new).map_err(|error| client.path_problem(&error))
}

impl Statistics {
    fn new(known: catalog::TableStatistics) -> Result<Self, Error> {
        Ok(Self {
            rows: known.rows.map(Count::from),
            bytes: known.bytes.map(Count::from),
            columns: known.columns.into_iter().map(ColumnStatistics::new).collect::<Result<_, _>>()?,
        })
    }
}

impl ColumnStatistics {
    fn new(known: catalog::ColumnStatistics) -> Result<Self, Error> {
        Ok(Self {
            name: known.name,
            nulls: known.nulls.map(Count::from),
            distinct: known.distinct.map(Count::from),
            min: known.min.map(Bound::new).transpose()?,
            max: known.max.map(Bound::new).transpose()?,
        })
    }
}

impl From<Figure<u64>> for Count {
    fn from(figure: Figure<u64>) -> Self {
        Self { value: figure.value, exact: figure.exact }
    }
}

impl Bound {
    fn new(figure: Figure<ArrayRef>) -> Result<Self, Error> {
        Ok(Self { value: json_value(&figure.value)?, exact: figure.exact })
    }
}
