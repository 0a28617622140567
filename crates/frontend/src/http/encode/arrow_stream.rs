//! The Arrow IPC stream. A result that breaks off lacks the end-of-stream marker and the end of the body.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use tidemill_engine::{Error, Result};

use super::{Encoder, Summary, slice, unwritable};
use crate::http::negotiate::Codec;

pub(super) struct ArrowStream(StreamWriter<Vec<u8>>);

impl ArrowStream {
    pub(super) fn new(schema: &SchemaRef, codec: Codec) -> Result<Self> {
        let writer = StreamWriter::try_new_with_options(Vec::new(), schema, options(codec)?);
        Ok(Self(writer.map_err(unsupported)?))
    }
}

impl Encoder for ArrowStream {
    fn start(&mut self, out: &mut Vec<u8>) -> Result<()> {
        out.append(self.0.get_mut());
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<usize> {
        let front = slice::front(batch);
        self.0.write(&front).map_err(unwritable)?;
        out.append(self.0.get_mut());
        Ok(front.num_rows())
    }

    fn finish(&mut self, _summary: &Summary, out: &mut Vec<u8>) -> Result<()> {
        self.0.finish().map_err(unwritable)?;
        out.append(self.0.get_mut());
        Ok(())
    }
}

/// IPC options that compress buffers by this codec.
pub(super) fn options(codec: Codec) -> Result<IpcWriteOptions> {
    let compression = match codec {
        Codec::None => None,
        Codec::Zstd => Some(CompressionType::ZSTD),
        Codec::Lz4 => Some(CompressionType::LZ4_FRAME),
    };
    IpcWriteOptions::default().try_with_compression(compression).map_err(unwritable)
}

/// A schema that Arrow IPC refuses.
pub(super) fn unsupported(cause: arrow::error::ArrowError) -> Error {
    Error::unsupported(format!("the result has a type that Arrow IPC cannot hold: {cause}"))
        .hint("cast the column to another type, or ask for JSON")
        .caused_by(cause)
}
