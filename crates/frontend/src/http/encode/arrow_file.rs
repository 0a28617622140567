//! The Arrow IPC file (Feather version 2). A result that breaks off lacks the footer, without which no reader opens it.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::FileWriter;
use tidemill_engine::Result;

use super::arrow_stream::{options, unsupported};
use super::{Encoder, Summary, slice, unwritable};
use crate::http::negotiate::Codec;

pub(super) struct ArrowFile(FileWriter<Vec<u8>>);

impl ArrowFile {
    pub(super) fn new(schema: &SchemaRef, codec: Codec) -> Result<Self> {
        let writer = FileWriter::try_new_with_options(Vec::new(), schema, options(codec)?);
        Ok(Self(writer.map_err(unsupported)?))
    }

    /// Moves what is written out of the writer, which counts offsets by itself.
    fn drain(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.0.flush().map_err(unwritable)?;
        out.append(self.0.get_mut());
        Ok(())
    }
}

impl Encoder for ArrowFile {
    fn start(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.drain(out)
    }

    fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<usize> {
        let front = slice::front(batch);
        self.0.write(&front).map_err(unwritable)?;
        self.drain(out)?;
        Ok(front.num_rows())
    }

    fn finish(&mut self, _summary: &Summary, out: &mut Vec<u8>) -> Result<()> {
        self.0.finish().map_err(unwritable)?;
        self.drain(out)
    }
}
