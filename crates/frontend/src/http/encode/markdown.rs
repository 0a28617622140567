//! A Markdown table. Columns are not aligned in the source, because a stream does not know its widths; renderers do that.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tidemill_engine::Result;

use super::column::{TextColumn, write_rows};
use super::{Encoder, Summary};

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
        write_rows(batch, TextColumn::resolve, out, |columns, row, out| {
            for column in columns {
                out.extend_from_slice(b"| ");
                if column.is_null(row) {
                    out.extend_from_slice(b"NULL");
                } else {
                    column.write_escaped(row, escape, &mut self.cell, out)?;
                }
                out.push(b' ');
            }
            if !columns.is_empty() {
                out.extend_from_slice(b"|\n");
            }
            Ok(())
        })
    }

    fn finish(&mut self, _summary: &Summary, out: &mut Vec<u8>) -> Result<()> {
        if self.schema.fields().is_empty() {
            out.extend_from_slice(b"OK\n");
        }
        Ok(())
    }
}

/// A cell must stay on its line and within its bars; the indentation of its own lines, such as those of a plan, stays too.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    let mut indentation = false;
    for byte in text {
        match byte {
            b'|' => out.extend_from_slice(b"\\|"),
            b'\n' => out.extend_from_slice(b"<br>"),
            b'\r' => {}
            b' ' if indentation => out.extend_from_slice(b"&nbsp;"),
            byte => out.push(*byte),
        }
        indentation = *byte == b'\n' || indentation && *byte == b' ';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_indentation() {
        let mut out = Vec::new();
        escape(b"Sort: a\n  Scan: b | c", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "Sort: a<br>&nbsp;&nbsp;Scan: b \\| c");
    }
}
