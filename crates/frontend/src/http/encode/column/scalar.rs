//! Cells that hold one value: numbers, booleans, strings and binary.

use std::fmt::Display;
use std::io::{self, Write};

use arrow::array::{Array, ArrayAccessor, AsArray, BooleanArray, PrimitiveArray};
use arrow::datatypes::ArrowPrimitiveType;
use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use serde::Serialize;

use super::{Cells, Style};
use crate::http::negotiate::NotANumber;

/// A column of nothing but nulls, whose cells are never written.
pub(super) struct Nulls;

impl Cells for Nulls {
    fn write(&self, _row: usize, out: &mut Vec<u8>) -> io::Result<()> {
        out.extend_from_slice(b"null");
        Ok(())
    }
}

pub(super) struct Booleans<'a>(pub(super) &'a BooleanArray);

impl Cells for Booleans<'_> {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> io::Result<()> {
        out.extend_from_slice(if self.0.value(row) { b"true" } else { b"false" });
        Ok(())
    }
}

struct Primitive<'a, T: ArrowPrimitiveType, F> {
    array: &'a PrimitiveArray<T>,
    quote: bool,
    format: F,
}

impl<T, F> Cells for Primitive<'_, T, F>
where
    T: ArrowPrimitiveType,
    F: Fn(T::Native, &mut Vec<u8>) -> io::Result<()>,
{
    fn write(&self, row: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let value = self.array.value(row);
        if !self.quote {
            return (self.format)(value, out);
        }
        out.push(b'"');
        (self.format)(value, out)?;
        out.push(b'"');
        Ok(())
    }
}

/// Cells of a fixed-width type, by the function that writes one value; its text needs no escapes.
pub(super) fn primitive<'a, T, F>(array: &'a dyn Array, quote: bool, format: F) -> Box<dyn Cells + 'a>
where
    T: ArrowPrimitiveType,
    F: Fn(T::Native, &mut Vec<u8>) -> io::Result<()> + 'a,
{
    Box::new(Primitive { array: array.as_primitive::<T>(), quote, format })
}

/// Writes a number in its shortest exact form, a string quoted and escaped.
pub(super) fn json<T: Serialize>(value: T, out: &mut Vec<u8>) -> io::Result<()> {
    // serde_json's integer and float formatting is several times as fast as `std::fmt`.
    serde_json::to_writer(out, &value).map_err(io::Error::from)
}

/// Writes a float; what is not finite has no JSON number.
pub(super) fn float<T: Serialize + Into<f64> + Copy>(value: T, style: Style, out: &mut Vec<u8>) -> io::Result<()> {
    let wide: f64 = value.into();
    if wide.is_finite() {
        return json(value, out);
    }
    if style.nan == NotANumber::Null {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    let name = match wide {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    };
    if style.quote { write!(out, "\"{name}\"") } else { out.write_all(name.as_bytes()) }
}

/// Writes an unscaled decimal: all digits of its scale, so that `1.50` stays `1.50`.
pub(super) fn decimal<T: Display>(unscaled: T, scale: i8, out: &mut Vec<u8>) -> io::Result<()> {
    let mut start = out.len();
    write!(out, "{unscaled}")?;
    if out.get(start) == Some(&b'-') {
        start += 1;
    }
    let digits = out.len() - start;
    let Ok(fraction) = usize::try_from(scale) else {
        if out[start..] != *b"0" {
            out.resize(out.len() + usize::from(scale.unsigned_abs()), b'0');
        }
        return Ok(());
    };
    if fraction == 0 {
        return Ok(());
    }
    if digits <= fraction {
        let missing = fraction + 1 - digits;
        out.splice(start..start, std::iter::repeat_n(b'0', missing));
    }
    let point = out.len() - fraction;
    out.insert(point, b'.');
    Ok(())
}

/// Strings of any layout.
pub(super) struct Strings<A> {
    pub(super) array: A,
    pub(super) quote: bool,
}

impl<'a, A: ArrayAccessor<Item = &'a str>> Cells for Strings<A> {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let text = self.array.value(row);
        if self.quote {
            return json(text, out);
        }
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Binary of any layout, as base64 (RFC 4648, section 4, padded).
pub(super) struct Binary<A> {
    pub(super) array: A,
    pub(super) quote: bool,
}

impl<'a, A: ArrayAccessor<Item = &'a [u8]>> Cells for Binary<A> {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> io::Result<()> {
        if self.quote {
            out.push(b'"');
        }
        let mut base64 = EncoderWriter::new(&mut *out, &STANDARD);
        base64.write_all(self.array.value(row))?;
        base64.finish()?;
        drop(base64);
        if self.quote {
            out.push(b'"');
        }
        Ok(())
    }
}
