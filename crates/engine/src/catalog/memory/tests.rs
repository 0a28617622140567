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
    table.append(stream, &[]).await.unwrap_err();
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
async fn delete_by_another_table_removes_what_a_query_would_find() {
    let sandbox = Sandbox::new().await;
    let cases = [
        ("n IN (SELECT n FROM t WHERE n > 3)", "2"),
        ("EXISTS (SELECT 1 FROM t AS u WHERE u.n = t.n + 3)", "2"),
        ("n > 0 AND NOT (n IN (SELECT n FROM t WHERE n < 3))", "3"),
        ("odd NOT IN (SELECT odd FROM t)", "0"),
        ("n = 1 OR n IN (SELECT n FROM t WHERE odd = 5)", "2"),
    ];
    for (predicate, count) in cases {
        sandbox.table_as("t", FIVE, IfExists::Replace).await;
        assert_eq!(sandbox.rows(&format!("SELECT count(*) FROM t WHERE {predicate}")).await, [count], "{predicate}");
        assert_eq!(sandbox.rows(&format!("DELETE FROM t WHERE {predicate}")).await, [count], "{predicate}");
        assert_eq!(sandbox.rows(&format!("SELECT count(*) FROM t WHERE {predicate}")).await, ["0"], "{predicate}");
    }
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
async fn a_statement_changes_what_is_there_when_its_turn_comes() {
    let sandbox = Sandbox::new().await;
    five(&sandbox).await;
    let delete = sandbox.plan("DELETE FROM t WHERE n = (SELECT max(n) FROM t)").await.unwrap();
    let update = sandbox.plan("UPDATE t SET odd = n WHERE n IN (SELECT max(n) FROM t)").await.unwrap();
    sandbox.rows("INSERT INTO t VALUES (6, NULL), (7, NULL)").await;
    delete.collect().await.unwrap();
    update.collect().await.unwrap();
    assert_eq!(sandbox.rows("SELECT n, odd FROM t WHERE n > 4 ORDER BY n").await, ["5|5", "6|6"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_updates_lose_nothing() {
    let sandbox = Arc::new(Sandbox::new().await);
    sandbox.table_as("t", "SELECT 0 AS n FROM generate_series(1, 20000)", IfExists::Fail).await;
    let add = |sandbox: Arc<Sandbox>| async move { sandbox.rows("UPDATE t SET n = n + 1").await };
    let writers: Vec<_> = (0..16).map(|_| tokio::spawn(add(Arc::clone(&sandbox)))).collect();
    for writer in writers {
        assert_eq!(writer.await.unwrap(), ["20000"]);
    }
    assert_eq!(sandbox.rows("SELECT min(n), max(n), count(*) FROM t").await, ["16|16|20000"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_writers_with_the_same_key_one_wins() {
    let sandbox = Arc::new(Sandbox::new().await);
    let table = keyed(&sandbox).await;
    let insert = |sandbox: Arc<Sandbox>, writer: usize| async move {
        let rows = format!("INSERT INTO k SELECT value, {writer} FROM generate_series(1, 9000)");
        sandbox.batches(&rows).await.map(drop)
    };
    let writers: Vec<_> = (0..8).map(|writer| tokio::spawn(insert(Arc::clone(&sandbox), writer))).collect();
    let mut won = 0;
    for writer in writers {
        match writer.await.unwrap() {
            Ok(()) => won += 1,
            Err(error) => assert_eq!((error.code(), error.sqlstate()), ("UNIQUE_VIOLATION", "23505"), "{error}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(sandbox.rows("SELECT count(*), count(DISTINCT v) FROM k").await, ["9000|1"]);
    assert_eq!(sandbox.pool.reserved(), table.bytes());
}

#[tokio::test]
async fn keys_are_accounted_and_go_with_their_rows() {
    let sandbox = Sandbox::new().await;
    let table = keyed(&sandbox).await;
    sandbox.rows("INSERT INTO k SELECT value, 0 FROM generate_series(1, 1000)").await;
    let full = sandbox.pool.reserved();
    assert_eq!(full, table.bytes());
    assert_eq!(sandbox.error("INSERT INTO k VALUES (1001, 0), (1, 0)").await.sqlstate(), "23505");
    assert_eq!(sandbox.error("UPDATE k SET n = 5 WHERE n = 6").await.sqlstate(), "23505");
    assert_eq!(sandbox.pool.reserved(), full);
    // The keys are compared at the end of the statement.
    assert_eq!(sandbox.rows("UPDATE k SET n = n + 1").await, ["1000"]);
    assert_eq!(sandbox.rows("DELETE FROM k WHERE n > 2").await, ["999"]);
    assert_eq!(sandbox.rows("INSERT INTO k VALUES (1, 0), (3, 0)").await, ["2"]);
    assert_eq!(sandbox.pool.reserved(), table.bytes());
    sandbox.rows("TRUNCATE TABLE k").await;
    assert_eq!((sandbox.pool.reserved(), table.bytes()), (0, 0));
}

#[tokio::test]
async fn a_statement_that_was_planned_before_its_table_was_altered_fails() {
    let sandbox = Sandbox::new().await;
    let table = keyed(&sandbox).await;
    sandbox.rows("INSERT INTO k VALUES (1, 1)").await;
    let insert = sandbox.plan("INSERT INTO k VALUES (2, 2)").await.unwrap();
    let update = sandbox.plan("UPDATE k SET v = 5").await.unwrap();
    let state = update.clone().into_parts().0;
    let changes = vec![super::Alteration::DropColumn { column: "v".to_owned(), if_exists: false }];
    super::alter(&sandbox.catalogs, &state, &table, (&public("k"), &public("k")), changes).await.unwrap();
    for late in [insert, update] {
        let error = crate::error::Error::from(late.collect().await.unwrap_err());
        assert_eq!((error.code(), error.sqlstate()), ("CONCURRENT_CHANGE", "40001"), "{error}");
    }
    assert_eq!(sandbox.rows("SELECT * FROM k").await, ["1"]);
    assert_eq!(sandbox.error("INSERT INTO k VALUES (1)").await.sqlstate(), "23505");
    sandbox.rows("INSERT INTO k VALUES (2)").await;
}

#[tokio::test]
async fn a_plan_that_is_dropped_gives_its_turn_to_the_next() {
    let sandbox = Sandbox::new().await;
    five(&sandbox).await;
    // The subquery runs first, so that the statement has its turn before the table is written to.
    let update = sandbox.plan("UPDATE t SET odd = (SELECT max(n) FROM t)").await.unwrap();
    let mut rows = update.execute_stream().await.unwrap();
    assert!(futures::poll!(rows.next()).is_pending());
    drop(rows);
    assert_eq!(sandbox.rows("DELETE FROM t").await, ["5"]);
}

/// A table `k` with a primary key `n` and a column `v`.
async fn keyed(sandbox: &Sandbox) -> Arc<super::MemoryTable> {
    let fields = ["n", "v"].map(|name| Field::new(name, DataType::Int64, true));
    let mut shape = super::Shape::plain(Arc::new(Schema::new(fields.to_vec())));
    shape.add("k", super::NewConstraint::Key { name: None, primary: true, columns: vec!["n".to_owned()] }).unwrap();
    create(sandbox, "k", shape).await
}

async fn create(sandbox: &Sandbox, name: &str, shape: super::Shape) -> Arc<super::MemoryTable> {
    let table = Arc::new(super::MemoryTable::new(name, shape, &sandbox.pool).unwrap());
    let new = crate::catalog::NewTable::Memory(Arc::clone(&table));
    sandbox.catalogs.create_table(&public(name), new, IfExists::Fail).await.unwrap();
    table
}

#[tokio::test]
async fn a_required_column_refuses_missing_values() {
    let sandbox = Sandbox::new().await;
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let table = create(&sandbox, "t", super::Shape::plain(schema)).await;
    sandbox.rows("INSERT INTO t VALUES (1)").await;
    assert_eq!(sandbox.error("INSERT INTO t VALUES (2), (NULL)").await.sqlstate(), "23502");
    assert_eq!(table.rows(), 1);
}
