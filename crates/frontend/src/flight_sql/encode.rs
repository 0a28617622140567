//! Batches as Flight messages: as they are, no larger than the protocol's peers take.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::ipc::CompressionType;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::FlightData;
use arrow_flight::encode::{DictionaryHandling, FlightDataEncoder, FlightDataEncoderBuilder};
use arrow_flight::error::FlightError;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use tidemill_engine::units::ByteSize;
use tidemill_engine::{Error, ErrorKind, Session, Subject};
use tonic::Status;

use super::failure::{Failure, Result};
use crate::config::FlightSqlConfig;

pub(crate) type Messages = BoxStream<'static, std::result::Result<FlightData, Status>>;

/// The setting that compresses the buffers of batches.
const COMPRESSION: &str = "ipc_compression";

/// How batches become messages.
#[derive(Debug, Clone)]
pub(crate) struct Encoding {
    options: IpcWriteOptions,
    /// Batches are cut into messages of about this size.
    target_bytes: usize,
    /// A message that can not be cut (one row) and is larger is an error.
    max_bytes: usize,
}

impl Encoding {
    /// As the session wishes, within the limits of the server.
    pub(crate) fn of(session: &Session, config: &FlightSqlConfig) -> Result<Self> {
        let compression = match session.setting(COMPRESSION)?.as_str() {
            "zstd" => Some(CompressionType::ZSTD),
            "lz4" => Some(CompressionType::LZ4_FRAME),
            _ => None,
        };
        let options = IpcWriteOptions::default()
            .try_with_compression(compression)
            .map_err(|error| Error::internal("cannot compress batches").caused_by(error))?;
        let bytes = |size: ByteSize| usize::try_from(size.0).unwrap_or(usize::MAX);
        Ok(Self {
            options,
            target_bytes: bytes(config.target_message_bytes),
            max_bytes: bytes(config.max_sent_message_bytes),
        })
    }

    /// The schema, then the batches.
    pub(crate) fn encode<E: Into<Failure> + 'static>(
        self,
        rows: impl Stream<Item = Result<RecordBatch, E>> + Send + 'static,
        schema: SchemaRef,
    ) -> Messages {
        let target = self.target_bytes;
        let rows = rows.map_err(|error| FlightError::from(error.into()));
        let rows = rows.map_ok(move |batch| stream::iter(pieces(batch, target).into_iter().map(Ok))).try_flatten();
        let encoder = FlightDataEncoderBuilder::new()
            .with_options(self.options)
            .with_max_flight_data_size(self.target_bytes)
            .with_schema(schema)
            // Results have no dictionaries; the other way rebuilds fields, and not all of them as they were announced.
            .with_dictionary_handling(DictionaryHandling::Resend)
            .build(rows);
        Bounded { encoder, max_bytes: self.max_bytes }.boxed()
    }
}

/// The batch in pieces of about this size, or of one row. The encoder cuts by the mean size of a row, which says little where rows
/// differ much.
fn pieces(batch: RecordBatch, target: usize) -> Vec<RecordBatch> {
    // The buffers may be shared with other batches: this is the upper bound, and cheap.
    if batch.num_rows() <= 1 || batch.get_array_memory_size() <= target || bytes_of(&batch) <= target {
        return vec![batch];
    }
    let half = batch.num_rows() / 2;
    let mut first = pieces(batch.slice(0, half), target);
    first.extend(pieces(batch.slice(half, batch.num_rows() - half), target));
    first
}

/// The bytes of the rows themselves.
fn bytes_of(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter();
    columns.map(|column| column.to_data().get_slice_memory_size().unwrap_or_default()).sum()
}

/// Ends with an error where a message is larger than clients take.
struct Bounded {
    encoder: FlightDataEncoder,
    max_bytes: usize,
}

impl Stream for Bounded {
    type Item = std::result::Result<FlightData, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let max = self.max_bytes;
        let message = match ready!(self.encoder.poll_next_unpin(context)) {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Poll::Ready(Some(Err(Failure::from(error).into_status()))),
            None => return Poll::Ready(None),
        };
        let bytes = message.data_header.len() + message.data_body.len();
        Poll::Ready(Some(if bytes > max { Err(too_large(bytes, max).into_status()) } else { Ok(message) }))
    }
}

fn too_large(bytes: usize, max: usize) -> Failure {
    let (bytes, max) = (ByteSize(bytes as u64), ByteSize(max as u64));
    Failure::from(
        Error::new(ErrorKind::Resources, format!("a row of the result takes {bytes} as a message, more than {max}"))
            .about(Subject::ResultSize)
            .hint(format!(
                "ask for fewer or shorter values, or raise flight_sql.max_sent_message_bytes of the server \
                 and the message size of the client above {bytes}"
            )),
    )
}
