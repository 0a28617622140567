use std::fs;
use std::future::Future;
use std::time::Duration;

use arrow::array::{AsArray, DictionaryArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use tempfile::TempDir;

use super::*;
use crate::auth::Role;
use crate::error::ErrorKind;
use crate::units::{ByteSize, Span};

const ROWS_PER_BATCH: i64 = 100;

fn config() -> ResultsConfig {
    ResultsConfig {
        ttl: Span(Duration::from_secs(3600)),
        max_bytes: ByteSize(1 << 30),
        max_bytes_per_principal: ByteSize(1 << 30),
        max_bytes_per_query: ByteSize(1 << 30),
        part_bytes: ByteSize(2 << 10),
    }
}

fn restore(dir: &TempDir, config: &ResultsConfig) -> Results {
    Results::restore(config, Arc::new(DataDir::claim(dir.path()).unwrap())).unwrap()
}

fn ann() -> Principal {
    Principal::new("ann", Role::Reader)
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, true),
        Field::new("text", DataType::Utf8, true).with_metadata([("k".to_owned(), "v".to_owned())].into()),
    ]))
}

/// Rows `n = batch * 100 ..`, in this many batches.
fn batches(count: i64) -> Vec<Result<RecordBatch>> {
    let batch = |number: i64| {
        let numbers = Int64Array::from_iter_values(number * ROWS_PER_BATCH..(number + 1) * ROWS_PER_BATCH);
        let texts = StringArray::from_iter_values(numbers.values().iter().map(|n| format!("row {n}")));
        Ok(RecordBatch::try_new(schema(), vec![Arc::new(numbers), Arc::new(texts)])?)
    };
    (0..count).map(batch).collect()
}

async fn keep(results: &Results, batches: Vec<Result<RecordBatch>>) -> Result<SpooledResult> {
    results.begin(QueryId::new(), "ann")?.run(schema(), stream::iter(batches)).await
}

async fn numbers(stream: BoxStream<'static, Result<RecordBatch>>) -> Vec<i64> {
    let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

/// Runs the future to its end, and whatever follows outside of a runtime: there, files are deleted before a drop returns.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn files_of(dir: &TempDir) -> usize {
    fs::read_dir(dir.path().join("results")).unwrap().count()
}

#[tokio::test]
async fn all_rows_come_back_in_order_over_all_parts() {
    let dir = tempfile::tempdir().unwrap();
    let results = restore(&dir, &config());
    let result = keep(&results, batches(20)).await.unwrap();
    assert!(result.parts() > 3, "{} parts", result.parts());
    assert_eq!((result.rows(), result.schema()), (2000, schema()));
    assert_eq!(numbers(result.stream()).await, (0..2000).collect::<Vec<_>>());

    let mut by_part = Vec::new();
    for part in 0..result.parts() {
        by_part.extend(numbers(result.part(part).unwrap()).await);
    }
    assert_eq!(by_part, (0..2000).collect::<Vec<_>>());
    let Err(error) = result.part(result.parts()) else { panic!("there is no such part") };
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_page_reads_only_the_parts_that_hold_it() {
    let dir = tempfile::tempdir().unwrap();
    let results = restore(&dir, &config());
    let result = keep(&results, batches(20)).await.unwrap();
    for (offset, limit, expected) in [
        (0, 5, 0..5),
        (95, 10, 95..105),
        (250, 1000, 250..1250),
        (1990, 100, 1990..2000),
        (2000, 10, 0..0),
        (7, 0, 0..0),
        (u64::MAX, u64::MAX, 0..0),
    ] {
        assert_eq!(numbers(result.page(offset, limit)).await, expected.collect::<Vec<_>>(), "{offset}, {limit}");
    }
    let part_dir = dir.path().join("results").join(result.id().to_string());
    fs::remove_file(part_dir.join(files::part_name(0))).unwrap();
    assert_eq!(numbers(result.page(1990, 5)).await, (1990..1995).collect::<Vec<_>>());
    let error = result.page(0, 5).try_collect::<Vec<_>>().await.unwrap_err();
    assert!(error.message().contains("part-00000.arrow"), "{error}");
    assert!(!error.message().contains(dir.path().to_str().unwrap()), "clients see no path of the server: {error}");
}

#[tokio::test]
async fn a_part_is_an_arrow_file_of_its_own() {
    use tokio::io::AsyncReadExt;
    let dir = tempfile::tempdir().unwrap();
    let results = restore(&dir, &config());
    let result = keep(&results, batches(20)).await.unwrap();
    let (mut file, bytes) = result.part_file(1).await.unwrap();
    let mut content = Vec::new();
    file.read_to_end(&mut content).await.unwrap();
    assert_eq!(content.len() as u64, bytes);
    let reader = arrow::ipc::reader::FileReader::try_new(std::io::Cursor::new(content), None).unwrap();
    let rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, numbers(result.part(1).unwrap()).await.len());
}

#[tokio::test]
async fn an_empty_result_still_has_its_schema() {
    let dir = tempfile::tempdir().unwrap();
    let results = restore(&dir, &config());
    let id = keep(&results, Vec::new()).await.unwrap().id();
    drop(results);
    let result = restore(&dir, &config()).open(&ann(), id).await.unwrap();
    assert_eq!((result.rows(), result.parts(), result.schema()), (0, 1, schema()));
    assert_eq!(numbers(result.stream()).await, Vec::<i64>::new());
}

#[test]
fn a_failed_query_leaves_no_files() {
    let dir = tempfile::tempdir().unwrap();
    let results = restore(&dir, &config());
    let mut some = batches(5);
    some.push(Err(Error::new(ErrorKind::Data, "division by zero")));
    let id = QueryId::new();
    let spool = results.begin(id, "ann").unwrap();
    let progress = Arc::clone(spool.progress());
    let error = wait(spool.run(schema(), stream::iter(some))).unwrap_err();
    assert_eq!(error.message(), "division by zero");
    assert_eq!(progress.info().rows, 500);
    assert_eq!(wait(results.open(&ann(), id)).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!((files_of(&dir), results.bytes()), (0, 0));
}

#[test]
fn a_dropped_run_leaves_no_files() {
    let dir = tempfile::tempdir().unwrap();
    let results = restore(&dir, &config());
    let id = QueryId::new();
    let spool = results.begin(id, "ann").unwrap();
    let endless = stream::iter(batches(3)).chain(stream::pending());
    let mut run = Box::pin(spool.run(schema(), endless));
    wait(async {
        // Until the three batches are written and the stream has nothing more to give.
        while results.info(id).is_some_and(|info| info.rows < 300) {
            tokio::select! {
                biased;
                _ = &mut run => panic!("the stream does not end"),
                () = tokio::task::yield_now() => {}
            }
        }
        let _ = futures::poll!(&mut run);
        assert_eq!(results.open(&ann(), id).await.unwrap_err().kind(), ErrorKind::Conflict);
    });
    drop(run);
    assert!(results.info(id).is_none());
    assert_eq!((files_of(&dir), results.bytes()), (0, 0));
}

#[test]
fn quotas_name_their_key_and_give_the_disk_back() {
    let dir = tempfile::tempdir().unwrap();
    let results = restore(&dir, &ResultsConfig { max_bytes_per_query: ByteSize(8 << 10), ..config() });
    let error = wait(keep(&results, batches(50))).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Resources, "DISK_QUOTA_EXCEEDED"));
    assert!(error.message().contains("results.max_bytes_per_query = 8KiB"), "{error}");
    assert_eq!((files_of(&dir), results.bytes()), (0, 0));
    drop(results);

    let results = restore(&dir, &ResultsConfig { max_bytes: ByteSize(16 << 10), ..config() });
    let first = wait(keep(&results, batches(10))).unwrap();
    let error = wait(keep(&results, batches(50))).unwrap_err();
    assert!(error.message().contains("results.max_bytes = 16KiB"), "{error}");
    assert_eq!(results.bytes(), first.bytes());
}

#[test]
fn the_results_of_one_principal_are_no_burden_to_another() {
    let dir = tempfile::tempdir().unwrap();
    let config = ResultsConfig { max_bytes_per_principal: ByteSize(16 << 10), ..config() };
    let results = restore(&dir, &config);
    let first = wait(keep(&results, batches(10))).unwrap();
    let error = wait(keep(&results, batches(50))).unwrap_err();
    assert!(error.message().contains("of 'ann' is exhausted (results.max_bytes_per_principal = 16KiB)"), "{error}");
    let of_bob = results.begin(QueryId::new(), "bob").unwrap().run(schema(), stream::iter(batches(10)));
    assert!(wait(of_bob).is_ok());
    drop(results);

    let results = restore(&dir, &config);
    assert!(wait(keep(&results, batches(50))).is_err(), "what an earlier server kept counts too");
    results.delete(&ann(), first.id()).unwrap();
    drop(first);
    assert!(wait(keep(&results, batches(10))).is_ok());
}

#[test]
fn readers_finish_what_is_deleted_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let results = restore(&dir, &config());
    let id = wait(keep(&results, batches(20))).unwrap().id();
    let mut stream = wait(results.open(&ann(), id)).unwrap().stream();
    wait(stream.next()).unwrap().unwrap();

    results.delete(&ann(), id).unwrap();
    assert_eq!(wait(results.open(&ann(), id)).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(results.delete(&ann(), id).unwrap_err().kind(), ErrorKind::NotFound);
    let rest = wait(stream.by_ref().take(19).try_collect::<Vec<_>>()).unwrap();
    assert_ne!((files_of(&dir), results.bytes()), (0, 0), "the reader still holds the files");
    assert_eq!(rest.iter().map(RecordBatch::num_rows).sum::<usize>(), 1900);
    drop(stream);
    assert_eq!((files_of(&dir), results.bytes()), (0, 0));
}

#[tokio::test]
async fn results_are_for_their_owner_and_for_administrators() {
    let dir = tempfile::tempdir().unwrap();
    let results = restore(&dir, &config());
    let id = keep(&results, batches(1)).await.unwrap().id();
    let other = Principal::new("bob", Role::Writer);
    assert_eq!(results.open(&other, id).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(results.delete(&other, id).unwrap_err().kind(), ErrorKind::NotFound);
    results.open(&Principal::new("root", Role::Admin), id).await.unwrap();
}

#[test]
fn a_sweep_deletes_what_is_expired() {
    let dir = tempfile::tempdir().unwrap();
    let results = restore(&dir, &config());
    let result = wait(keep(&results, batches(1))).unwrap();
    let (id, expires_at) = (result.id(), result.info().expires_at.unwrap());
    drop(result);
    assert_eq!(results.sweep(expires_at - TimeDelta::seconds(1)), 0);
    wait(results.open(&ann(), id)).unwrap();
    assert_eq!(results.sweep(expires_at), 1);
    assert_eq!(wait(results.open(&ann(), id)).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!((files_of(&dir), results.bytes()), (0, 0));
}

#[test]
fn a_restart_keeps_complete_results_and_deletes_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let results = restore(&dir, &config());
    let kept = wait(keep(&results, batches(20))).unwrap();
    let damaged = wait(keep(&results, batches(1))).unwrap().id();
    let expired = wait(restore_expired(&results));
    let (id, bytes) = (kept.id(), kept.bytes());
    drop((results, kept));
    let root = dir.path().join("results");
    fs::write(root.join(damaged.to_string()).join("part-00000.arrow"), "cut").unwrap();
    fs::create_dir(root.join(QueryId::new().to_string())).unwrap();

    let results = restore(&dir, &config());
    assert_eq!((files_of(&dir), results.bytes()), (1, bytes));
    let result = wait(results.open(&ann(), id)).unwrap();
    assert_eq!(wait(numbers(result.stream())), (0..2000).collect::<Vec<_>>());
    assert_eq!(result.schema(), schema());
    assert_eq!(wait(results.open(&ann(), expired)).unwrap_err().kind(), ErrorKind::NotFound);
}

/// A result whose time was over when the server was down.
async fn restore_expired(results: &Results) -> QueryId {
    let id = keep(results, batches(1)).await.unwrap().id();
    let path = results.shared.dir_of(id).join(manifest::NAME);
    let mut manifest: manifest::Manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest.expires_at = Some(Utc::now() - TimeDelta::seconds(1));
    fs::write(&path, serde_json::to_vec(&manifest).unwrap()).unwrap();
    id
}

#[tokio::test]
async fn dictionaries_are_refused_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    let results = restore(&dir, &config());
    let column: DictionaryArray<Int32Type> = ["a", "b"].into_iter().collect();
    let batch = RecordBatch::try_from_iter([("word", Arc::new(column) as _)]).unwrap();
    let spool = results.begin(QueryId::new(), "ann").unwrap();
    let error = spool.run(batch.schema(), stream::iter([Ok(batch)])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("'word'"), "{error}");
}

#[tokio::test]
async fn only_the_owner_of_the_process_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let results = restore(&dir, &config());
    let id = keep(&results, batches(1)).await.unwrap().id();
    let part_dir = results.shared.dir_of(id);
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&part_dir), 0o700);
    assert_eq!(mode(&part_dir.join("part-00000.arrow")), 0o600);
    assert_eq!(mode(&part_dir.join(manifest::NAME)), 0o600);
}
