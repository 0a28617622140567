use std::io;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use futures::{StreamExt, stream};
use tidemill_engine::ErrorKind;

use super::*;
use crate::http::negotiate::{Codec, FormatOptions, Header, NotANumber, Numbers, Rows};

mod formats;
mod streaming;
mod values;

const JSON: Format = Format::Json { rows: Rows::Arrays, numbers: Numbers::Native, nan: NotANumber::Null };
const OBJECTS: Format = Format::Json { rows: Rows::Objects, numbers: Numbers::Native, nan: NotANumber::Null };

/// All formats, with their default options.
fn formats() -> impl Iterator<Item = Format> {
    Format::names().map(|name| Format::named(name, FormatOptions::default()).unwrap())
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

/// Three rows whose texts need care in one format or another.
fn sample() -> RecordBatch {
    batch(vec![
        ("id", Arc::new(Int64Array::from(vec![Some(1), Some(-20), None]))),
        ("name", Arc::new(StringArray::from(vec![Some("a,\"b\"\n|\\"), Some(""), None]))),
        ("x", Arc::new(Float64Array::from(vec![Some(0.5), Some(f64::NAN), None]))),
    ])
}

async fn chunks(
    batches: Vec<Result<RecordBatch>>,
    schema: SchemaRef,
    format: Format,
) -> (Vec<io::Result<Bytes>>, Outcome) {
    let encoded = encode_stream(stream::iter(batches), &schema, &format, Labels::default(), || None).unwrap();
    let outcome = encoded.outcome_handle();
    let chunks = encoded.collect().await;
    (chunks, outcome.get().unwrap().clone())
}

async fn encoded(batch: &RecordBatch, format: Format) -> Vec<u8> {
    let (chunks, outcome) = chunks(vec![Ok(batch.clone())], batch.schema(), format).await;
    assert!(matches!(outcome, Outcome::Finished(summary) if summary.rows == batch.num_rows() as u64));
    chunks.into_iter().map(io::Result::unwrap).collect::<Vec<_>>().concat()
}

async fn text(batch: &RecordBatch, format: Format) -> String {
    String::from_utf8(encoded(batch, format).await).unwrap()
}
