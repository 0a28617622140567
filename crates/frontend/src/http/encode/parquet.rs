//! Parquet with zstd pages. A result that breaks off lacks the footer, without which no reader opens it.
//!
//! A row group is held in memory until it has [`ROW_GROUP_BYTES`]: the one format that needs more than a chunk.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, IntervalUnit, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tidemill_engine::{Error, Result};

use super::names::unique_names;
use super::{Encoder, Summary, slice, unwritable};

/// Encoded bytes at which a row group is closed.
const ROW_GROUP_BYTES: usize = 16 << 20;
/// Rows at which a row group is closed.
const ROW_GROUP_ROWS: usize = 1 << 20;

pub(super) struct Parquet {
    schema: SchemaRef,
    writer: ArrowWriter<Vec<u8>>,
}

impl Parquet {
    pub(super) fn new(schema: &SchemaRef) -> Result<Self> {
        for field in schema.fields() {
            if let Some(homeless) = homeless(field.data_type()) {
                let column = field.name();
                return Err(unsupported(format!(
                    "column '{column}' has the type {homeless}, which Parquet cannot hold"
                )));
            }
        }
        let fields = schema.fields().iter().zip(unique_names(schema.fields()));
        let fields = fields.map(|(field, name)| field.as_ref().clone().with_name(name)).collect::<Vec<_>>();
        let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("tidemill version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties)).map_err(|cause| {
            unsupported(format!("the result has a type that Parquet cannot hold: {cause}")).caused_by(cause)
        })?;
        Ok(Self { schema, writer })
    }
}

impl Encoder for Parquet {
    fn start(&mut self, out: &mut Vec<u8>) -> Result<()> {
        out.append(self.writer.inner_mut());
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<usize> {
        if self.schema.fields().is_empty() {
            return Err(Error::unsupported("rows without columns do not exist in Parquet").hint("select a column"));
        }
        let front = slice::front(batch);
        let options = RecordBatchOptions::new().with_row_count(Some(front.num_rows()));
        let renamed = RecordBatch::try_new_with_options(Arc::clone(&self.schema), front.columns().to_vec(), &options)
            .map_err(unwritable)?;
        self.writer.write(&renamed).map_err(unwritable)?;
        // Both bounds: what is encoded so far, and what the encoders hold, dictionaries included.
        if self.writer.in_progress_size() >= ROW_GROUP_BYTES || self.writer.memory_size() >= 2 * ROW_GROUP_BYTES {
            self.writer.flush().map_err(unwritable)?;
        }
        out.append(self.writer.inner_mut());
        Ok(front.num_rows())
    }

    fn finish(&mut self, _summary: &Summary, out: &mut Vec<u8>) -> Result<()> {
        self.writer.finish().map_err(unwritable)?;
        out.append(self.writer.inner_mut());
        Ok(())
    }
}

/// The part of a type for which the Parquet writer panics, or fails only once rows come.
fn homeless(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::Union(..) | DataType::Interval(IntervalUnit::MonthDayNano) => Some(data_type),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _)
        | DataType::RunEndEncoded(_, item) => homeless(item.data_type()),
        DataType::Struct(fields) => fields.iter().find_map(|field| homeless(field.data_type())),
        DataType::Dictionary(_, value) => homeless(value),
        _ => None,
    }
}

fn unsupported(message: String) -> Error {
    Error::unsupported(message).hint("cast the column to VARCHAR, or ask for Arrow")
}
