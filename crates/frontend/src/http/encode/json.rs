//! One JSON document: `{"schema":[..],"rows":[..],"stats":{..}}`, or `"error"` in the place of `"stats"`.

use std::io;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use serde::Serialize;
use tidemill_engine::Result;

use super::column::{Column, Style, object_keys, write_rows};
use super::names::unique_names;
use super::{ColumnInfo, Encoder, Failure, Summary, unwritable};
use crate::http::negotiate::{NotANumber, Numbers, Rows};
use crate::http::problem::Problem;

pub(super) struct Json {
    schema: Vec<ColumnInfo>,
    rows: RowWriter,
    any: bool,
}

impl Json {
    pub(super) fn new(schema: &Schema, rows: Rows, numbers: Numbers, nan: NotANumber) -> Result<Self> {
        let mut columns = ColumnInfo::all(schema);
        if rows == Rows::Objects {
            for (column, name) in columns.iter_mut().zip(unique_names(schema.fields())) {
                column.name = name;
            }
        }
        Ok(Self { schema: columns, rows: RowWriter::new(schema, rows, Style::json(numbers, nan))?, any: false })
    }

    fn close(key: &str, value: &impl Serialize, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(b"],\"");
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":");
        serde_json::to_writer(&mut *out, value).map_err(unwritable)?;
        out.extend_from_slice(b"}\n");
        Ok(())
    }
}

impl Encoder for Json {
    fn start(&mut self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(b"{\"schema\":");
        serde_json::to_writer(&mut *out, &self.schema).map_err(unwritable)?;
        out.extend_from_slice(b",\"rows\":[");
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<usize> {
        let separator: &[u8] = if self.any { b",\n" } else { b"\n" };
        self.any = true;
        self.rows.write(batch, separator, b",\n", out)
    }

    fn finish(&mut self, summary: &Summary, out: &mut Vec<u8>) -> Result<()> {
        Self::close("stats", summary, out)
    }

    fn fail(&mut self, problem: &Problem, out: &mut Vec<u8>) -> Result<Failure> {
        Self::close("error", problem, out)?;
        Ok(Failure::Told)
    }
}

/// Writes rows as JSON arrays or objects.
pub(super) struct RowWriter {
    style: Style,
    /// What stands before each value.
    keys: Vec<Vec<u8>>,
    open: u8,
    close: u8,
}

impl RowWriter {
    pub(super) fn new(schema: &Schema, rows: Rows, style: Style) -> Result<Self> {
        let (keys, open, close) = match rows {
            Rows::Objects => (object_keys(&unique_names(schema.fields()))?, b'{', b'}'),
            Rows::Arrays => {
                let keys = (0..schema.fields().len()).map(|n| if n == 0 { Vec::new() } else { vec![b','] }).collect();
                (keys, b'[', b']')
            }
        };
        Ok(Self { style, keys, open, close })
    }

    /// Writes rows until `out` is full; returns how many.
    pub(super) fn write(&self, batch: &RecordBatch, first: &[u8], between: &[u8], out: &mut Vec<u8>) -> Result<usize> {
        let resolve = |array| Column::resolve(array, self.style);
        write_rows(batch, resolve, out, |columns, row, out| {
            let start = out.len();
            out.extend_from_slice(if row == 0 { first } else { between });
            self.write_row(columns, row, out).map_err(|cause| {
                out.truncate(start);
                unwritable(cause)
            })
        })
    }

    fn write_row(&self, columns: &[Column<'_>], row: usize, out: &mut Vec<u8>) -> io::Result<()> {
        out.push(self.open);
        for (key, column) in self.keys.iter().zip(columns) {
            out.extend_from_slice(key);
            column.write_or_null(row, out)?;
        }
        out.push(self.close);
        Ok(())
    }
}
