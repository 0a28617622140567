//! Schemas as the messages carry them.

use arrow::datatypes::Schema;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::{IpcMessage, SchemaAsIpc};
use bytes::Bytes;
use tidemill_engine::Error;

use super::failure::Result;

/// The schema as an encapsulated IPC message.
pub(crate) fn schema_message(schema: &Schema) -> Result<Bytes> {
    let options = IpcWriteOptions::default();
    let message = IpcMessage::try_from(SchemaAsIpc::new(schema, &options))
        .map_err(|error| Error::internal("cannot write a schema").caused_by(error))?;
    Ok(message.0)
}
