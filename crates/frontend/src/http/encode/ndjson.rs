//! One JSON object per line, after a first line `{"schema":[..]}` on request; a result that breaks off ends with the line `{"error":{..}}`.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use serde::Serialize;
use tidemill_engine::Result;

use super::column::Style;
use super::json::RowWriter;
use super::names::unique_names;
use super::{ColumnInfo, Encoder, Failure, Summary, unwritable};
use crate::http::negotiate::{Header, NotANumber, Numbers, Rows};
use crate::http::problem::Problem;

pub(super) struct Ndjson {
    /// The columns, if they are to be told.
    columns: Option<Vec<ColumnInfo>>,
    rows: RowWriter,
}

impl Ndjson {
    pub(super) fn new(schema: &Schema, header: Header, numbers: Numbers, nan: NotANumber) -> Result<Self> {
        let columns = match header {
            Header::Absent => None,
            Header::Present => {
                let columns = ColumnInfo::all(schema).into_iter().zip(unique_names(schema.fields()));
                Some(columns.map(|(column, name)| ColumnInfo { name, ..column }).collect())
            }
        };
        Ok(Self { columns, rows: RowWriter::new(schema, Rows::Objects, Style::json(numbers, nan))? })
    }
}

impl Encoder for Ndjson {
    fn start(&mut self, out: &mut Vec<u8>) -> Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            schema: &'a [ColumnInfo],
        }
        if let Some(schema) = &self.columns {
            serde_json::to_writer(&mut *out, &Line { schema }).map_err(unwritable)?;
            out.push(b'\n');
        }
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<usize> {
        let rows = self.rows.write(batch, b"", b"\n", out)?;
        out.push(b'\n');
        Ok(rows)
    }

    fn finish(&mut self, _summary: &Summary, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn fail(&mut self, problem: &Problem, out: &mut Vec<u8>) -> Result<Failure> {
        #[derive(Serialize)]
        struct Line<'a> {
            error: &'a Problem,
        }
        if out.last().is_some_and(|byte| *byte != b'\n') {
            out.push(b'\n');
        }
        serde_json::to_writer(&mut *out, &Line { error: problem }).map_err(unwritable)?;
        out.push(b'\n');
        Ok(Failure::Told)
    }
}
