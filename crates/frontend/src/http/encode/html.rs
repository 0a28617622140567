//! An HTML fragment: one `<table>`, for pages that show results as they are. Cells of numbers and of `NULL` have a class.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use tidemill_engine::Result;

use super::column::{TextColumn, write_rows};
use super::{Encoder, Summary};

pub(super) struct Html {
    schema: SchemaRef,
    /// A cell before its escapes.
    cell: Vec<u8>,
}

impl Html {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        Self { schema: SchemaRef::clone(schema), cell: Vec::new() }
    }
}

impl Encoder for Html {
    fn start(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.schema.fields().is_empty() {
            return Ok(());
        }
        out.extend_from_slice(b"<table>\n<thead>\n<tr>");
        for field in self.schema.fields() {
            out.extend_from_slice(b"<th scope=\"col\">");
            escape(field.name().as_bytes(), out);
            out.extend_from_slice(b"</th>");
        }
        out.extend_from_slice(b"</tr>\n</thead>\n<tbody>\n");
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<usize> {
        write_rows(batch, with_tag, out, |columns, row, out| {
            if columns.is_empty() {
                return Ok(());
            }
            out.extend_from_slice(b"<tr>");
            for (column, tag) in columns {
                if column.is_null(row) {
                    out.extend_from_slice(b"<td class=\"null\">NULL</td>");
                    continue;
                }
                out.extend_from_slice(tag);
                column.write_escaped(row, escape, &mut self.cell, out)?;
                out.extend_from_slice(b"</td>");
            }
            out.extend_from_slice(b"</tr>\n");
            Ok(())
        })
    }

    fn finish(&mut self, _summary: &Summary, out: &mut Vec<u8>) -> Result<()> {
        let end: &[u8] = if self.schema.fields().is_empty() { b"<p>OK</p>\n" } else { b"</tbody>\n</table>\n" };
        out.extend_from_slice(end);
        Ok(())
    }
}

/// A column, with the tag that begins its cells.
fn with_tag(array: &dyn Array) -> Result<(TextColumn<'_>, &'static [u8])> {
    let tag: &[u8] = if array.data_type().is_numeric() { b"<td class=\"number\">" } else { b"<td>" };
    Ok((TextColumn::resolve(array)?, tag))
}

/// Data must stay text: neither markup nor characters that HTML forbids.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'\t' | b'\n' | b'\r' => out.push(*byte),
            0..0x20 | 0x7F => out.extend_from_slice("\u{FFFD}".as_bytes()),
            byte => out.push(*byte),
        }
    }
}
