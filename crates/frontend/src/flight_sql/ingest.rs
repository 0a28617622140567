//! `CommandStatementIngest`: rows of a client into a table.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_flight::sql::{CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption};
use futures::{StreamExt, TryStreamExt, stream};
use tidemill_engine::request::{IfMissing, IfPresent, Ingest, IngestTarget};
use tidemill_engine::{Error, ErrorKind, QueryRequest, Source};

use super::caller::Caller;
use super::decode::Batches;
use super::failure::{Failure, Result};
use super::info::no_transaction;

/// Takes the rows, and counts them.
pub(crate) async fn run(caller: &Caller, command: &CommandStatementIngest, mut batches: Batches) -> Result<i64> {
    no_transaction(command.transaction_id.as_ref())?;
    if command.temporary {
        return Err(Failure::unsupported("temporary tables are not supported; a table lives until it is dropped"));
    }
    if command.table.is_empty() {
        return Err(Failure::malformed("the command names no table"));
    }
    let (if_missing, if_exists) = options(command.table_definition_options.as_ref())?;
    let target = IngestTarget {
        catalog: named(command.catalog.as_deref()),
        schema: named(command.schema.as_deref()),
        table: command.table.clone(),
    };
    // The schema comes before the first batch, and alone if there is none.
    let first = batches.next().await?;
    let schema = batches.schema().map(Arc::clone);
    let schema = schema.ok_or_else(|| Failure::malformed("the rows have no schema"))?;
    let rest = stream::try_unfold(batches, |mut batches| async move {
        let next = batches.next().await.map_err(broken)?;
        Ok(next.map(|batch| (batch, batches)))
    });
    let rows = stream::iter(first.map(Ok)).chain(rest).boxed();
    let ingest = Arc::new(Ingest::new(target, if_missing, if_exists, schema, rows));
    let request = QueryRequest { source: Source::Ingest(Arc::clone(&ingest)), ..caller.request("") };
    let stream = caller.session().query(request).await?;
    let _counts: Vec<RecordBatch> = stream.try_collect().await?;
    Ok(i64::try_from(ingest.taken()).unwrap_or(i64::MAX))
}

fn options(options: Option<&TableDefinitionOptions>) -> Result<(IfMissing, IfPresent)> {
    let options = options.ok_or_else(|| Failure::malformed("the command does not say what to do with the table"))?;
    let if_missing = match options.if_not_exist() {
        TableNotExistOption::Create => IfMissing::Create,
        TableNotExistOption::Fail => IfMissing::Fail,
        TableNotExistOption::Unspecified => return Err(unspecified("if_not_exist")),
    };
    let if_exists = match options.if_exists() {
        TableExistsOption::Append => IfPresent::Append,
        TableExistsOption::Replace => IfPresent::Replace,
        TableExistsOption::Fail => IfPresent::Fail,
        TableExistsOption::Unspecified => return Err(unspecified("if_exists")),
    };
    Ok((if_missing, if_exists))
}

fn unspecified(option: &str) -> Failure {
    Failure::malformed(format!("the option {option} of the table is not specified"))
}

fn named(name: Option<&str>) -> Option<String> {
    name.filter(|name| !name.is_empty()).map(str::to_owned)
}

/// The client's stream broke: its rows are not whole, and none of them counts.
fn broken(failure: Failure) -> Error {
    let status = failure.into_status();
    let kind = if status.code() == tonic::Code::InvalidArgument { ErrorKind::Invalid } else { ErrorKind::Cancelled };
    Error::new(kind, format!("the rows of the client broke off: {}", status.message()))
}
