//! CSV by RFC 4180, in UTF-8. `NULL` is an empty field and the empty string is `""`, so that they differ.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tidemill_engine::Result;

use super::column::{TextColumn, write_rows};
use super::{Encoder, Summary};
use crate::http::negotiate::Header;

pub(super) struct Csv {
    schema: SchemaRef,
    header: Header,
}

impl Csv {
    pub(super) fn new(schema: &SchemaRef, header: Header) -> Self {
        Self { schema: SchemaRef::clone(schema), header }
    }
}

impl Encoder for Csv {
    fn start(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.header == Header::Absent || self.schema.fields().is_empty() {
            return Ok(());
        }
        for (n, field) in self.schema.fields().iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            let start = out.len();
            out.extend_from_slice(field.name().as_bytes());
            quote_from(start, out);
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<usize> {
        write_rows(batch, TextColumn::resolve, out, |columns, row, out| {
            for (n, column) in columns.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                if column.is_null(row) {
                    continue;
                }
                let start = out.len();
                column.write(row, out)?;
                if !column.is_plain() {
                    quote_from(start, out);
                }
            }
            if !columns.is_empty() {
                out.extend_from_slice(b"\r\n");
            }
            Ok(())
        })
    }

    fn finish(&mut self, _summary: &Summary, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }
}

/// Puts the field that begins at `start` into quotes if it needs them: it is empty, or holds a separator, quote or line end.
fn quote_from(start: usize, out: &mut Vec<u8>) {
    let field = &out[start..];
    if !field.is_empty() && !field.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) {
        return;
    }
    let quotes = field.iter().filter(|byte| **byte == b'"').count();
    let end = out.len();
    out.resize(end + quotes + 2, b'"');
    // Moves the field to the right in place, from its end, so that each quote finds room for its double.
    let mut to = out.len() - 1;
    for from in (start..end).rev() {
        to -= 1;
        out[to] = out[from];
        if out[from] == b'"' {
            to -= 1;
            out[to] = b'"';
        }
    }
    out[start] = b'"';
}
