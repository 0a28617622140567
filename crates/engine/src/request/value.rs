//! Parameters as JSON: plain values, whose SQL type follows from the JSON type, and typed ones, `{"type": .., "value": ..}`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType};
use datafusion::scalar::ScalarValue;
use serde_json::value::RawValue;

use super::Parameters;
use crate::digits::{Digits, has_exponent, is_exact};
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
    /// holds it; any other number is a `DOUBLE`, unless a `DOUBLE` would tell other digits: then it is a `DECIMAL` of as many
    /// digits, as in SQL; a string is a `VARCHAR`; an array is a list of the one type that holds its elements. What needs
    /// another type says so: `{"type": "DATE", "value": "2024-01-31"}`.
    ///
    /// # Errors
    /// `Invalid`, naming the parameter as `$1` or `$name`.
    pub fn from_json(json: &RawValue) -> Result<Self> {
        match Json::of(json, "params")? {
            Json::Null => Ok(Self::None),
            Json::Array(values) if values.is_empty() => Ok(Self::None),
            Json::Array(values) => {
                let values = values.iter().enumerate().map(|(n, value)| parse(value, &format!("${}", n + 1)));
                Ok(Self::Positional(values.collect::<Result<_>>()?))
            }
            Json::Object(values) if values.is_empty() => Ok(Self::None),
            Json::Object(values) => {
                let mut named = BTreeMap::new();
                for (name, value) in values {
                    let name = name.strip_prefix('$').unwrap_or(&name);
                    let value = parse(value, &format!("${name}"))?;
                    if named.insert(name.to_owned(), value).is_some() {
                        return Err(refuse(&format!("${name}"), "is given twice"));
                    }
                }
                Ok(Self::Named(named))
            }
            Json::Bool(_) | Json::Number(_) | Json::Text(_) => {
                Err(Error::invalid("params is neither an array nor an object")
                    .about(Subject::Parameter)
                    .hint("write [1, \"a\"] for $1 and $2, or {\"name\": 1} for $name"))
            }
        }
    }
}

/// A value of which the outermost level is read: whoever read numbers into a `DOUBLE` would lose digits.
enum Json<'a> {
    Null,
    Bool(bool),
    /// As it is written.
    Number(&'a str),
    Text(String),
    Array(Vec<&'a RawValue>),
    Object(BTreeMap<String, &'a RawValue>),
}

impl<'a> Json<'a> {
    fn of(json: &'a RawValue, place: &str) -> Result<Self> {
        let text = json.get();
        let read = match text.as_bytes().first() {
            Some(b'n') => Ok(Self::Null),
            Some(b't' | b'f') => Ok(Self::Bool(text == "true")),
            Some(b'"') => serde_json::from_str(text).map(Self::Text),
            Some(b'[') => serde_json::from_str(text).map(Self::Array),
            Some(b'{') => serde_json::from_str(text).map(Self::Object),
            _ => Ok(Self::Number(text)),
        };
        read.map_err(|cause| refuse(place, &format!("can not be read: {cause}")))
    }
}

fn parse(json: &RawValue, place: &str) -> Result<ScalarValue> {
    let Json::Object(object) = Json::of(json, place)? else { return plain(json, place, 0) };
    let (Some(name), Some(value)) = (object.get("type"), object.get("value")) else {
        return Err(untyped(place));
    };
    let Json::Text(name) = Json::of(name, place)? else { return Err(untyped(place)) };
    if let Some(key) = object.keys().find(|key| !matches!(key.as_str(), "type" | "value")) {
        return Err(
            refuse(place, &format!("has a member '{key}'")).hint("a typed value has the members type and value")
        );
    }
    let Some(data_type) = type_name::parse(&name) else {
        return Err(refuse(place, &format!("has the unknown type '{name}'")).hint(type_name::KNOWN));
    };
    typed(value, &data_type, &name, place)
}

fn untyped(place: &str) -> Error {
    refuse(place, "is an object without type and value").hint("write {\"type\": \"DATE\", \"value\": \"2024-01-31\"}")
}

fn plain(json: &RawValue, place: &str, depth: usize) -> Result<ScalarValue> {
    Ok(match Json::of(json, place)? {
        Json::Null => ScalarValue::Null,
        Json::Bool(value) => ScalarValue::Boolean(Some(value)),
        Json::Number(written) => number(written, place)?,
        Json::Text(text) => ScalarValue::Utf8(Some(text)),
        Json::Array(_) if depth == MAX_DEPTH => {
            return Err(refuse(place, &format!("has more than {MAX_DEPTH} levels of arrays")));
        }
        Json::Array(items) => {
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
        Json::Object(_) => return Err(refuse(place, "has an object within an array").hint("pass JSON as a string")),
    })
}

/// A number has the type that it would have in SQL.
fn number(written: &str, place: &str) -> Result<ScalarValue> {
    if is_exact(written) {
        let digits = Digits::of(written).decimal(DECIMAL256_MAX_PRECISION);
        let Some(data_type) = digits.and_then(|(precision, scale)| decimal(precision, scale)) else {
            return Err(refuse(place, &format!("has more than {DECIMAL256_MAX_PRECISION} digits")));
        };
        return from_text(written, &data_type, "number", place);
    }
    if let Ok(whole) = written.parse() {
        return Ok(ScalarValue::Int64(Some(whole)));
    }
    if let Ok(whole) = written.parse() {
        return Ok(ScalarValue::UInt64(Some(whole)));
    }
    Ok(ScalarValue::Float64(Some(double(written, place)?)))
}

fn double(written: &str, place: &str) -> Result<f64> {
    match written.parse::<f64>() {
        Ok(double) if double.is_finite() => Ok(double),
        _ => Err(refuse(place, &format!("has the value {written}, which is out of the range of DOUBLE"))),
    }
}

/// The type that holds values of both.
fn common(left: &DataType, right: &DataType) -> Option<DataType> {
    match (left, right) {
        (left, right) if left == right => Some(left.clone()),
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (DataType::Float64, other) | (other, DataType::Float64) if other.is_integer() => Some(DataType::Float64),
        (left, right) if left.is_numeric() && right.is_numeric() => wider(whole(left)?, whole(right)?),
        (DataType::List(left), DataType::List(right)) => {
            common(left.data_type(), right.data_type()).map(|element| DataType::new_list(element, true))
        }
        _ => None,
    }
}

/// Precision and scale; a `DOUBLE` beside a `DECIMAL` would lose digits of one of them.
fn whole(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Int64 => Some((19, 0)),
        DataType::UInt64 => Some((20, 0)),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

fn wider(left: (u8, i8), right: (u8, i8)) -> Option<DataType> {
    let scale = left.1.max(right.1);
    let before_point = left.0.checked_add_signed(-left.1)?.max(right.0.checked_add_signed(-right.1)?);
    let precision = before_point.checked_add_signed(scale)?;
    decimal(precision, scale)
}

fn decimal(precision: u8, scale: i8) -> Option<DataType> {
    if precision <= DECIMAL128_MAX_PRECISION {
        return Some(DataType::Decimal128(precision, scale));
    }
    (precision <= DECIMAL256_MAX_PRECISION).then_some(DataType::Decimal256(precision, scale))
}

fn typed(json: &RawValue, data_type: &DataType, name: &str, place: &str) -> Result<ScalarValue> {
    let text = match (Json::of(json, place)?, data_type) {
        (Json::Null, _) => return null(data_type, place),
        (Json::Array(items), DataType::List(element)) => {
            let items =
                items.iter().map(|item| typed(item, element.data_type(), name, place)).collect::<Result<_>>()?;
            return list(items, element.data_type(), place);
        }
        (Json::Text(text), DataType::Binary) => {
            let bytes = STANDARD.decode(text).map_err(|cause| refuse(place, "is not base64").caused_by(cause))?;
            return Ok(ScalarValue::Binary(Some(bytes)));
        }
        (Json::Text(text), _) => text,
        (Json::Number(written), data_type) if data_type.is_numeric() => match has_exponent(written) {
            true => double(written, place)?.to_string(),
            false => written.to_owned(),
        },
        (Json::Bool(value), DataType::Boolean) => value.to_string(),
        _ => return Err(refuse(place, &format!("has the value {json}, which is not a {name}"))),
    };
    from_text(&text, data_type, name, place)
}

fn from_text(text: &str, data_type: &DataType, name: &str, place: &str) -> Result<ScalarValue> {
    ScalarValue::try_from_string(text.to_owned(), data_type)
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
