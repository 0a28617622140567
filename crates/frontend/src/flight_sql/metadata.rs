//! Commands that ask for metadata: what there is, in the schemas that the protocol prescribes.
//!
//! The answers are small and made anew for whoever redeems the ticket, which is the command itself. Listings come from the
//! catalogs at one moment; only schemas that were asked for open tables.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::sql::{Command, ProstMessageExt};
use arrow_flight::{FlightEndpoint, FlightInfo, Ticket};
use prost::Message;

use super::caller::Caller;
use super::describe::schema_message;
use super::door::Door;
use super::failure::{Failure, Result};

mod catalogs;
mod columns;
mod keys;
mod pattern;
mod schemas;
mod sql_info;
mod tables;
mod types;

/// The answer to a command: one endpoint.
pub(crate) fn info(command: &Command) -> Result<FlightInfo> {
    let ticket = Ticket { ticket: ticket(command)?.into() };
    Ok(FlightInfo {
        schema: schema_message(&*schema(command)?)?,
        endpoint: vec![FlightEndpoint::new().with_ticket(ticket)],
        ..FlightInfo::new()
    })
}

fn ticket(command: &Command) -> Result<Vec<u8>> {
    let any = match command {
        Command::CommandGetCatalogs(command) => command.as_any(),
        Command::CommandGetDbSchemas(command) => command.as_any(),
        Command::CommandGetTables(command) => command.as_any(),
        Command::CommandGetTableTypes(command) => command.as_any(),
        Command::CommandGetPrimaryKeys(command) => command.as_any(),
        Command::CommandGetImportedKeys(command) => command.as_any(),
        Command::CommandGetExportedKeys(command) => command.as_any(),
        Command::CommandGetCrossReference(command) => command.as_any(),
        Command::CommandGetXdbcTypeInfo(command) => command.as_any(),
        Command::CommandGetSqlInfo(command) => command.as_any(),
        other => return Err(unknown(other)),
    };
    Ok(any.encode_to_vec())
}

/// The schema of the answer.
pub(crate) fn schema(command: &Command) -> Result<SchemaRef> {
    Ok(match command {
        Command::CommandGetCatalogs(_) => catalogs::schema(),
        Command::CommandGetDbSchemas(_) => schemas::schema(),
        Command::CommandGetTables(command) => tables::schema(command.include_schema),
        Command::CommandGetTableTypes(_) => tables::types_schema(),
        Command::CommandGetPrimaryKeys(_) => keys::primary_schema(),
        Command::CommandGetImportedKeys(_)
        | Command::CommandGetExportedKeys(_)
        | Command::CommandGetCrossReference(_) => keys::foreign_schema(),
        Command::CommandGetXdbcTypeInfo(_) => types::schema()?,
        Command::CommandGetSqlInfo(_) => sql_info::schema(),
        other => return Err(unknown(other)),
    })
}

/// The answer.
pub(crate) async fn batch(door: &Door, caller: &Caller, command: &Command) -> Result<RecordBatch> {
    match command {
        Command::CommandGetCatalogs(_) => catalogs::batch(door, caller),
        Command::CommandGetDbSchemas(command) => schemas::batch(door, caller, command),
        Command::CommandGetTables(command) => tables::batch(door, caller, command).await,
        Command::CommandGetTableTypes(_) => tables::types(),
        Command::CommandGetPrimaryKeys(command) => keys::primary(door, caller, command),
        Command::CommandGetImportedKeys(_)
        | Command::CommandGetExportedKeys(_)
        | Command::CommandGetCrossReference(_) => Ok(keys::no_foreign()),
        Command::CommandGetXdbcTypeInfo(command) => types::batch(command.data_type),
        Command::CommandGetSqlInfo(command) => sql_info::batch(door, &command.info),
        other => Err(unknown(other)),
    }
}

/// A table of metadata; that it does not fit its schema would be a mistake of this door.
fn table(schema: SchemaRef, columns: Vec<arrow::array::ArrayRef>) -> Result<RecordBatch> {
    RecordBatch::try_new(schema, columns).map_err(ours)
}

fn ours(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::from(tidemill_engine::Error::internal("cannot make a table of metadata").caused_by(error))
}

fn unknown(command: &Command) -> Failure {
    Failure::unsupported(format!("the command {} is not supported here", command.type_url()))
}
