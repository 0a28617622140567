//! A Markdown table. Columns are not aligned in the source, because a stream does not know its widths; renderers do that.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tidemill_engine::Result;

use super::column::{Column, Style, is_plain};
use super::{CHUNK_BYTES, Encoder, Summary, unwritable};

pub(super) struct Markdown {
    schema: SchemaRef,
    /// A cell before its escapes.
    cell: Vec<u8>,
}

impl Markdown {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        Self { schema: SchemaRef::clone(schema), cell: Vec::new() }
    }
}

impl Encoder for Markdown {
    fn start(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let fields = self.schema.fields();
        if fields.is_empty() {
            return Ok(());
        }
        for field in fields {
            out.extend_from_slice(b"| ");
            escape(field.name().as_bytes(), out);
            out.push(b' ');
        }
        out.extend_from_slice(b"|\n");
        for field in fields {
            out.extend_from_slice(if field.data_type().is_numeric() { b"| ---: " } else { b"| --- " });
        }
        out.extend_from_slice(b"|\n");
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<usize> {
        let columns = batch
            .columns()
            .iter()
            .map(|column| Ok((Column::resolve(column, Style::text())?, is_plain(column.data_type()))))
            .collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            if row > 0 && out.len() >= CHUNK_BYTES {
                return Ok(row);
            }
            for (column, plain) in &columns {
                out.extend_from_slice(b"| ");
                if column.is_null(row) {
                    out.extend_from_slice(b"NULL");
                } else if *plain {
                    column.write(row, out).map_err(unwritable)?;
                } else {
                    self.cell.clear();
                    column.write(row, &mut self.cell).map_err(unwritable)?;
                    escape(&self.cell, out);
                }
                out.push(b' ');
            }
            if !columns.is_empty() {
                out.extend_from_slice(b"|\n");
            }
        }
        Ok(batch.num_rows())
    }

    fn finish(&mut self, _summary: &Summary, out: &mut Vec<u8>) -> Result<()> {
        if self.schema.fields().is_empty() {
            out.extend_from_slice(b"OK\n");
        }
        Ok(())
    }
}

/// A cell must stay on its line and within its bars.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'|' => out.extend_from_slice(b"\\|"),
            b'\n' => out.extend_from_slice(b"<br>"),
            b'\r' => {}
            byte => out.push(*byte),
        }
    }
}
