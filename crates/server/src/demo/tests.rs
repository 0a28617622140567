use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

const TINY: DemoSize = DemoSize { tpch_scale: 0.001, timeseries_rows: 20_000 };

fn reader(table: &TableConfig) -> ParquetRecordBatchReaderBuilder<File> {
    ParquetRecordBatchReaderBuilder::try_new(File::open(&table.location).unwrap()).unwrap()
}

fn modified(table: &TableConfig) -> std::time::SystemTime {
    fs::metadata(&table.location).unwrap().modified().unwrap()
}

#[test]
fn demo_files_hold_the_declared_tables_and_are_reused() {
    let data_dir = tempfile::tempdir().unwrap();
    let demo = prepare(data_dir.path(), TINY).unwrap();
    assert!(!demo.reused);
    let tables = &demo.catalog.schemas[SCHEMA].tables;

    let rows: BTreeMap<_, _> = tables
        .iter()
        .map(|(name, table)| (name.as_str(), reader(table).metadata().file_metadata().num_rows()))
        .collect();
    let expected = [
        ("customer", 150),
        ("lineitem", 6_005),
        ("nation", 25),
        ("orders", 1_500),
        ("part", 200),
        ("partsupp", 800),
        ("region", 5),
        ("supplier", 10),
        ("timeseries", 20_000),
    ];
    assert_eq!(rows, expected.into());

    let lineitem = reader(&tables["lineitem"]);
    assert_eq!(lineitem.schema().field_with_name("l_comment").unwrap().data_type(), &DataType::Utf8);
    let price = lineitem.schema().field_with_name("l_extendedprice").unwrap().data_type().clone();
    assert_eq!(price, DataType::Decimal128(15, 2));

    let written = modified(&tables["lineitem"]);
    let again = prepare(data_dir.path(), TINY).unwrap();
    assert!(again.reused);
    assert_eq!(modified(&again.catalog.schemas[SCHEMA].tables["lineitem"]), written);
    let names: Vec<_> = fs::read_dir(data_dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["demo"]);
}

#[test]
fn other_sizes_and_unfinished_folders_are_made_anew() {
    let data_dir = tempfile::tempdir().unwrap();
    fs::create_dir(data_dir.path().join("demo")).unwrap();
    fs::write(data_dir.path().join("demo/lineitem.parquet"), "half a fi").unwrap();
    let demo = prepare(data_dir.path(), TINY).unwrap();
    assert!(!demo.reused);
    assert_eq!(reader(&demo.catalog.schemas[SCHEMA].tables["region"]).metadata().file_metadata().num_rows(), 5);

    let larger = DemoSize { timeseries_rows: 30_000, ..TINY };
    let demo = prepare(data_dir.path(), larger).unwrap();
    let timeseries = reader(&demo.catalog.schemas[SCHEMA].tables["timeseries"]);
    assert_eq!(timeseries.metadata().file_metadata().num_rows(), 30_000);
}

#[test]
fn timeseries_is_deterministic_and_has_gaps() {
    let batches = || timeseries::Timeseries::new(10_000).collect::<Result<Vec<_>, _>>().unwrap();
    let first = batches();
    assert_eq!(first, batches());
    let nulls: usize = first.iter().map(|batch| batch.column(2).null_count()).sum();
    assert!((1..1_000).contains(&nulls), "{nulls}");
}
