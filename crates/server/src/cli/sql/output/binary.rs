//! Results as Parquet and Arrow IPC.

use std::io::Write;

use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::{FileWriter, StreamWriter};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::ResultWriter;
use crate::cli::sql::failure::Failure;

type Out<'w> = &'w mut (dyn Write + Send);

/// A Parquet file, compressed with zstd.
pub(super) struct Parquet<'w>(ArrowWriter<Out<'w>>);

impl<'w> Parquet<'w> {
    pub(super) fn new(out: Out<'w>, schema: &SchemaRef) -> Result<Self, Failure> {
        let compression = Compression::ZSTD(ZstdLevel::try_new(3)?);
        let properties = WriterProperties::builder().set_compression(compression).build();
        Ok(Self(ArrowWriter::try_new(out, SchemaRef::clone(schema), Some(properties))?))
    }
}

impl ResultWriter for Parquet<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        Ok(self.0.write(batch)?)
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        self.0.close()?;
        Ok(())
    }
}

/// An Arrow IPC file, which has a footer for random access.
pub(super) struct ArrowFile<'w>(FileWriter<Out<'w>>);

impl<'w> ArrowFile<'w> {
    pub(super) fn new(out: Out<'w>, schema: &SchemaRef) -> Result<Self, Failure> {
        Ok(Self(FileWriter::try_new(out, schema)?))
    }
}

impl ResultWriter for ArrowFile<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        Ok(self.0.write(batch)?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        Ok(self.0.finish()?)
    }
}

/// An Arrow IPC stream, which a reader can use while it arrives.
pub(super) struct ArrowStream<'w>(StreamWriter<Out<'w>>);

impl<'w> ArrowStream<'w> {
    pub(super) fn new(out: Out<'w>, schema: &SchemaRef) -> Result<Self, Failure> {
        Ok(Self(StreamWriter::try_new(out, schema)?))
    }
}

impl ResultWriter for ArrowStream<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        Ok(self.0.write(batch)?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        Ok(self.0.finish()?)
    }
}
