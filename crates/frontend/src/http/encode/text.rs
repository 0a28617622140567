//! A table for eyes: aligned columns in a frame of `+-|`, and the number of rows below. A text of several lines stays in its
//! column, with a `+` behind each line but the last, as psql has it.
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
    /// Rows held back.
    prefix: Option<Cells>,
    row: Cells,
}

/// The text of cells, one behind the other.
#[derive(Default)]
struct Cells {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Cells {
    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end])
    }
}

impl Text {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let layout = schema
            .fields()
            .iter()
            .map(|field| (width(field.name().as_bytes()).min(PADDED_WIDTH), field.data_type().is_numeric()))
            .collect();
        Self { schema: SchemaRef::clone(schema), layout, prefix: Some(Cells::default()), row: Cells::default() }
    }

    /// Writes the head and the rows held back; widths are fixed from here on.
    fn release(&mut self, out: &mut Vec<u8>) {
        let Some(prefix) = self.prefix.take() else { return };
        self.rule(out);
        let mut name = Vec::new();
        for (field, (width, _)) in self.schema.fields().iter().zip(&self.layout) {
            name.clear();
            title(field.name().as_bytes(), &mut name);
            pad(&name, *width, false, false, out);
        }
        out.extend_from_slice(b"|\n");
        self.rule(out);
        let cells: Vec<&[u8]> = prefix.iter().collect();
        for row in cells.chunks(self.layout.len().max(1)) {
            write_row(row, &self.layout, out);
        }
    }

    fn rule(&self, out: &mut Vec<u8>) {
        for (width, _) in &self.layout {
            out.push(b'+');
            out.resize(out.len() + width + 2, b'-');
        }
        out.extend_from_slice(b"+\n");
    }

    /// Adds the printable text of a cell to `cells`.
    fn render(cells: &mut Cells, column: &TextColumn<'_>, row: usize, scratch: &mut Vec<u8>) -> Result<()> {
        if column.is_null(row) {
            cells.text.extend_from_slice(b"NULL");
        } else {
            scratch.clear();
            column.write(row, scratch)?;
            printable(scratch, &mut cells.text);
        }
        cells.ends.push(cells.text.len());
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
            let Some(prefix) = &mut self.prefix else {
                self.row.clear();
                for column in columns {
                    Self::render(&mut self.row, column, row, &mut scratch)?;
                }
                write_row(&self.row.iter().collect::<Vec<_>>(), &self.layout, out);
                return Ok(());
            };
            for (column, (column_width, _)) in columns.iter().zip(&mut self.layout) {
                let start = prefix.text.len();
                Self::render(prefix, column, row, &mut scratch)?;
                *column_width = (*column_width).max(width(&prefix.text[start..]).min(PADDED_WIDTH));
            }
            if prefix.ends.len() >= PREFIX_ROWS * columns.len().max(1) || prefix.text.len() >= PREFIX_BYTES {
                self.release(out);
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

/// Writes a row on as many lines as its highest cell has.
fn write_row(cells: &[&[u8]], layout: &[(usize, bool)], out: &mut Vec<u8>) {
    let mut columns: Vec<_> = cells.iter().map(|cell| cell.split(|byte| *byte == b'\n').peekable()).collect();
    while columns.iter_mut().any(|lines| lines.peek().is_some()) {
        for (lines, (width, right)) in columns.iter_mut().zip(layout) {
            let line = lines.next().unwrap_or_default();
            pad(line, *width, *right, lines.peek().is_some(), out);
        }
        out.extend_from_slice(b"|\n");
    }
}

/// Writes `| cell ` with blanks up to the width, and a `+` in place of the last one if the cell goes on in the next line.
fn pad(cell: &[u8], column_width: usize, right: bool, goes_on: bool, out: &mut Vec<u8>) {
    let blanks = column_width.saturating_sub(width(cell));
    let (before, after) = if right { (blanks, 0) } else { (0, blanks) };
    out.extend_from_slice(b"| ");
    out.resize(out.len() + before, b' ');
    out.extend_from_slice(cell);
    out.resize(out.len() + after, b' ');
    out.push(if goes_on { b'+' } else { b' ' });
}

/// Characters of the longest line of a UTF-8 text, each taken as one column wide.
fn width(text: &[u8]) -> usize {
    let characters = |line: &[u8]| line.iter().filter(|byte| (**byte & 0xC0) != 0x80).count();
    text.split(|byte| *byte == b'\n').map(characters).max().unwrap_or_default()
}

/// The name of a column, on one line.
fn title(name: &[u8], out: &mut Vec<u8>) {
    for (at, line) in name.split(|byte| *byte == b'\n').enumerate() {
        out.extend_from_slice(if at > 0 { b"\\n" } else { b"" });
        printable(line, out);
    }
}

/// Control characters would break the frame, or command the reader's terminal; only lines stay lines.
fn printable(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'\n' => out.push(b'\n'),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 | 0x7F => out.extend_from_slice("\u{FFFD}".as_bytes()),
            byte => out.push(*byte),
        }
    }
}
