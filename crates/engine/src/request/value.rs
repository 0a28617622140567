//! Parameters as JSON: plain values, whose SQL type follows from the JSON type, and typed ones, `{"type": .., "value": ..}`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;
use serde_json::Value;

use super::Parameters;
use crate::error::{Error, Result, Subject};

#[cfg(test)]
mod tests;
mod type_name;

/// Arrays within arrays beyond this depth are refused.
const MAX_DEPTH: usize = 16;

impl Parameters {
    /// Reads a JSON array as positional parameters, an object as named ones, `null` as none.
    ///
    /// `null` is a null without a type, `true` a `BOOLEAN`; a whole number is a `BIGINT`, or `BIGINT UNSIGNED` if only that
    /// holds it; any other number is a `DOUBLE`; a string is a `VARCHAR`; an array is a list of the one type that holds its
    /// elements. What needs another type says so: `{"type": "DATE", "value": "2024-01-31"}`. Numbers that a `DOUBLE` would
    /// round, such as decimals, are exact as `{"type": "DECIMAL(30,2)", "value": "12345678901234567890.12"}`.
    ///
    /// # Errors
    /// `Invalid`, naming the parameter as `$1` or `$name`.
    pub fn from_json(json: &Value) -> Result<Self> {
        match json {
            Value::Null => Ok(Self::None),
            Value::Array(values) if values.is_empty() => Ok(Self::None),
            Value::Array(values) => {
                let values = values.iter().enumerate().map(|(n, value)| parse(value, &format!("${}", n + 1)));
                Ok(Self::Positional(values.collect::<Result<_>>()?))
            }
            Value::Object(values) if values.is_empty() => Ok(Self::None),
            Value::Object(values) => {
                let mut named = BTreeMap::new();
                for (name, value) in values {
                    let name = name.strip_prefix('$').unwrap_or(name);
                    let value = parse(value, &format!("${name}"))?;
                    if named.insert(name.to_owned(), value).is_some() {
                        return Err(refuse(&format!("${name}"), "is given twice"));
                    }
                }
                Ok(Self::Named(named))
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                Err(Error::invalid("params is neither an array nor an object")
                    .about(Subject::Parameter)
                    .hint("write [1, \"a\"] for $1 and $2, or {\"name\": 1} for $name"))
            }
        }
    }
}

fn parse(json: &Value, place: &str) -> Result<ScalarValue> {
    let Value::Object(object) = json else { return plain(json, place, 0) };
    let (Some(Value::String(name)), Some(value)) = (object.get("type"), object.get("value")) else {
        return Err(refuse(place, "is an object without type and value")
            .hint("write {\"type\": \"DATE\", \"value\": \"2024-01-31\"}"));
    };
    if let Some(key) = object.keys().find(|key| !matches!(key.as_str(), "type" | "value")) {
        return Err(
            refuse(place, &format!("has a member '{key}'")).hint("a typed value has the members type and value")
        );
    }
    let Some(data_type) = type_name::parse(name) else {
        return Err(refuse(place, &format!("has the unknown type '{name}'")).hint(type_name::KNOWN));
    };
    typed(value, &data_type, name, place)
}

fn plain(json: &Value, place: &str, depth: usize) -> Result<ScalarValue> {
    Ok(match json {
        Value::Null => ScalarValue::Null,
        Value::Bool(value) => ScalarValue::Boolean(Some(*value)),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), _, _) => ScalarValue::Int64(Some(value)),
            (None, Some(value), _) => ScalarValue::UInt64(Some(value)),
            (None, None, value) => ScalarValue::Float64(value),
        },
        Value::String(text) => ScalarValue::Utf8(Some(text.clone())),
        Value::Array(_) if depth == MAX_DEPTH => {
            return Err(refuse(place, &format!("has more than {MAX_DEPTH} levels of arrays")));
        }
        Value::Array(items) => {
            let items = items.iter().map(|item| plain(item, place, depth + 1)).collect::<Result<Vec<_>>>()?;
            let mut element = DataType::Null;
            for item in &items {
                element = common(&element, &item.data_type()).ok_or_else(|| {
                    refuse(place, &format!("mixes elements of types {element} and {}", item.data_type()))
                        .hint("give the elements one type")
                })?;
            }
            list(items, &element, place)?
        }
        Value::Object(_) => return Err(refuse(place, "has an object within an array").hint("pass JSON as a string")),
    })
}

/// The type that holds values of both.
fn common(left: &DataType, right: &DataType) -> Option<DataType> {
    match (left, right) {
        (left, right) if left == right => Some(left.clone()),
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (DataType::Int64, DataType::UInt64) | (DataType::UInt64, DataType::Int64) => Some(DataType::Decimal128(20, 0)),
        (DataType::Decimal128(20, 0), DataType::Int64 | DataType::UInt64) => Some(DataType::Decimal128(20, 0)),
        (left, right) if left.is_numeric() && right.is_numeric() => Some(DataType::Float64),
        (DataType::List(left), DataType::List(right)) => {
            common(left.data_type(), right.data_type()).map(|element| DataType::new_list(element, true))
        }
        _ => None,
    }
}

fn typed(json: &Value, data_type: &DataType, name: &str, place: &str) -> Result<ScalarValue> {
    let text = match (json, data_type) {
        (Value::Null, _) => return null(data_type, place),
        (Value::Array(items), DataType::List(element)) => {
            let items =
                items.iter().map(|item| typed(item, element.data_type(), name, place)).collect::<Result<_>>()?;
            return list(items, element.data_type(), place);
        }
        (Value::String(text), DataType::Binary) => {
            let bytes = STANDARD.decode(text).map_err(|cause| refuse(place, "is not base64").caused_by(cause))?;
            return Ok(ScalarValue::Binary(Some(bytes)));
        }
        (Value::String(text), _) => text.clone(),
        (Value::Number(number), data_type) if data_type.is_numeric() => number.to_string(),
        (Value::Bool(value), DataType::Boolean) => value.to_string(),
        (json, _) => return Err(refuse(place, &format!("has the value {json}, which is not a {name}"))),
    };
    ScalarValue::try_from_string(text.clone(), data_type)
        .map_err(|cause| refuse(place, &format!("has the value '{text}', which is not a {name}")).caused_by(cause))
}

fn null(data_type: &DataType, place: &str) -> Result<ScalarValue> {
    ScalarValue::try_from(data_type)
        .map_err(|cause| refuse(place, &format!("cannot be a null of type {data_type}")).caused_by(cause))
}

/// A list of items, each brought to the type first: building a list of unlike items would panic.
fn list(items: Vec<ScalarValue>, element: &DataType, place: &str) -> Result<ScalarValue> {
    let items = items
        .into_iter()
        .map(|item| if item.is_null() { null(element, place) } else { cast(&item, element, place) })
        .collect::<Result<Vec<_>>>()?;
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&items, element)))
}

fn cast(item: &ScalarValue, element: &DataType, place: &str) -> Result<ScalarValue> {
    item.cast_to(element)
        .map_err(|cause| refuse(place, &format!("has an element that is not of type {element}")).caused_by(cause))
}

fn refuse(place: &str, what: &str) -> Error {
    Error::invalid(format!("parameter {place} {what}")).about(Subject::Parameter)
}
