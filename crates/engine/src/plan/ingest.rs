//! Rows that a client sends, as a statement: `INSERT` or `CREATE TABLE AS` from a table that is the client's stream.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::ResolvedTableReference;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::sql::parser::Statement as SqlStatement;
use futures::TryStreamExt;
use futures::stream;

use super::parse::{Parsed, parse};
use crate::catalog::{NamedTables, SessionCatalogs};
use crate::error::{Error, Result, Subject};
use crate::request::{IfMissing, IfPresent, Ingest};
use crate::session::Statement;
use crate::storage::READ_SCHEMA;

/// The name of the client's stream, in [`READ_SCHEMA`].
const ROWS: &str = "sent";

/// The statement that takes the rows, and the table that its `FROM` names.
pub(super) async fn statement(statement: &Statement, ingest: &Arc<Ingest>) -> Result<(SqlStatement, NamedTables)> {
    let name = full_name(statement, ingest);
    let target = [&name.catalog, &name.schema, &name.table].map(|part| quoted(part)).join(".");
    let columns = columns(ingest)?;
    let query = format!("SELECT {columns} FROM \"{READ_SCHEMA}\".\"{ROWS}\"");
    let text = match (exists(statement, &name).await?, ingest.if_exists, ingest.if_missing) {
        (true, IfPresent::Append, _) => format!("INSERT INTO {target} ({columns}) {query}"),
        (true, IfPresent::Replace, _) => format!("CREATE OR REPLACE TABLE {target} AS {query}"),
        // The creation finds out again, and says so.
        (true, IfPresent::Fail, _) | (false, _, IfMissing::Create) => format!("CREATE TABLE {target} AS {query}"),
        (false, _, IfMissing::Fail) => {
            return Err(Error::not_found(Subject::Table, format!("table {target} not found"))
                .hint("create it first, or let the rows create it"));
        }
    };
    let Parsed::Sql(sql) = parse(&text)? else { return Err(Error::internal("rows became a command")) };
    let rows: Arc<dyn PartitionStream> = Arc::new(Sent(Arc::clone(ingest)));
    let table: Arc<dyn TableProvider> = Arc::new(StreamingTable::try_new(Arc::clone(ingest.schema()), vec![rows])?);
    Ok((*sql, NamedTables::from([(ROWS.to_owned(), table)])))
}

/// The table's full name: what the client left out is the session's.
fn full_name(statement: &Statement, ingest: &Ingest) -> ResolvedTableReference {
    let target = &ingest.target;
    ResolvedTableReference {
        catalog: target.catalog.as_deref().unwrap_or(&statement.settings.catalog).into(),
        schema: target.schema.as_deref().unwrap_or(&statement.settings.schema).into(),
        table: target.table.as_str().into(),
    }
}

async fn exists(statement: &Statement, name: &ResolvedTableReference) -> Result<bool> {
    let catalogs = SessionCatalogs::new(statement.scope(NamedTables::new()));
    Ok(catalogs.table_type(name).await?.is_some())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn columns(ingest: &Ingest) -> Result<String> {
    let names: Vec<&String> = ingest.schema().fields().iter().map(|field| field.name()).collect();
    if names.is_empty() {
        return Err(Error::invalid(format!("the rows for table {} have no columns", ingest.target)));
    }
    Ok(names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", "))
}

/// The client's stream, as the one partition of a table.
#[derive(Debug)]
struct Sent(Arc<Ingest>);

impl PartitionStream for Sent {
    fn schema(&self) -> &SchemaRef {
        self.0.schema()
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(self.0.schema());
        match self.0.take() {
            Ok(rows) => Box::pin(RecordBatchStreamAdapter::new(schema, rows.map_err(Into::into))),
            Err(error) => Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter([Err(error.into())]))),
        }
    }
}
