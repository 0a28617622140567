use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use super::*;

fn one(value: Value) -> Result<ScalarValue> {
    read(&json!([value]).to_string())
}

fn read(text: &str) -> Result<ScalarValue> {
    match Parameters::from_json(&serde_json::from_str::<Box<RawValue>>(text).unwrap())? {
        Parameters::Positional(mut values) => Ok(values.remove(0)),
        other => panic!("not positional: {other:?}"),
    }
}

fn raw(json: &Value) -> Box<RawValue> {
    to_raw_value(json).unwrap()
}

#[test]
fn numbers_keep_their_digits() {
    for (json, shown) in [
        ("[12345678901234567890.12]", "12345678901234567890.12"),
        ("[-9223372036854775809]", "-9223372036854775809"),
        ("[0.10]", "0.1"),
        ("[1e3]", "1000.0"),
        ("[{\"type\": \"DECIMAL(30,2)\", \"value\": 12345678901234567890.12}]", "12345678901234567890.12"),
        ("[[12345678901234567890.12, 3]]", "[12345678901234567890.12, 3.00]"),
    ] {
        let array = read(json).unwrap().to_array().unwrap();
        let told = datafusion::arrow::util::display::array_value_to_string(&array, 0).unwrap();
        assert_eq!(told, shown, "{json}");
    }
    assert!(read("[1e400]").unwrap_err().message().contains("out of the range of DOUBLE"));
    assert!(read(&format!("[1{}]", "0".repeat(76))).unwrap_err().message().contains("more than 76 digits"));
}

#[test]
fn plain_values_take_the_type_of_their_json() {
    for (json, expected) in [
        (json!(null), ScalarValue::Null),
        (json!(true), ScalarValue::Boolean(Some(true))),
        (json!(-7), ScalarValue::Int64(Some(-7))),
        (json!(u64::MAX), ScalarValue::UInt64(Some(u64::MAX))),
        (json!(0.5), ScalarValue::Float64(Some(0.5))),
        (json!("a"), ScalarValue::Utf8(Some("a".to_owned()))),
    ] {
        assert_eq!(one(json).unwrap(), expected);
    }
}

#[test]
fn typed_values_are_parsed_as_their_type() {
    for (name, value, text) in [
        ("DATE", json!("2024-02-29"), "2024-02-29"),
        ("timestamp(6)", json!("2024-02-29T12:00:00.5"), "2024-02-29T12:00:00.500"),
        ("TIMESTAMP WITH TIME ZONE", json!("2024-02-29T12:00:00+02:00"), "2024-02-29T10:00:00Z"),
        ("TIME", json!("23:59:59"), "23:59:59"),
        ("DECIMAL(30, 2)", json!("12345678901234567890.12"), "12345678901234567890.12"),
        ("smallint", json!(12), "12"),
        ("bigint unsigned", json!("18446744073709551615"), "18446744073709551615"),
        ("DOUBLE PRECISION", json!(1), "1.0"),
        ("BOOLEAN", json!(false), "false"),
        ("BIGINT[]", json!([1, null, 3]), "[1, , 3]"),
    ] {
        let parsed = one(json!({"type": name, "value": value})).unwrap();
        let array = parsed.to_array().unwrap();
        let shown = datafusion::arrow::util::display::array_value_to_string(&array, 0).unwrap();
        assert_eq!(shown, text, "{name}");
    }
    assert_eq!(one(json!({"type": "BYTEA", "value": "AAH/"})).unwrap(), ScalarValue::Binary(Some(vec![0, 1, 255])));
    assert_eq!(one(json!({"type": "DATE", "value": null})).unwrap(), ScalarValue::Date32(None));
}

#[test]
fn arrays_find_a_common_type() {
    let element = |json: Value| match one(json).unwrap() {
        ScalarValue::List(list) => list.value_type(),
        other => panic!("not a list: {other:?}"),
    };
    assert_eq!(element(json!([1, null, 2])), DataType::Int64);
    assert_eq!(element(json!([1, 2.5])), DataType::Float64);
    assert_eq!(element(json!([-1, u64::MAX])), DataType::Decimal128(20, 0));
    assert_eq!(element(json!([])), DataType::Null);
    assert_eq!(element(json!([[], [1], null])), DataType::new_list(DataType::Int64, true));
    let error = one(json!([1, "a"])).unwrap_err();
    assert_eq!(error.message(), "parameter $1 mixes elements of types Int64 and Utf8");
}

#[test]
fn objects_name_their_parameters() {
    let parameters = Parameters::from_json(&raw(&json!({"low": 1, "$high": {"type": "INTEGER", "value": 2}}))).unwrap();
    let expected = [("high", ScalarValue::Int32(Some(2))), ("low", ScalarValue::Int64(Some(1)))];
    assert_eq!(parameters, Parameters::Named(expected.map(|(name, value)| (name.to_owned(), value)).into()));
    assert_eq!(Parameters::from_json(&raw(&json!([]))).unwrap(), Parameters::None);
}

#[test]
fn refusals_name_the_parameter() {
    for (json, message) in [
        (json!([1, {"type": "DATE", "value": "soon"}]), "parameter $2 has the value 'soon', which is not a DATE"),
        (json!([{"type": "TINYINT", "value": 300}]), "parameter $1 has the value '300', which is not a TINYINT"),
        (json!([{"type": "POINT", "value": 1}]), "parameter $1 has the unknown type 'POINT'"),
        (json!({"a": {"b": 1}}), "parameter $a is an object without type and value"),
        (json!({"a": 1, "$a": 2}), "parameter $a is given twice"),
        (json!([{"type": "BYTEA", "value": "%"}]), "parameter $1 is not base64"),
        (json!(7), "params is neither an array nor an object"),
    ] {
        let error = Parameters::from_json(&raw(&json)).unwrap_err();
        assert_eq!(error.message(), message);
        assert_eq!(error.code(), "INVALID_PARAMETER");
    }
}
