//! From TOML values to the typed configuration, with errors that know their key.
//!
//! `toml` can decode too, but its errors for a parsed table carry no path, and every error here names one.

use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use toml::{Table, Value};

use super::Key;
use super::key::Segment;

/// Decodes a whole configuration.
pub(crate) fn decode<T: DeserializeOwned>(table: Table) -> Result<T, DecodeError> {
    T::deserialize(Decoder(Value::Table(table)))
}

/// Decodes the value of one key.
pub(crate) fn decode_value<T: DeserializeOwned>(value: Value) -> Result<T, DecodeError> {
    T::deserialize(Decoder(value))
}

/// A value that does not fit.
#[derive(Debug)]
pub(crate) struct DecodeError {
    /// From the value up to the root.
    path: Vec<Segment>,
    message: String,
}

impl DecodeError {
    /// The key of the value.
    pub(crate) fn key(&self) -> Key {
        self.path.iter().rev().cloned().collect()
    }

    /// The same about the value of this key.
    pub(crate) fn at(key: &Key, message: impl fmt::Display) -> Self {
        Self { path: key.segments().iter().rev().cloned().collect(), message: message.to_string() }
    }

    fn below(mut self, segment: Segment) -> Self {
        self.path.push(segment);
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: Vec::new(), message: message.to_string() }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Str(text) => format!("'{text}'"),
            Unexpected::Signed(number) => number.to_string(),
            Unexpected::Bool(value) => value.to_string(),
            Unexpected::Map => "a table".to_owned(),
            Unexpected::Seq => "a list".to_owned(),
            other => other.to_string(),
        };
        let expected = expected.to_string();
        let expected = if expected.starts_with("struct ") { "a table" } else { &expected };
        Self::custom(format_args!("{found} is not {}", plain(expected)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("'{variant}' is not one of {}", expected.join(", ")))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("unknown key '{field}', expected one of {}", expected.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format_args!("'{field}' is missing"))
    }
}

/// Rust's names for types in the words of the manual.
fn plain(expected: &str) -> &str {
    match expected {
        "usize" | "u64" | "u32" | "u16" => "a whole number from 0",
        "a boolean" => "true or false",
        "a string" | "path string" => "text",
        "a sequence" => "a list",
        "a map" => "a table",
        other => other,
    }
}

struct Decoder(Value);

impl<'de> de::Deserializer<'de> for Decoder {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            Value::String(text) => visitor.visit_string(text),
            Value::Integer(number) => visitor.visit_i64(number),
            Value::Float(number) => visitor.visit_f64(number),
            Value::Boolean(value) => visitor.visit_bool(value),
            Value::Datetime(time) => visitor.visit_string(time.to_string()),
            Value::Array(items) => visitor.visit_seq(Elements { items: items.into_iter(), at: 0 }),
            Value::Table(table) => visitor.visit_map(Entries { entries: table.into_iter(), value: None }),
        }
    }

    /// A number or a boolean is text too: `batch_size = 8192` among settings, whose values are text.
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            Value::Integer(number) => visitor.visit_string(number.to_string()),
            Value::Float(number) => visitor.visit_string(number.to_string()),
            Value::Boolean(value) => visitor.visit_string(value.to_string()),
            value => Self(value).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.0 {
            Value::String(text) => {
                let text: StringDeserializer<DecodeError> = text.into_deserializer();
                visitor.visit_enum(text)
            }
            value => Err(de::Error::unknown_variant(&value.to_string(), variants)),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Entries {
    entries: toml::map::IntoIter<String, Value>,
    value: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let Some((name, value)) = self.entries.next() else { return Ok(None) };
        let key = seed.deserialize(name.clone().into_deserializer())?;
        self.value = Some((name, value));
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        let Some((name, value)) = self.value.take() else { return Err(de::Error::custom("a value without a key")) };
        seed.deserialize(Decoder(value)).map_err(|error| error.below(Segment::Name(name)))
    }
}

struct Elements {
    items: std::vec::IntoIter<Value>,
    at: usize,
}

impl<'de> SeqAccess<'de> for Elements {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let at = self.at;
        self.at += 1;
        seed.deserialize(Decoder(item)).map(Some).map_err(|error| error.below(Segment::Index(at)))
    }
}
