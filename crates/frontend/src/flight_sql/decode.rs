//! Batches that a client sends, decoded with distrust: Arrow's reader trusts the lengths that a message tells.

use std::panic::AssertUnwindSafe;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::FlightData;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use tonic::Status;

use super::failure::{Failure, Result};

/// The batches of a client's stream.
pub(crate) struct Batches(FlightRecordBatchStream);

impl Batches {
    /// Messages with nothing but a descriptor say nothing more, and are passed over.
    pub(crate) fn new(messages: impl Stream<Item = std::result::Result<FlightData, Status>> + Send + 'static) -> Self {
        let data = messages.map_err(FlightError::from);
        let data = data.try_filter(|message| std::future::ready(!message.data_header.is_empty()));
        let checked = data.and_then(|message| std::future::ready(check(&message).map(|()| message)));
        Self(FlightRecordBatchStream::new_from_flight_data(checked))
    }

    /// The next batch.
    ///
    /// # Errors
    /// `InvalidArgument` for what is no Arrow data, and what the client's stream broke off with.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        // What the check does not see may still make the reader panic.
        match AssertUnwindSafe(self.0.next()).catch_unwind().await {
            Ok(batch) => Ok(batch.transpose()?),
            Err(_) => Err(Failure::malformed("a batch is not valid Arrow data")),
        }
    }

    /// The schema of the batches, once the client has told it.
    pub(crate) fn schema(&self) -> Option<&SchemaRef> {
        self.0.schema()
    }
}

/// Whether the buffers of a batch lie within the bytes that came.
fn check(message: &FlightData) -> std::result::Result<(), FlightError> {
    let malformed = |what: &str| FlightError::DecodeError(format!("a message of the stream {what}"));
    let header = arrow::ipc::root_as_message(&message.data_header).map_err(|_| malformed("has no valid header"))?;
    let batch = header.header_as_record_batch().or_else(|| header.header_as_dictionary_batch()?.data());
    let Some(buffers) = batch.and_then(|batch| batch.buffers()) else { return Ok(()) };
    let bytes = message.data_body.len();
    let inside = |offset: i64, length: i64| {
        let (offset, length) = (usize::try_from(offset).ok()?, usize::try_from(length).ok()?);
        offset.checked_add(length).filter(|end| *end <= bytes)
    };
    if buffers.iter().all(|buffer| inside(buffer.offset(), buffer.length()).is_some()) {
        return Ok(());
    }
    Err(malformed("is cut: its buffers do not lie within its body"))
}
