//! Each type's text, in JSON and in the text formats.

use arrow::array::*;
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::*;

use super::*;

/// The JSON text of the first row of a column, and its bare text.
async fn written(array: ArrayRef) -> (String, String) {
    let batch = batch(vec![("c", array)]);
    let json = text(&batch, JSON).await;
    let (_, rows) = json.split_once("\"rows\":[\n[").unwrap();
    let (row, _) = rows.split_once("]],\"stats\"").unwrap();
    serde_json::from_str::<serde_json::Value>(&json).unwrap();
    let tsv = text(&batch, Format::Tsv { header: Header::Absent }).await;
    (row.to_owned(), tsv.strip_suffix('\n').unwrap().to_owned())
}

async fn assert_written(cases: Vec<(ArrayRef, &str, &str)>) {
    for (array, json, text) in cases {
        let data_type = array.data_type().clone();
        assert_eq!(written(Arc::clone(&array)).await, (json.to_owned(), text.to_owned()), "{data_type}");
        // A null in any type, also where the value stands in a slice.
        let null = new_null_array(&data_type, 1);
        let both = arrow::compute::concat(&[&null, &array]);
        if let Ok(both) = both {
            assert_eq!(written(both.slice(0, 1)).await, ("null".to_owned(), "\\N".to_owned()), "{data_type}");
            assert_eq!(written(both.slice(1, 1)).await.0, json, "{data_type} in a slice");
        }
    }
}

fn array(array: impl Array + 'static) -> ArrayRef {
    Arc::new(array)
}

#[tokio::test]
async fn numbers() {
    let decimal = |value, precision, scale| {
        array(Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale).unwrap())
    };
    assert_written(vec![
        (array(BooleanArray::from(vec![true])), "true", "true"),
        (array(Int8Array::from(vec![-128])), "-128", "-128"),
        (array(UInt16Array::from(vec![65_535])), "65535", "65535"),
        (array(Int64Array::from(vec![i64::MIN])), "-9223372036854775808", "-9223372036854775808"),
        (array(UInt64Array::from(vec![u64::MAX])), "18446744073709551615", "18446744073709551615"),
        (array(Float32Array::from(vec![0.1])), "0.1", "0.1"),
        (array(Float64Array::from(vec![3.0])), "3.0", "3.0"),
        (array(Float64Array::from(vec![f64::NEG_INFINITY])), "null", "-Infinity"),
        (decimal(150, 5, 2), "\"1.50\"", "1.50"),
        (decimal(-5, 5, 3), "\"-0.005\"", "-0.005"),
        (decimal(0, 5, 2), "\"0.00\"", "0.00"),
        (decimal(12, 5, -2), "\"1200\"", "1200"),
        (
            array(Decimal256Array::from(vec![arrow::datatypes::i256::from_i128(-7)])),
            "\"-0.0000000007\"",
            "-0.0000000007",
        ),
    ])
    .await;
}

#[tokio::test]
async fn strings_and_binary() {
    assert_written(vec![
        (array(StringArray::from(vec!["\u{1}\"\u{1F600}"])), "\"\\u0001\\\"\u{1F600}\"", "\u{1}\"\u{1F600}"),
        (array(LargeStringArray::from(vec!["a\tb"])), "\"a\\tb\"", "a\\tb"),
        (
            array(StringViewArray::from(vec!["longer than twelve bytes"])),
            "\"longer than twelve bytes\"",
            "longer than twelve bytes",
        ),
        (array(BinaryArray::from(vec![&b"\x00\xFF"[..]])), "\"AP8=\"", "AP8="),
        (array(BinaryViewArray::from(vec![&b"abc"[..]])), "\"YWJj\"", "YWJj"),
        (array(FixedSizeBinaryArray::try_from_iter([b"ab"].into_iter()).unwrap()), "\"YWI=\"", "YWI="),
    ])
    .await;
}

#[tokio::test]
async fn dates_times_and_timestamps() {
    let zoned = |nanos, zone: &str| array(TimestampNanosecondArray::from(vec![nanos]).with_timezone(zone));
    let noon = 1_709_208_000_000_000_000;
    for (array, expected) in [
        (array(Date32Array::from(vec![0])), "1970-01-01"),
        (array(Date32Array::from(vec![19_782])), "2024-02-29"),
        (array(Date32Array::from(vec![-719_529])), "-0001-12-31"),
        (array(Date32Array::from(vec![2_932_897])), "+10000-01-01"),
        (array(Date64Array::from(vec![86_400_000])), "1970-01-02"),
        (array(Time32SecondArray::from(vec![86_399])), "23:59:59"),
        (array(Time64MicrosecondArray::from(vec![1_500])), "00:00:00.001500"),
        (array(TimestampSecondArray::from(vec![-1])), "1969-12-31T23:59:59"),
        (array(TimestampMillisecondArray::from(vec![-1])), "1969-12-31T23:59:59.999"),
        (array(TimestampNanosecondArray::from(vec![1_500_000])), "1970-01-01T00:00:00.001500"),
        (array(TimestampMicrosecondArray::from(vec![i64::MAX])), "+294247-01-10T04:00:54.775807"),
        (zoned(noon, "UTC"), "2024-02-29T12:00:00Z"),
        (zoned(noon, "-03:30"), "2024-02-29T08:30:00-03:30"),
        (zoned(noon, "Europe/Berlin"), "2024-02-29T13:00:00+01:00"),
    ] {
        assert_written(vec![(array, &format!("\"{expected}\""), expected)]).await;
    }
}

#[tokio::test]
async fn durations_and_intervals() {
    for (array, expected) in [
        (array(DurationSecondArray::from(vec![0])), "PT0S"),
        (array(DurationMillisecondArray::from(vec![93_784_500])), "PT26H3M4.5S"),
        (array(DurationNanosecondArray::from(vec![-1])), "PT-0.000000001S"),
        (array(IntervalYearMonthArray::from(vec![-14])), "P-1Y-2M"),
        (array(IntervalDayTimeArray::from(vec![IntervalDayTime::new(2, 60_000)])), "P2DT1M"),
        (
            array(IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(13, -3, 3_600_000_000_000)])),
            "P1Y1M-3DT1H",
        ),
    ] {
        assert_written(vec![(array, &format!("\"{expected}\""), expected)]).await;
    }
}

#[tokio::test]
async fn nested_values() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None, Some(3)])]);
    let fixed = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), Some(2)])], 2);
    let item = Arc::new(Field::new_list_field(DataType::Utf8, true));
    let view = ListViewArray::new(
        item,
        ScalarBuffer::from(vec![1]),
        ScalarBuffer::from(vec![2]),
        array(StringArray::from(vec!["x", "y", "z\""])),
        None,
    );
    let inner = StructArray::from(vec![
        (Arc::new(Field::new("a", DataType::Date32, true)), array(Date32Array::from(vec![1]))),
        (Arc::new(Field::new("b \"q\"", list.data_type().clone(), true)), array(list.clone())),
    ]);
    let mut by_name = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    by_name.keys().append_value("k");
    by_name.values().append_null();
    by_name.append(true).unwrap();
    let mut by_number = MapBuilder::new(None, Int64Builder::new(), StringBuilder::new());
    by_number.keys().append_value(7);
    by_number.values().append_value("v");
    by_number.append(true).unwrap();
    assert_written(vec![
        (array(list), "[1,null,3]", "[1,null,3]"),
        (array(fixed), "[1,2]", "[1,2]"),
        (array(view), r#"["y","z\""]"#, r#"["y","z\\""]"#),
        (array(inner), r#"{"a":"1970-01-02","b \"q\"":[1,null,3]}"#, r#"{"a":"1970-01-02","b \\"q\\"":[1,null,3]}"#),
        (array(by_name.finish()), r#"{"k":null}"#, r#"{"k":null}"#),
        (array(by_number.finish()), r#"[[7,"v"]]"#, r#"[[7,"v"]]"#),
    ])
    .await;
}

#[tokio::test]
async fn encoded_values() {
    let dictionary: DictionaryArray<Int8Type> = vec!["a", "b"].into_iter().collect();
    let runs: RunArray<Int32Type> = vec!["r", "r"].into_iter().collect();
    let fields =
        UnionFields::try_new([0, 3], [Field::new("i", DataType::Int64, true), Field::new("s", DataType::Utf8, true)]);
    let union = UnionArray::try_new(
        fields.unwrap(),
        ScalarBuffer::from(vec![3_i8]),
        None,
        vec![array(Int64Array::from(vec![1])), array(StringArray::from(vec!["u"]))],
    );
    for (array, json, text) in [
        (array(dictionary.slice(1, 1)), "\"b\"", "b"),
        (array(runs.slice(1, 1)), "\"r\"", "r"),
        (array(union.unwrap()), "\"u\"", "u"),
        (array(NullArray::new(1)), "null", "\\N"),
    ] {
        assert_eq!(written(array).await, (json.to_owned(), text.to_owned()));
    }
    let null_value = DictionaryArray::new(Int8Array::from(vec![0]), array(StringArray::from(vec![None::<&str>])));
    assert_eq!(written(array(null_value)).await.0, "null");
    let no_values = StringArray::from(Vec::<&str>::new());
    let nothing = DictionaryArray::<Int8Type>::new(Int8Array::from(vec![None]), array(no_values));
    assert_eq!(written(array(nothing)).await.0, "null");
}

#[tokio::test]
async fn wide_integers_become_strings_on_request() {
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)])]);
    let batch = batch(vec![
        ("i", array(Int64Array::from(vec![1]))),
        ("u", array(UInt64Array::from(vec![2]))),
        ("small", array(Int32Array::from(vec![3]))),
        ("x", array(Float64Array::from(vec![f64::INFINITY]))),
        ("list", array(list)),
    ]);
    let format = Format::Json { rows: Rows::Arrays, numbers: Numbers::String, nan: NotANumber::String };
    assert!(text(&batch, format).await.contains(r#"["1","2",3,"Infinity",["1"]]"#));
}
