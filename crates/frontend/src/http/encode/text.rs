//! A table for eyes: aligned columns in a frame of `+-|`, and the number of rows below.
//!
//! Widths come from the first rows: up to [`PREFIX_ROWS`] rows or [`PREFIX_BYTES`] of cell text are held back to measure
//! them. Later cells that are wider stick out; none is cut.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tidemill_engine::Result;

use super::column::{TextColumn, write_rows};
use super::{Encoder, Summary, unwritable};

/// Rows that are held back to measure widths.
const PREFIX_ROWS: usize = 10_000;
/// Bytes of cell text that are held back to measure widths.
const PREFIX_BYTES: usize = 1 << 20;
/// No column is padded beyond this many characters: one long cell must not blow up every row.
const PADDED_WIDTH: usize = 64;

pub(super) struct Text {
    schema: SchemaRef,
    /// By column: the width in characters, and whether it is aligned to the right.
    layout: Vec<(usize, bool)>,
    prefix: Option<Prefix>,
    cell: Vec<u8>,
}

/// Rows held back: their cells' text, one behind the other.
#[derive(Default)]
struct Prefix {
    text: Vec<u8>,
    ends: Vec<usize>,
    rows: usize,
}

impl Text {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let layout = schema
            .fields()
            .iter()
            .map(|field| (width(field.name().as_bytes()).min(PADDED_WIDTH), field.data_type().is_numeric()))
            .collect();
        Self { schema: SchemaRef::clone(schema), layout, prefix: Some(Prefix::default()), cell: Vec::new() }
    }

    /// Writes the head and the rows held back; widths are fixed from here on.
    fn release(&mut self, out: &mut Vec<u8>) {
        let Some(prefix) = self.prefix.take() else { return };
        self.rule(out);
        let mut name = Vec::new();
        for (field, (width, _)) in self.schema.fields().iter().zip(&self.layout) {
            name.clear();
            printable(field.name().as_bytes(), &mut name);
            pad(&name, *width, false, out);
        }
        out.extend_from_slice(b"|\n");
        self.rule(out);
        let mut start = 0;
        for row in prefix.ends.chunks(self.layout.len().max(1)) {
            for (end, (width, right)) in row.iter().zip(&self.layout) {
                pad(&prefix.text[start..*end], *width, *right, out);
                start = *end;
            }
            out.extend_from_slice(b"|\n");
        }
    }

    fn rule(&self, out: &mut Vec<u8>) {
        for (width, _) in &self.layout {
            out.push(b'+');
            out.resize(out.len() + width + 2, b'-');
        }
        out.extend_from_slice(b"+\n");
    }

    /// The printable text of a cell, left in `self.cell`.
    fn render(&mut self, column: &TextColumn<'_>, row: usize, scratch: &mut Vec<u8>) -> Result<()> {
        self.cell.clear();
        if column.is_null(row) {
            self.cell.extend_from_slice(b"NULL");
            return Ok(());
        }
        scratch.clear();
        column.write(row, scratch)?;
        printable(scratch, &mut self.cell);
        Ok(())
    }
}

impl Encoder for Text {
    fn start(&mut self, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<usize> {
        let mut scratch = Vec::new();
        write_rows(batch, TextColumn::resolve, out, |columns, row, out| {
            for (n, column) in columns.iter().enumerate() {
                self.render(column, row, &mut scratch)?;
                match &mut self.prefix {
                    Some(prefix) => {
                        self.layout[n].0 = self.layout[n].0.max(width(&self.cell).min(PADDED_WIDTH));
                        prefix.text.extend_from_slice(&self.cell);
                        prefix.ends.push(prefix.text.len());
                    }
                    None => pad(&self.cell, self.layout[n].0, self.layout[n].1, out),
                }
            }
            match &mut self.prefix {
                Some(prefix) => {
                    prefix.rows += 1;
                    if prefix.rows == PREFIX_ROWS || prefix.text.len() >= PREFIX_BYTES {
                        self.release(out);
                    }
                }
                None => out.extend_from_slice(b"|\n"),
            }
            Ok(())
        })
    }

    fn finish(&mut self, summary: &Summary, out: &mut Vec<u8>) -> Result<()> {
        if self.schema.fields().is_empty() && summary.rows == 0 {
            out.extend_from_slice(b"OK\n");
            return Ok(());
        }
        self.release(out);
        self.rule(out);
        let noun = if summary.rows == 1 { "row" } else { "rows" };
        writeln!(out, "({} {noun})", summary.rows).map_err(unwritable)
    }
}

/// Writes `| cell ` with blanks up to the width.
fn pad(cell: &[u8], column_width: usize, right: bool, out: &mut Vec<u8>) {
    let blanks = column_width.saturating_sub(width(cell));
    let (before, after) = if right { (blanks, 0) } else { (0, blanks) };
    out.extend_from_slice(b"| ");
    out.resize(out.len() + before, b' ');
    out.extend_from_slice(cell);
    out.resize(out.len() + after + 1, b' ');
}

/// Characters of a UTF-8 text, each taken as one column wide.
fn width(text: &[u8]) -> usize {
    text.iter().filter(|byte| (**byte & 0xC0) != 0x80).count()
}

/// Control characters would break the frame, or command the reader's terminal.
fn printable(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 | 0x7F => out.extend_from_slice("\u{FFFD}".as_bytes()),
            byte => out.push(*byte),
        }
    }
}
