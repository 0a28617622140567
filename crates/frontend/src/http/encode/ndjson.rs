//! One JSON object per line; a result that breaks off ends with the line `{"error":{..}}`.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use serde::Serialize;
use tidemill_engine::Result;

use super::column::Style;
use super::json::RowWriter;
use super::{Encoder, Failure, Summary, unwritable};
use crate::http::negotiate::{NotANumber, Numbers, Rows};
use crate::http::problem::Problem;

pub(super) struct Ndjson(RowWriter);

impl Ndjson {
    pub(super) fn new(schema: &Schema, numbers: Numbers, nan: NotANumber) -> Result<Self> {
        Ok(Self(RowWriter::new(schema, Rows::Objects, Style::json(numbers, nan))?))
    }
}

impl Encoder for Ndjson {
    fn start(&mut self, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<usize> {
        let rows = self.0.write(batch, b"", b"\n", out)?;
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
