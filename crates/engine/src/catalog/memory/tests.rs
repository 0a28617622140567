use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

use crate::catalog::tests::sandbox::{Sandbox, public};
use crate::catalog::{Dropped, IfExists};
use crate::error::ErrorKind;

const FIVE: &str = "SELECT value AS n, CASE WHEN value % 2 = 1 THEN value END AS odd FROM generate_series(1, 5)";

async fn five(sandbox: &Sandbox) {
    sandbox.table_as("t", FIVE, IfExists::Fail).await;
}

#[tokio::test]
async fn inserted_rows_are_there_in_order() {
    let sandbox = Sandbox::new().await;
    five(&sandbox).await;
    assert_eq!(sandbox.rows("INSERT INTO t SELECT n + 5, NULL FROM t").await, ["5"]);
    let rows: Vec<_> = (1..=10).map(|n| n.to_string()).collect();
    assert_eq!(sandbox.rows("SELECT n FROM t ORDER BY n").await, rows);
    assert_eq!(sandbox.rows("SELECT count(odd), sum(n) FROM t").await, ["3|55"]);
}

#[tokio::test]
async fn an_insert_that_fails_half_way_adds_nothing_and_holds_nothing() {
    let sandbox = Sandbox::new().await;
    let table = sandbox.table_as("t", FIVE, IfExists::Fail).await;
    let before = sandbox.pool.reserved();
    assert!(before > 0);
    let batch = sandbox.batches("SELECT * FROM t").await.unwrap().remove(0);
    let failure = datafusion::error::DataFusionError::Execution("the disk fell out".to_owned());
    let many = futures::stream::iter(vec![batch; 4000]).map(Ok).chain(futures::stream::iter([Err(failure)]));
    let stream: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(table.schema()), many));
    table.append(stream).await.unwrap_err();
    assert_eq!(table.rows(), 5);
    assert_eq!(sandbox.pool.reserved(), before);
}

#[tokio::test]
async fn a_full_pool_refuses_the_statement_as_a_whole_and_names_the_limit() {
    let sandbox = Sandbox::with_memory(200_000).await;
    five(&sandbox).await;
    let before = sandbox.pool.reserved();
    let error = sandbox.error("INSERT INTO t SELECT value, value * 2 FROM generate_series(1, 100000)").await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::Resources, "OUT_OF_MEMORY"));
    assert!(error.message().contains("memory.tables"), "{error}");
    assert_eq!(sandbox.rows("SELECT count(*) FROM t").await, ["5"]);
    assert_eq!(sandbox.pool.reserved(), before);
    sandbox.catalogs.drop_table(&public("t"), Dropped::Table, false).await.unwrap();
    assert_eq!(sandbox.pool.reserved(), 0);
}

#[tokio::test]
async fn a_query_reads_what_was_there_when_it_was_planned() {
    let sandbox = Sandbox::new().await;
    five(&sandbox).await;
    let plan = sandbox.plan("SELECT n FROM t").await.unwrap();
    let stream = plan.execute_stream().await.unwrap();
    sandbox.rows("DELETE FROM t").await;
    let read: usize = stream.map(|batch| batch.unwrap().num_rows()).collect::<Vec<_>>().await.iter().sum();
    assert_eq!(read, 5);
    assert_eq!(sandbox.rows("SELECT count(*) FROM t").await, ["0"]);
}

#[tokio::test]
async fn delete_removes_the_rows_for_which_the_predicate_is_true() {
    let sandbox = Sandbox::new().await;
    five(&sandbox).await;
    assert_eq!(sandbox.rows("DELETE FROM t WHERE 1 = 0").await, ["0"]);
    assert_eq!(sandbox.rows("DELETE FROM t WHERE n = NULL").await, ["0"]);
    assert_eq!(sandbox.rows("DELETE FROM t WHERE odd > 1").await, ["2"]);
    assert_eq!(sandbox.rows("SELECT n FROM t ORDER BY n").await, ["1", "2", "4"]);
    assert_eq!(sandbox.rows("DELETE FROM t WHERE n = (SELECT max(n) FROM t)").await, ["1"]);
    assert_eq!(sandbox.rows("SELECT n FROM t ORDER BY n").await, ["1", "2"]);
}

#[tokio::test]
async fn delete_by_another_table_is_refused_rather_than_wrong() {
    let sandbox = Sandbox::new().await;
    five(&sandbox).await;
    for predicate in ["n IN (SELECT n FROM t)", "EXISTS (SELECT 1 FROM t)", "n > 0 AND NOT (n IN (SELECT n FROM t))"] {
        let error = sandbox.error(&format!("DELETE FROM t WHERE {predicate}")).await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{predicate}");
    }
    assert_eq!(sandbox.rows("SELECT count(*) FROM t").await, ["5"]);
}

#[tokio::test]
async fn update_changes_the_rows_for_which_the_predicate_is_true() {
    let sandbox = Sandbox::new().await;
    five(&sandbox).await;
    assert_eq!(sandbox.rows("UPDATE t SET odd = n * 100 WHERE odd IS NULL").await, ["2"]);
    assert_eq!(sandbox.rows("UPDATE t AS x SET n = -x.n, odd = NULL WHERE x.odd > 1 AND x.odd < 100").await, ["2"]);
    assert_eq!(sandbox.rows("SELECT n, odd FROM t ORDER BY n").await, ["-5|", "-3|", "1|1", "2|200", "4|400"]);
    assert_eq!(sandbox.rows("UPDATE t SET n = 0 WHERE false").await, ["0"]);
    assert_eq!(sandbox.rows("UPDATE t SET n = 0").await, ["5"]);
}

#[tokio::test]
async fn planning_or_explaining_a_delete_deletes_nothing() {
    let sandbox = Sandbox::new().await;
    five(&sandbox).await;
    sandbox.plan("DELETE FROM t").await.unwrap().create_physical_plan().await.unwrap();
    sandbox.rows("EXPLAIN DELETE FROM t WHERE n > 1").await;
    assert_eq!(sandbox.rows("SELECT count(*) FROM t").await, ["5"]);
}

#[tokio::test]
async fn a_delete_whose_table_changed_meanwhile_is_a_conflict() {
    let sandbox = Sandbox::new().await;
    five(&sandbox).await;
    let delete = sandbox.plan("DELETE FROM t WHERE n = 1").await.unwrap();
    sandbox.rows("INSERT INTO t VALUES (6, NULL)").await;
    let error = crate::error::Error::from(delete.collect().await.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(sandbox.rows("SELECT count(*) FROM t").await, ["6"]);
}

#[tokio::test]
async fn a_required_column_refuses_missing_values() {
    let sandbox = Sandbox::new().await;
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let table = Arc::new(super::MemoryTable::new("t", schema, &sandbox.pool));
    let new = crate::catalog::NewTable::Memory(Arc::clone(&table));
    sandbox.catalogs.create_table(&public("t"), new, IfExists::Fail).await.unwrap();
    sandbox.rows("INSERT INTO t VALUES (1)").await;
    sandbox.error("INSERT INTO t VALUES (2), (NULL)").await;
    assert_eq!(table.rows(), 1);
}
