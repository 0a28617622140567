//! Batches as Flight messages: as they are, no larger than the protocol's peers take.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow_flight::FlightData;
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

    /// The schema, then the batches, each encoded when it is asked for.
    pub(crate) fn encode<E: Into<Failure> + 'static>(
        self,
        rows: impl Stream<Item = Result<RecordBatch, E>> + Send + 'static,
        schema: SchemaRef,
    ) -> Messages {
        let mut writer = Writer::new(self);
        let first = writer.schema(&schema);
        let target = writer.encoding.target_bytes;
        let pieces = rows.map(move |batch| {
            let batch: RecordBatch = batch.map_err(Into::<Failure>::into)?;
            Ok::<_, Failure>(stream::iter(pieces(batch, target).into_iter().map(Ok)))
        });
        let messages = pieces.try_flatten().map(move |piece: Result<RecordBatch>| writer.batch(&piece?));
        let messages = messages.map_ok(|messages| stream::iter(messages.into_iter().map(Ok))).try_flatten();
        stream::iter([Ok(first)]).chain(messages.map_err(Failure::into_status)).boxed()
    }
}

/// Writes one stream of messages. Not the encoder of arrow-flight, which rebuilds fields, some of them not as they were announced.
struct Writer {
    encoding: Encoding,
    generator: IpcDataGenerator,
    tracker: DictionaryTracker,
    context: IpcWriteContext,
}

impl Writer {
    fn new(encoding: Encoding) -> Self {
        let generator = IpcDataGenerator::default();
        // A later batch may bring another dictionary for the same column.
        let tracker = DictionaryTracker::new(false);
        Self { encoding, generator, tracker, context: IpcWriteContext::default() }
    }

    fn schema(&mut self, schema: &Schema) -> FlightData {
        let options = &self.encoding.options;
        self.generator.schema_to_bytes_with_dictionary_tracker(schema, &mut self.tracker, options).into()
    }

    /// The dictionaries that are new, and the batch.
    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<FlightData>> {
        let Self { encoding, generator, tracker, context } = self;
        let (dictionaries, batch) = generator
            .encode(batch, tracker, &encoding.options, context)
            .map_err(|error| Error::internal("cannot encode a batch").caused_by(error))?;
        let messages: Vec<FlightData> = dictionaries.into_iter().chain([batch]).map(FlightData::from).collect();
        let bytes = |message: &FlightData| message.data_header.len() + message.data_body.len();
        match messages.iter().map(bytes).find(|bytes| *bytes > encoding.max_bytes) {
            Some(bytes) => Err(too_large(bytes, encoding.max_bytes)),
            None => Ok(messages),
        }
    }
}

/// The batch in pieces of about this size, or of one row. Not by the mean size of a row, which says little where
/// rows differ much.
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
