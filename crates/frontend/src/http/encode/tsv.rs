//! Tab-separated values, escaped like PostgreSQL's `COPY` text: `\N` for `NULL`, and `\t`, `\n`, `\r`, `\\`.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tidemill_engine::Result;

use super::column::{TextColumn, write_rows};
use super::{Encoder, Summary};
use crate::http::negotiate::Header;

pub(super) struct Tsv {
    schema: SchemaRef,
    header: Header,
    /// A cell before its escapes.
    cell: Vec<u8>,
}

impl Tsv {
    pub(super) fn new(schema: &SchemaRef, header: Header) -> Self {
        Self { schema: SchemaRef::clone(schema), header, cell: Vec::new() }
    }
}

impl Encoder for Tsv {
    fn start(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.header == Header::Absent || self.schema.fields().is_empty() {
            return Ok(());
        }
        for (n, field) in self.schema.fields().iter().enumerate() {
            if n > 0 {
                out.push(b'\t');
            }
            escape(field.name().as_bytes(), out);
        }
        out.push(b'\n');
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<usize> {
        write_rows(batch, TextColumn::resolve, out, |columns, row, out| {
            for (n, column) in columns.iter().enumerate() {
                if n > 0 {
                    out.push(b'\t');
                }
                if column.is_null(row) {
                    out.extend_from_slice(b"\\N");
                } else {
                    column.write_escaped(row, escape, &mut self.cell, out)?;
                }
            }
            if !columns.is_empty() {
                out.push(b'\n');
            }
            Ok(())
        })
    }

    fn finish(&mut self, _summary: &Summary, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b'\\')) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(match rest[at] {
            b'\t' => b"\\t",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            _ => b"\\\\",
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}
