use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};

use super::{Files, context, stores};
use crate::storage::{ReadCounter, TableDefinition, counted};
use crate::{ErrorKind, Subject};

#[tokio::test]
async fn every_format_comes_back_as_it_was_written() {
    for (extension, stored_as) in [("parquet", "PARQUET"), ("csv", "CSV"), ("json", "JSON"), ("arrow", "ARROW")] {
        let files = Files::new();
        let path = files.path(&format!("t.{extension}"));
        let sql = format!("COPY (SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, 'y') TO '{path}' STORED AS {stored_as}");
        files.context.sql(&sql).await.unwrap().collect().await.unwrap();
        let rows = files.rows(&format!("t.{extension}"), &[], "SELECT a, b FROM t ORDER BY a").await;
        assert_eq!(rows, ["1,x", "2,y"], "{extension}");
    }
}

#[tokio::test]
async fn compressed_text_is_known_by_its_name() {
    let files = Files::new();
    let path = files.path("t.csv.gz");
    let sql = format!("COPY (SELECT 1 AS a) TO '{path}' STORED AS CSV OPTIONS ('format.compression' 'gzip')");
    files.context.sql(&sql).await.unwrap().collect().await.unwrap();
    assert_eq!(files.rows("t.csv.gz", &[], "SELECT a FROM t").await, ["1"]);
}

#[tokio::test]
async fn patterns_choose_files_across_hive_folders() {
    let files = Files::with(&[
        ("s/year=2023/month=12/a.csv", "v\n1\n"),
        ("s/year=2024/month=01/a.csv", "v\n2\n"),
        ("s/year=2024/month=02/b.csv", "v\n3\n"),
        ("s/_tmp/c.csv", "v\n9\n"),
    ]);
    let all = "SELECT v, year, month FROM t ORDER BY v";
    assert_eq!(files.rows("s/", &[], all).await, ["1,2023,12", "2,2024,1", "3,2024,2"]);
    assert_eq!(files.rows("s/year=2024/*/*.csv", &[], all).await, ["2,2024,1", "3,2024,2"]);
    assert_eq!(files.rows("s/**/{a,x}.csv", &[], all).await, ["1,2023,12", "2,2024,1"]);
    assert_eq!(files.rows("s/", &[], "SELECT v FROM t WHERE year = 2024 AND month > 1").await, ["3"]);
    assert_eq!(files.rows("s/", &[("hive", "false")], "SELECT * FROM t ORDER BY 1").await, ["1", "2", "3"]);
}

#[tokio::test]
async fn files_that_come_later_are_seen() {
    let files = Files::with(&[("in/a.csv", "v\n1\n")]);
    let table = files.open("in/*.csv", &[]).await.unwrap();
    files.write("in/b.csv", "v\n2\n");
    assert_eq!(files.query(table, "SELECT v FROM t ORDER BY v").await, ["1", "2"]);
}

#[tokio::test]
async fn csv_options_are_obeyed() {
    let files = Files::with(&[("t.csv", "# made by hand\n1;;'a;b'\n2;5;c\n"), ("t.tsv", "a\tb\n1\t2\n")]);
    let options = [("header", "false"), ("delim", ";"), ("quote", "'"), ("comment", "#")];
    let rows = files.rows("t.csv", &options, "SELECT * FROM t ORDER BY 1").await;
    assert_eq!(rows, ["1,,a;b", "2,5,c"]);
    assert_eq!(files.rows("t.tsv", &[], "SELECT a + b FROM t").await, ["3"]);
}

#[tokio::test]
async fn json_arrays_and_lines_are_told_apart() {
    let files = Files::with(&[("a.json", " [{\"x\": 1}, {\"x\": 2}]"), ("b.json", "{\"x\": 3}\n{\"x\": 4}\n")]);
    assert_eq!(files.rows("a.json", &[], "SELECT x FROM t ORDER BY x").await, ["1", "2"]);
    assert_eq!(files.rows("b.json", &[], "SELECT x FROM t ORDER BY x").await, ["3", "4"]);
}

#[tokio::test]
async fn columns_of_all_files_are_merged_and_widened() {
    let files = Files::with(&[("a.json", "{\"x\": 1}\n"), ("b.json", "{\"x\": 1.5, \"y\": true}\n")]);
    assert_eq!(files.rows("*.json", &[], "SELECT x, y FROM t ORDER BY x").await, ["1.0,", "1.5,true"]);
}

#[tokio::test]
async fn csv_files_with_other_columns_are_refused() {
    let files = Files::with(&[("a.csv", "x,y\n1,2\n"), ("b.csv", "y,x\n1,2\n")]);
    let error = files.failure("*.csv", &[]).await;
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.message().contains("different columns"), "{error}");
}

#[tokio::test]
async fn mistakes_name_what_is_wrong() {
    let files = Files::with(&[("orders.csv", "a\n1\n"), ("x.txt", "a"), ("m/a.csv", "a\n1\n"), ("m/b.json", "{}")]);
    let missing = files.failure("order.csv", &[]).await;
    assert_eq!((missing.kind(), missing.subject()), (ErrorKind::NotFound, Some(Subject::File)));
    assert_eq!(missing.suggestions(), ["orders.csv"]);
    let unmatched = files.failure("*.parquet", &[]).await;
    assert_eq!(unmatched.kind(), ErrorKind::NotFound);
    assert!(unmatched.message().contains("*.parquet"), "{unmatched}");
    assert!(files.failure("x.txt", &[]).await.message().contains("does not tell its format"));
    assert!(files.failure("m/", &[]).await.message().contains("more than one format"));
    let unknown = files.failure("orders.csv", &[("headr", "true")]).await;
    assert_eq!(unknown.suggestions(), ["header"]);
    let null = files.failure("orders.csv", &[("nullstr", "NA")]).await;
    assert!(null.message().contains("NULLIF(column, 'NA')"), "{null}");
    let bad = files.failure("orders.csv", &[("header", "perhaps")]).await;
    assert!(bad.message().contains("'header' can not be 'perhaps'"), "{bad}");
}

#[tokio::test]
async fn too_many_files_are_refused() {
    let names: Vec<String> = (0..6).map(|number| format!("{number}.csv")).collect();
    let files = Files::new();
    for name in &names {
        files.write(name, "a\n1\n");
    }
    let error = files.failure("*.csv", &[]).await;
    assert_eq!(error.kind(), ErrorKind::Resources);
    assert!(error.hint_text().unwrap().contains("storage.max_files_per_scan"));
}

#[tokio::test]
async fn rows_are_inserted_into_a_folder_by_partition() {
    let files = Files::new();
    std::fs::create_dir(files.folder.path().join("out")).unwrap();
    let columns = [("v", DataType::Int64), ("k", DataType::Utf8)];
    let fields: Vec<Field> = columns.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect();
    let definition = TableDefinition {
        locations: vec![files.path("out/")],
        format: Some("parquet".to_owned()),
        partitioned_by: vec!["k".to_owned()],
        schema: Some(Arc::new(Schema::new(fields))),
        ..TableDefinition::default()
    };
    let table = files.open_definition(definition).await.unwrap();
    files.query(Arc::clone(&table), "INSERT INTO t VALUES (1, 'a'), (2, 'b')").await;
    assert!(files.folder.path().join("out/k=a").is_dir());
    assert_eq!(files.query(table, "SELECT k, v FROM t ORDER BY v").await, ["a,1", "b,2"]);
}

#[tokio::test]
async fn what_a_query_reads_is_counted() {
    let mut files = Files::with(&[("t.csv", "a\n1\n2\n")]);
    let table = files.open("t.csv", &[]).await.unwrap();
    let counter = Arc::new(ReadCounter::default());
    files.context = context(counted(stores(), Arc::clone(&counter)));
    files.query(table, "SELECT sum(a) FROM t").await;
    assert_eq!(counter.bytes(), 6);
}
