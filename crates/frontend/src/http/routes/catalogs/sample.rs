//! Some rows of a table, as a look at it.

use std::sync::Arc;

use futures::TryStreamExt;
use serde_json::Value;
use tidemill_engine::catalog::TableDetail;
use tidemill_engine::{Error, QueryRequest, Session, Subject};

use crate::http::client::Client;
use crate::http::encode::{Labels, Outcome, ResultDocument, encode_stream};
use crate::http::negotiate::{Format, NotANumber, Numbers, Rows};
use crate::http::problem::Problem;

const MAX_ROWS: u64 = 100;

/// The most that a sample may hold, as Arrow in memory. Batches are counted whole, so that this is far more than is sent.
const MAX_BYTES: u64 = 64 << 20;

const FORMAT: Format = Format::Json { rows: Rows::Arrays, numbers: Numbers::Native, nan: NotANumber::Null };

/// How many rows are asked for.
pub(super) fn checked(rows: Option<u64>) -> Result<Option<u64>, Error> {
    match rows {
        Some(rows) if !(1..=MAX_ROWS).contains(&rows) => {
            Err(Error::invalid(format!("sample is {rows}, not between 1 and {MAX_ROWS}")).about(Subject::Parameter))
        }
        rows => Ok(rows),
    }
}

/// Reads rows of a table by a query like every other, so that policy and limits hold for it.
pub(super) async fn of_table(
    session: &Arc<Session>,
    table: &TableDetail,
    rows: u64,
    client: &Client,
) -> Result<Vec<Value>, Problem> {
    let fail = |error: Error| client.problem(&error);
    let mut request = QueryRequest::sql(statement(table, rows));
    request.origin = client.origin.clone();
    request.read_only = true;
    request.limits.bytes = Some(MAX_BYTES);
    let rows = session.query(request).await.map_err(fail)?;
    let (id, schema) = (rows.id(), rows.schema());
    let labels = Labels { query_id: Some(id), trace_id: client.trace_id() };
    let encoded = encode_stream(rows, &schema, &FORMAT, labels, || None).map_err(|error| fail(error.of_query(id)))?;
    let outcome = encoded.outcome_handle();
    let unreadable = |_| fail(Error::internal("a sample could not be encoded").of_query(id));
    let chunks: Vec<_> = encoded.try_collect().await.map_err(unreadable)?;
    if let Some(Outcome::Failed(problem)) = outcome.get() {
        return Err(Problem::clone(problem));
    }
    let document = serde_json::from_slice::<ResultDocument>(&chunks.concat());
    document
        .map(|document| document.rows)
        .map_err(|error| fail(Error::internal("a sample is not JSON").caused_by(error)))
}

fn statement(table: &TableDetail, rows: u64) -> String {
    let [catalog, schema, name] = [&table.catalog, &table.schema, &table.name].map(|name| quoted(name));
    format!("SELECT * FROM {catalog}.{schema}.{name} LIMIT {rows}")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_not_leave_its_quotes() {
        assert_eq!(quoted(r#"a" UNION SELECT 1 --"#), r#""a"" UNION SELECT 1 --""#);
    }

    #[test]
    fn samples_are_small() {
        assert_eq!(checked(None).unwrap(), None);
        assert_eq!(checked(Some(100)).unwrap(), Some(100));
        assert!(checked(Some(0)).is_err());
        assert!(checked(Some(101)).is_err());
    }
}
