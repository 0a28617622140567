//! From a result's batches to the bytes of a response: one encoder per format, driven piece by piece.
//!
//! | format | end of a failed result | `NULL` | nested values | no columns (DDL) |
//! |---|---|---|---|---|
//! | JSON | `"error"` member closes the document | `null` | nested | `"schema":[]` |
//! | NDJSON | last line `{"error":{..}}` | `null` | nested | empty body, or the line of the columns |
//! | CSV | aborted | empty, unlike the empty string `""` | JSON text | empty body |
//! | TSV | aborted | `\N` | JSON text | empty body |
//! | text, Markdown, HTML | aborted | `NULL` | JSON text | `OK` |
//! | Arrow stream and file | aborted, so no end marker or footer | Arrow | Arrow | schema without fields |
//! | Parquet | aborted, so no footer | Parquet | Parquet | schema without fields |
//!
//! JSON values: decimals are strings always, 64-bit integers on request; timestamps follow RFC 3339, with `Z` or an offset
//! if the type has a zone; dates, times and intervals follow ISO 8601; binary is base64; a map is an object if its keys are
//! strings, else a list of pairs. Column names that occur twice stay as they are in array rows and get `_2`, `_3`, ... where
//! a name can occur only once: in objects and in Parquet.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use tidemill_engine::{Error, QueryInfo, Result, sql_type};
use utoipa::ToSchema;

use crate::http::negotiate::{Format, NotANumber, Numbers};
use crate::http::problem::Problem;

mod arrow_file;
mod arrow_stream;
mod column;
mod csv;
mod html;
mod json;
mod markdown;
mod names;
mod ndjson;
mod parquet;
mod slice;
mod stream;
mod text;
mod tsv;

#[cfg(test)]
mod tests;

pub use stream::{EncodedStream, Labels, Outcome, encode_stream};

/// The size of a chunk of a response, in bytes; rows stop being encoded once a chunk has it.
pub const CHUNK_BYTES: usize = 1 << 20;

/// Turns batches of one schema into the bytes of one document. Everything is appended to `out`.
pub(crate) trait Encoder: Send {
    /// Writes what stands before the rows.
    fn start(&mut self, out: &mut Vec<u8>) -> Result<()>;

    /// Writes rows from the front of the batch, which is not empty, and returns how many: at least one, and not all if `out`
    /// is full before. A format that can tell a failure has written whole rows only, also when this fails.
    fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<usize>;

    /// Writes what stands behind the rows of a result that is complete.
    fn finish(&mut self, summary: &Summary, out: &mut Vec<u8>) -> Result<()>;

    /// Ends the document of a result that is not complete.
    fn fail(&mut self, _problem: &Problem, _out: &mut Vec<u8>) -> Result<Failure> {
        Ok(Failure::Abort)
    }
}

/// How a client learns that a result broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The document says so and is closed.
    Told,
    /// The format cannot say so: the body must break off without a clean end.
    Abort,
}

/// The encoder of this format for this schema.
///
/// # Errors
/// `Unsupported` if the format has no room for a type of the schema.
pub(crate) fn encoder(format: &Format, schema: &SchemaRef) -> Result<Box<dyn Encoder>> {
    Ok(match format {
        Format::ArrowStream { codec } => Box::new(arrow_stream::ArrowStream::new(schema, *codec)?),
        Format::ArrowFile { codec } => Box::new(arrow_file::ArrowFile::new(schema, *codec)?),
        Format::Json { rows, numbers, nan } => Box::new(json::Json::new(schema, *rows, *numbers, *nan)?),
        Format::Ndjson { header, numbers, nan } => Box::new(ndjson::Ndjson::new(schema, *header, *numbers, *nan)?),
        Format::Csv { header } => Box::new(csv::Csv::new(schema, *header)),
        Format::Tsv { header } => Box::new(tsv::Tsv::new(schema, *header)),
        Format::Parquet => Box::new(parquet::Parquet::new(schema)?),
        Format::Markdown => Box::new(markdown::Markdown::new(schema)),
        Format::Text => Box::new(text::Text::new(schema)),
        Format::Html => Box::new(html::Html::new(schema)),
    })
}

/// The first value of an array as JSON documents write it.
pub(crate) fn json_value(array: &dyn Array) -> Result<serde_json::Value> {
    let mut text = Vec::new();
    let style = column::Style::json(Numbers::Native, NotANumber::String);
    column::Column::resolve(array, style)?.write_or_null(0, &mut text).map_err(unwritable)?;
    serde_json::from_slice(&text).map_err(unwritable)
}

/// A column of a result, as JSON documents describe it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ColumnInfo {
    /// The name; in a document whose rows are objects, the key.
    pub name: String,
    /// The SQL type, such as `DECIMAL(10,2)`.
    #[serde(rename = "type")]
    pub sql_type: String,
    /// Whether the column may hold `NULL`.
    pub nullable: bool,
    /// The Arrow type, such as `Timestamp(ns, "UTC")`.
    pub arrow_type: String,
}

impl ColumnInfo {
    /// The columns of a schema, in order.
    pub fn all(schema: &Schema) -> Vec<Self> {
        schema
            .fields()
            .iter()
            .map(|field| Self {
                name: field.name().clone(),
                sql_type: sql_type(field.data_type()),
                nullable: field.is_nullable(),
                arrow_type: field.data_type().to_string(),
            })
            .collect()
    }
}

/// What is known of a query once its result is complete: the `stats` of a JSON document. Durations in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Summary {
    /// Rows of the result.
    pub rows: u64,
    /// The query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_id: Option<String>,
    /// What it took.
    #[serde(flatten)]
    pub cost: Option<Cost>,
}

/// What a query took. Sizes in bytes, durations in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cost {
    /// Time since the request arrived.
    pub elapsed_ms: f64,
    /// Time spent waiting for a permit.
    pub queued_ms: f64,
    /// Time spent planning.
    pub planning_ms: f64,
    /// Time spent running, fetching by the client included.
    pub running_ms: f64,
    /// Rows that the scans produced.
    pub rows_read: u64,
    /// Bytes read from storage.
    pub bytes_read: u64,
    /// Bytes written to spill files.
    pub spilled_bytes: u64,
    /// The most memory reserved at once.
    pub memory_peak_bytes: u64,
}

impl From<&QueryInfo> for Cost {
    fn from(info: &QueryInfo) -> Self {
        Self {
            elapsed_ms: info.timings.elapsed_ms,
            queued_ms: info.timings.queued_ms,
            planning_ms: info.timings.planning_ms,
            running_ms: info.timings.running_ms,
            rows_read: info.progress.rows_read,
            bytes_read: info.progress.bytes_read,
            spilled_bytes: info.progress.spilled_bytes,
            memory_peak_bytes: info.progress.memory_peak_bytes,
        }
    }
}

/// The JSON document of a result; only described here, it is written piece by piece.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ResultDocument {
    /// The columns.
    pub schema: Vec<ColumnInfo>,
    /// One array per row, or one object with `rows=objects`.
    pub rows: Vec<serde_json::Value>,
    /// Present if the result is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<Summary>,
    /// Present if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}

/// A failure to write, which memory never causes: a bug of ours, or data that break their type's rules.
fn unwritable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::internal("the result could not be encoded").caused_by(cause)
}
