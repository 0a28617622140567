use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, ListArray, StringArray};
use arrow::datatypes::Int32Type;
use arrow::ipc::reader::{FileReader, StreamReader};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

fn batch() -> RecordBatch {
    let id: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(300)]));
    let name: ArrayRef = Arc::new(StringArray::from(vec![Some("a|b"), Some("x,\"y\"\nz"), None]));
    RecordBatch::try_from_iter([("id", id), ("name", name)]).unwrap()
}

fn write_to(output: &mut Output, format: Format, expanded: bool, batches: &[RecordBatch]) {
    let schema = batches[0].schema();
    let mut writer = output.begin(&schema, Style { format, expanded }).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
}

fn written(format: Format, expanded: bool, batches: &[RecordBatch]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result");
    let mut output = Output::file(&path).unwrap();
    write_to(&mut output, format, expanded, batches);
    assert!(!path.exists(), "the file must not appear before it is whole");
    output.close().unwrap();
    std::fs::read(&path).unwrap()
}

fn text(format: Format, batch: RecordBatch) -> String {
    String::from_utf8(written(format, false, &[batch])).unwrap()
}

#[test]
fn tables_align_numbers_to_the_right_and_show_null() {
    let got = text(Format::Table, batch());
    let expected = [" id   | name", "------+-------", "    1 | a|b", " NULL | x,\"y\"+", "      | z", "  300 | NULL"];
    assert_eq!(got.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn expanded_tables_have_a_line_per_column() {
    let got = String::from_utf8(written(Format::Table, true, &[batch().slice(0, 1)])).unwrap();
    assert_eq!(got, "-[ row 1 ]-\nid   | 1\nname | a|b\n");
}

#[test]
fn rows_beyond_the_sample_are_all_written() {
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(0..5_000));
    let got = text(Format::Table, RecordBatch::try_from_iter([("id", ids)]).unwrap());
    assert_eq!(got.lines().count(), 5_002);
    assert_eq!(got.lines().last(), Some(" 4999"));
}

#[test]
fn text_formats_quote_what_they_must() {
    assert_eq!(text(Format::Csv, batch()), "id,name\n1,a|b\n,\"x,\"\"y\"\"\nz\"\n300,\n");
    assert_eq!(
        text(Format::Ndjson, batch()),
        "{\"id\":1,\"name\":\"a|b\"}\n{\"id\":null,\"name\":\"x,\\\"y\\\"\\nz\"}\n{\"id\":300,\"name\":null}\n"
    );
    assert_eq!(
        text(Format::Markdown, batch()),
        "| id | name |\n| ---: | --- |\n| 1 | a\\|b |\n| NULL | x,\"y\"<br>z |\n| 300 | NULL |\n"
    );
    let json: serde_json::Value = serde_json::from_str(&text(Format::Json, batch())).unwrap();
    assert_eq!(json[1], serde_json::json!({"id": null, "name": "x,\"y\"\nz"}));
}

#[test]
fn several_results_can_be_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let both = |format| {
        let path = folder.path().join("results");
        let mut output = Output::file(&path).unwrap();
        for _ in 0..2 {
            write_to(&mut output, format, false, &[batch().slice(0, 1)]);
        }
        output.close().unwrap();
        std::fs::read_to_string(&path).unwrap()
    };
    for format in [Format::Table, Format::Csv, Format::Ndjson, Format::Markdown] {
        let one = text(format, batch().slice(0, 1));
        assert_eq!(both(format), format!("{one}\n{one}"), "{format:?}");
    }
    assert_eq!(both(Format::Json), "[{\"id\":1,\"name\":\"a|b\"}]\n".repeat(2));
}

#[test]
fn an_empty_result_still_has_its_columns() {
    let empty = batch().slice(0, 0);
    assert_eq!(text(Format::Csv, empty.clone()), "id,name\n");
    assert_eq!(text(Format::Json, empty.clone()), "[]\n");
    assert_eq!(text(Format::Table, empty).lines().next(), Some(" id | name"));
}

#[test]
fn nested_values_are_json_in_csv() {
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
    let batch = RecordBatch::try_from_iter([("l", Arc::new(lists) as ArrayRef)]).unwrap();
    assert_eq!(text(Format::Csv, batch), "l\n\"[1,null]\"\n\"\"\n");
}

#[test]
fn binary_formats_read_back() {
    let parquet = written(Format::Parquet, false, &[batch()]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), parquet).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.reopen().unwrap()).unwrap().build().unwrap();
    assert_eq!(reader.map(Result::unwrap).collect::<Vec<_>>(), [batch()]);

    let arrow = io::Cursor::new(written(Format::Arrow, false, &[batch()]));
    assert_eq!(FileReader::try_new(arrow, None).unwrap().map(Result::unwrap).collect::<Vec<_>>(), [batch()]);

    let mut stream = Vec::new();
    let mut writer: Box<dyn ResultWriter> = Box::new(binary::ArrowStream::new(&mut stream, &batch().schema()).unwrap());
    writer.write(&batch()).unwrap();
    writer.finish().unwrap();
    let stream = StreamReader::try_new(&*stream, None).unwrap();
    assert_eq!(stream.map(Result::unwrap).collect::<Vec<_>>(), [batch()]);
}

#[test]
fn a_binary_file_holds_one_result_and_an_abandoned_file_vanishes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result.parquet");
    let mut output = Output::file(&path).unwrap();
    write_to(&mut output, Format::Parquet, false, &[batch()]);
    let second = output.begin(&batch().schema(), Style { format: Format::Parquet, expanded: false });
    assert!(matches!(second.err(), Some(Failure::Usage(_))));
    drop(output);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
