//! One golden text per format, and binary formats read back.

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow::ipc::reader::{FileReader, StreamReader};

use super::*;

#[tokio::test]
async fn json_has_schema_rows_and_stats() {
    let expected = concat!(
        r#"{"schema":[{"name":"id","type":"BIGINT","nullable":true,"arrow_type":"Int64"},"#,
        r#"{"name":"name","type":"VARCHAR","nullable":true,"arrow_type":"Utf8"},"#,
        r#"{"name":"x","type":"DOUBLE","nullable":true,"arrow_type":"Float64"}],"rows":["#,
        "\n",
        r#"[1,"a,\"b\"\n|\\",0.5],"#,
        "\n",
        r#"[-20,"",null],"#,
        "\n",
        r#"[null,null,null]],"stats":{"rows":3}}"#,
        "\n",
    );
    assert_eq!(text(&sample(), JSON).await, expected);
    let document: ResultDocument = serde_json::from_str(expected).unwrap();
    assert_eq!((document.schema.len(), document.rows.len(), document.stats.unwrap().rows), (3, 3, 3));
}

#[tokio::test]
async fn names_that_occur_twice_are_kept_in_arrays_and_numbered_in_objects() {
    let one = || Arc::new(Int64Array::from(vec![1])) as ArrayRef;
    let fields = ["a", "a", "a_2", "a"].map(|name| Field::new(name, DataType::Int64, true));
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), vec![one(), one(), one(), one()]).unwrap();
    let arrays: ResultDocument = serde_json::from_str(&text(&batch, JSON).await).unwrap();
    assert_eq!(arrays.schema.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["a", "a", "a_2", "a"]);
    let objects: ResultDocument = serde_json::from_str(&text(&batch, OBJECTS).await).unwrap();
    let names = objects.schema.iter().map(|column| column.name.as_str()).collect::<Vec<_>>();
    assert_eq!(names, ["a", "a_3", "a_2", "a_4"]);
    assert_eq!(objects.rows[0].as_object().unwrap().keys().collect::<Vec<_>>(), names);
}

#[tokio::test]
async fn ndjson_is_an_object_per_line() {
    let format = Format::Ndjson { header: Header::Absent, numbers: Numbers::String, nan: NotANumber::String };
    let expected = concat!(
        r#"{"id":"1","name":"a,\"b\"\n|\\","x":0.5}"#,
        "\n",
        r#"{"id":"-20","name":"","x":"NaN"}"#,
        "\n",
        r#"{"id":null,"name":null,"x":null}"#,
        "\n",
    );
    assert_eq!(text(&sample(), format).await, expected);
}

#[tokio::test]
async fn ndjson_tells_its_columns_on_request() {
    let format = Format::Ndjson { header: Header::Present, numbers: Numbers::Native, nan: NotANumber::Null };
    let text = text(&sample(), format).await;
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["schema"][0]["type"], "BIGINT");
    assert_eq!(text.lines().count(), 4);
}

#[tokio::test]
async fn csv_tells_null_from_the_empty_string() {
    let expected = "id,name,x\r\n1,\"a,\"\"b\"\"\n|\\\",0.5\r\n-20,\"\",NaN\r\n,,\r\n";
    assert_eq!(text(&sample(), Format::Csv { header: Header::Present }).await, expected);
    let rows = expected.strip_prefix("id,name,x\r\n").unwrap();
    assert_eq!(text(&sample(), Format::Csv { header: Header::Absent }).await, rows);
}

#[tokio::test]
async fn tsv_escapes_like_copy() {
    let expected = "id\tname\tx\n1\ta,\"b\"\\n|\\\\\t0.5\n-20\t\tNaN\n\\N\t\\N\t\\N\n";
    assert_eq!(text(&sample(), Format::Tsv { header: Header::Present }).await, expected);
}

#[tokio::test]
async fn markdown_cells_stay_within_their_bars() {
    let expected = "| id | name | x |\n| ---: | --- | ---: |\n| 1 | a,\"b\"<br>\\|\\ | 0.5 |\n| -20 |  | NaN |\n| NULL | NULL | NULL |\n";
    assert_eq!(text(&sample(), Format::Markdown).await, expected);
}

#[tokio::test]
async fn html_is_a_table_and_data_stay_text() {
    let expected = concat!(
        "<table>\n<thead>\n<tr>",
        "<th scope=\"col\">id</th><th scope=\"col\">name</th><th scope=\"col\">x</th></tr>\n</thead>\n<tbody>\n",
        "<tr><td class=\"number\">1</td><td>a,&quot;b&quot;\n|\\</td><td class=\"number\">0.5</td></tr>\n",
        "<tr><td class=\"number\">-20</td><td></td><td class=\"number\">NaN</td></tr>\n",
        "<tr><td class=\"null\">NULL</td><td class=\"null\">NULL</td><td class=\"null\">NULL</td></tr>\n",
        "</tbody>\n</table>\n",
    );
    assert_eq!(text(&sample(), Format::Html).await, expected);
    let markup = batch(vec![("<b>", Arc::new(StringArray::from(vec!["<script>alert('&')</script>\0"])))]);
    let table = text(&markup, Format::Html).await;
    assert!(table.contains(">&lt;b&gt;</th>"));
    assert!(table.contains("<td>&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;\u{FFFD}</td>"));
}

#[tokio::test]
async fn text_is_aligned() {
    let expected = "\
+------+-------+------+
| id   | name  | x    |
+------+-------+------+
|    1 | a,\"b\"+|  0.5 |
|      | |\\    |      |
|  -20 |       |  NaN |
| NULL | NULL  | NULL |
+------+-------+------+
(3 rows)
";
    assert_eq!(text(&sample(), Format::Text).await, expected);
}

#[tokio::test]
async fn a_text_table_cuts_nothing_and_pads_in_bounds() {
    let long = "x".repeat(100);
    let batch = batch(vec![("name", Arc::new(StringArray::from(vec![Some(long.as_str()), Some("short")])))]);
    let table = text(&batch, Format::Text).await;
    assert!(table.contains(&format!("| {long} |\n")));
    assert!(table.contains(&format!("| short{} |\n", " ".repeat(59))));
}

#[tokio::test]
async fn arrow_and_parquet_read_back_as_they_were() {
    let fine = sample().project(&[0, 1]).unwrap();
    for codec in [Codec::None, Codec::Zstd, Codec::Lz4] {
        let bytes = encoded(&fine, Format::ArrowStream { codec }).await;
        let read: Vec<_> = StreamReader::try_new(io::Cursor::new(bytes), None).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, std::slice::from_ref(&fine));
        let bytes = encoded(&fine, Format::ArrowFile { codec }).await;
        let read: Vec<_> = FileReader::try_new(io::Cursor::new(bytes), None).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, std::slice::from_ref(&fine));
    }
    let bytes = Bytes::from(encoded(&fine, Format::Parquet).await);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
    assert_eq!(reader.map(Result::unwrap).collect::<Vec<_>>(), [fine]);
}

#[tokio::test]
async fn results_without_columns_have_a_document_in_every_format() {
    let schema = SchemaRef::new(Schema::empty());
    for format in formats() {
        let (chunks, outcome) = chunks(vec![], Arc::clone(&schema), format).await;
        assert!(matches!(outcome, Outcome::Finished(_)), "{format:?}");
        let bytes = chunks.into_iter().map(io::Result::unwrap).collect::<Vec<_>>().concat();
        match format {
            Format::Json { .. } => assert_eq!(bytes, b"{\"schema\":[],\"rows\":[],\"stats\":{\"rows\":0}}\n"),
            Format::Ndjson { .. } | Format::Csv { .. } | Format::Tsv { .. } => assert_eq!(bytes, b""),
            Format::Markdown | Format::Text => assert_eq!(bytes, b"OK\n"),
            Format::Html => assert_eq!(bytes, b"<p>OK</p>\n"),
            Format::ArrowStream { .. } => {
                assert_eq!(StreamReader::try_new(io::Cursor::new(bytes), None).unwrap().schema(), schema);
            }
            Format::ArrowFile { .. } => {
                assert_eq!(FileReader::try_new(io::Cursor::new(bytes), None).unwrap().schema(), schema);
            }
            Format::Parquet => {
                let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap();
                assert_eq!(reader.schema().fields().len(), 0);
            }
        }
    }
}

#[tokio::test]
async fn rows_without_columns_are_counted() {
    let options = RecordBatchOptions::new().with_row_count(Some(2));
    let batch = RecordBatch::try_new_with_options(SchemaRef::new(Schema::empty()), vec![], &options).unwrap();
    assert_eq!(text(&batch, JSON).await, "{\"schema\":[],\"rows\":[\n[],\n[]],\"stats\":{\"rows\":2}}\n");
    assert!(text(&batch, Format::Text).await.ends_with("(2 rows)\n"));
    let bytes = encoded(&batch, Format::ArrowStream { codec: Codec::None }).await;
    let rows: usize =
        StreamReader::try_new(io::Cursor::new(bytes), None).unwrap().map(|read| read.unwrap().num_rows()).sum();
    assert_eq!(rows, 2);
}
