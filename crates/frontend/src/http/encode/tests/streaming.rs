//! How encoders are driven: chunks, failures, back-pressure.

use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::datatypes::{IntervalUnit, UnionFields, UnionMode};

use super::*;

fn broken() -> Error {
    Error::new(ErrorKind::Data, "cannot cast 'x' to a number")
}

fn formats_with_text_of(rows: usize) -> RecordBatch {
    let texts = (0..rows).map(|n| format!("row {n} {}", "\u{e9}".repeat(30)));
    batch(vec![
        ("n", Arc::new(Int64Array::from_iter_values(0..rows as i64))),
        ("text", Arc::new(StringArray::from_iter_values(texts))),
    ])
}

#[tokio::test]
async fn a_huge_batch_leaves_in_chunks() {
    let huge = formats_with_text_of(100_000);
    for format in formats() {
        let (chunks, _) = chunks(vec![Ok(huge.clone())], huge.schema(), format).await;
        let sizes = chunks.iter().map(|chunk| chunk.as_ref().unwrap().len()).collect::<Vec<_>>();
        assert!(sizes.iter().all(|size| *size <= CHUNK_BYTES), "{format:?}: {sizes:?}");
        if format != Format::Parquet {
            assert!(sizes.len() > 3, "{format:?}: {sizes:?}");
        }
    }
    let document: ResultDocument = serde_json::from_str(&text(&huge, JSON).await).unwrap();
    assert_eq!(document.rows.len(), 100_000);
    assert_eq!(document.rows[99_999][0], 99_999);
    let lines =
        text(&huge, Format::Ndjson { header: Header::Absent, numbers: Numbers::Native, nan: NotANumber::Null }).await;
    for (n, line) in lines.lines().enumerate() {
        assert_eq!(serde_json::from_str::<serde_json::Value>(line).unwrap()["n"], n);
    }
}

#[tokio::test]
async fn small_batches_leave_together() {
    let small = sample();
    let (chunks, outcome) = chunks((0..50).map(|_| Ok(small.clone())).collect(), small.schema(), JSON).await;
    assert_eq!(chunks.len(), 1);
    assert!(matches!(outcome, Outcome::Finished(summary) if summary.rows == 150));
}

#[tokio::test]
async fn json_and_ndjson_tell_a_failure_and_close() {
    let sample = sample();
    let batches = || vec![Ok(sample.clone()), Err(broken())];
    let (told, outcome) = chunks(batches(), sample.schema(), JSON).await;
    let bytes = told.into_iter().map(io::Result::unwrap).collect::<Vec<_>>().concat();
    let document: ResultDocument = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((document.rows.len(), document.stats.is_none()), (3, true));
    assert_eq!(document.error.unwrap().code, "DATA_ERROR");
    assert!(matches!(outcome, Outcome::Failed(problem) if problem.status == 422));

    let ndjson = Format::Ndjson { header: Header::Absent, numbers: Numbers::Native, nan: NotANumber::Null };
    let (told, _) = chunks(batches(), sample.schema(), ndjson).await;
    let bytes = told.into_iter().map(io::Result::unwrap).collect::<Vec<_>>().concat();
    let last = std::str::from_utf8(&bytes).unwrap().lines().last().unwrap().to_owned();
    let last: serde_json::Value = serde_json::from_str(&last).unwrap();
    assert_eq!(last["error"]["type"], "urn:tidemill:error:data-error");
}

#[tokio::test]
async fn formats_that_cannot_tell_a_failure_break_off() {
    let sample = sample();
    for format in formats().filter(|format| !matches!(format, Format::Json { .. } | Format::Ndjson { .. })) {
        let (chunks, outcome) = chunks(vec![Ok(sample.clone()), Err(broken())], sample.schema(), format).await;
        assert!(chunks.last().unwrap().is_err(), "{format:?}");
        assert!(matches!(outcome, Outcome::Failed(_)), "{format:?}");
    }
}

#[tokio::test]
async fn batches_are_taken_only_as_the_client_reads() {
    let huge = formats_with_text_of(20_000);
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let schema = huge.schema();
    let batches = stream::repeat(huge).map(move |batch| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(batch)
    });
    let mut encoded = encode_stream(batches, &schema, &JSON, Labels::default(), || None).unwrap();
    assert_eq!(taken.load(Ordering::SeqCst), 0);
    encoded.next().await.unwrap().unwrap();
    assert_eq!(taken.load(Ordering::SeqCst), 1);
    assert!(encoded.outcome().is_none());
}

#[tokio::test]
async fn rows_leave_while_the_query_still_works() {
    let sample = sample();
    let schema = sample.schema();
    let batches = stream::iter([Ok(sample)]).chain(stream::pending());
    let csv = Format::Csv { header: Header::Present };
    let mut encoded = encode_stream(batches, &schema, &csv, Labels::default(), || None).unwrap();
    assert!(encoded.next().await.unwrap().unwrap().starts_with(b"id,name,x\r\n1,"));
}

#[test]
fn a_type_without_room_in_the_format_is_refused_before_any_byte() {
    let union = UnionFields::from_fields([Field::new("i", DataType::Int64, true)]);
    for inner in [DataType::Union(union, UnionMode::Sparse), DataType::Interval(IntervalUnit::MonthDayNano)] {
        let schema = SchemaRef::new(Schema::new(vec![Field::new("c", DataType::new_list(inner, true), true)]));
        let error = encoder(&Format::Parquet, &schema).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().starts_with("column 'c' has the type "), "{error}");
    }
}
