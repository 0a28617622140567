//! Results as CSV, JSON, NDJSON and Markdown.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::EncoderOptions;
use arrow::json::writer::{JsonArray, LineDelimited, Writer as JsonWriter, WriterBuilder, make_encoder};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::ResultWriter;
use super::table::formatters;
use crate::cli::sql::failure::Failure;

type Out<'w> = &'w mut (dyn Write + Send);

/// Comma-separated values. NULL is an empty field, nested values are written as JSON.
pub(super) struct Csv<'w>(arrow::csv::Writer<Out<'w>>);

impl<'w> Csv<'w> {
    pub(super) fn new(out: Out<'w>, schema: &SchemaRef) -> Result<Self, Failure> {
        let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(out);
        // The writer puts its header before the first batch, and an empty result has none.
        writer.write(&flatten(&RecordBatch::new_empty(Arc::clone(schema)))?)?;
        Ok(Self(writer))
    }
}

impl ResultWriter for Csv<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        Ok(self.0.write(&flatten(batch)?)?)
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}

/// The batch with nested columns as JSON, as the HTTP door writes them.
fn flatten(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let (mut fields, mut columns) = (Vec::new(), Vec::<ArrayRef>::new());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if !field.data_type().is_nested() {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
            continue;
        }
        let mut encoder = make_encoder(field, column, &options)?;
        let text = (0..column.len()).map(|row| {
            if encoder.is_null(row) {
                return None;
            }
            let mut json = Vec::new();
            encoder.encode(row, &mut json);
            Some(String::from_utf8_lossy(&json).into_owned())
        });
        columns.push(Arc::new(text.collect::<StringArray>()));
        fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows)
}

/// One array of objects; NULL is `null`.
pub(super) struct Json<'w>(JsonWriter<Out<'w>, JsonArray>);

impl<'w> Json<'w> {
    pub(super) fn new(out: Out<'w>) -> Self {
        Self(WriterBuilder::new().with_explicit_nulls(true).build(out))
    }
}

impl ResultWriter for Json<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        Ok(self.0.write(batch)?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        self.0.finish()?;
        Ok(self.0.get_mut().write_all(b"\n")?)
    }
}

/// One object a line; NULL is `null`.
pub(super) struct Ndjson<'w>(JsonWriter<Out<'w>, LineDelimited>);

impl<'w> Ndjson<'w> {
    pub(super) fn new(out: Out<'w>) -> Self {
        Self(WriterBuilder::new().with_explicit_nulls(true).build(out))
    }
}

impl ResultWriter for Ndjson<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        Ok(self.0.write(batch)?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        Ok(self.0.finish()?)
    }
}

/// A Markdown table, not padded: it is meant to be rendered.
pub(super) struct Markdown<'w> {
    out: Out<'w>,
}

impl<'w> Markdown<'w> {
    pub(super) fn new(out: Out<'w>, schema: &SchemaRef) -> Result<Self, Failure> {
        let mut line = String::from("|");
        for field in schema.fields() {
            push_cell(&mut line, field.name());
        }
        line.push_str("\n|");
        for field in schema.fields() {
            line.push_str(if field.data_type().is_numeric() { " ---: |" } else { " --- |" });
        }
        writeln!(out, "{line}")?;
        Ok(Self { out })
    }
}

impl ResultWriter for Markdown<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        let columns = formatters(batch)?;
        for row in 0..batch.num_rows() {
            let mut line = String::from("|");
            for column in &columns {
                push_cell(&mut line, &column.value(row).try_to_string()?);
            }
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}

fn push_cell(line: &mut String, text: &str) {
    line.push(' ');
    for c in text.chars() {
        match c {
            '|' => line.push_str("\\|"),
            '\n' => line.push_str("<br>"),
            '\r' => {}
            c => line.push(c),
        }
    }
    line.push_str(" |");
}
