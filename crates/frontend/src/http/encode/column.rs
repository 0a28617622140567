//! How the cells of one column become text: resolved once per batch, so that writing a cell neither looks at types nor
//! allocates.
//!
//! The same writers serve JSON (strings quoted and escaped) and the text formats (bare text, which the format then quotes
//! by its own rules); what is nested is JSON in both.

use std::io;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use arrow::datatypes::{
    Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float16Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalYearMonthType,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use tidemill_engine::{Error, Result};

use crate::http::encode::{CHUNK_BYTES, unwritable};
use crate::http::negotiate::{NotANumber, Numbers};

mod nested;
mod scalar;
mod temporal;

pub(crate) use nested::object_keys;
use scalar::{Binary, Booleans, Nulls, Strings, float, primitive};
use temporal::Second;

/// Writes the cell of a row that is not null.
trait Cells {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> io::Result<()>;
}

/// How values that JSON and text spell differently are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    /// Strings and whatever is written like a string stand in quotes, escaped as JSON asks.
    quote: bool,
    numbers: Numbers,
    nan: NotANumber,
}

impl Style {
    /// Values of a JSON document.
    pub(crate) fn json(numbers: Numbers, nan: NotANumber) -> Self {
        Self { quote: true, numbers, nan }
    }

    /// Bare text, for formats with their own quoting.
    pub(crate) fn text() -> Self {
        Self { quote: false, numbers: Numbers::Native, nan: NotANumber::String }
    }

    /// Values inside lists, structs and maps, which are JSON everywhere.
    fn nested(self) -> Self {
        Self { quote: true, ..self }
    }

    /// Whether integers of 64 bits are quoted: JavaScript keeps only 53 bits of a number.
    fn quote_wide(self) -> bool {
        self.quote && self.numbers == Numbers::String
    }
}

/// The writers of one column of one batch.
pub(crate) struct Column<'a> {
    nulls: Option<NullBuffer>,
    cells: Box<dyn Cells + 'a>,
}

impl<'a> Column<'a> {
    /// Chooses the writers for this array.
    pub(crate) fn resolve(array: &'a dyn Array, style: Style) -> Result<Self> {
        // Logical nulls, because a dictionary's or run's null lives in its values.
        let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        Ok(Self { nulls, cells: cells(array, style)? })
    }

    /// Whether the cell of this row is null.
    #[inline]
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Writes the cell of a row that is not null.
    #[inline]
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) -> io::Result<()> {
        self.cells.write(row, out)
    }

    /// Writes the cell of this row, or `null`.
    #[inline]
    pub(crate) fn write_or_null(&self, row: usize, out: &mut Vec<u8>) -> io::Result<()> {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        self.cells.write(row, out)
    }
}

/// A column of a format of bare text.
pub(crate) struct TextColumn<'a> {
    column: Column<'a>,
    plain: bool,
}

impl<'a> TextColumn<'a> {
    /// Chooses the writers for this array.
    pub(crate) fn resolve(array: &'a dyn Array) -> Result<Self> {
        Ok(Self { column: Column::resolve(array, Style::text())?, plain: is_plain(array.data_type()) })
    }

    /// Whether the text of its cells needs neither quotes nor escapes in any format.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.plain
    }

    /// Whether the cell of this row is null.
    #[inline]
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.column.is_null(row)
    }

    /// Writes the text of a row that is not null, as it is.
    #[inline]
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        self.column.write(row, out).map_err(unwritable)
    }

    /// Writes the text of a row that is not null by way of `escape`, unless nothing in it can need that.
    #[inline]
    pub(crate) fn write_escaped(
        &self,
        row: usize,
        escape: impl Fn(&[u8], &mut Vec<u8>),
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if self.plain {
            return self.write(row, out);
        }
        scratch.clear();
        self.write(row, scratch)?;
        escape(scratch, out);
        Ok(())
    }
}

/// Resolves the columns of a batch and writes rows from its front, one by each call of `write`, until `out` is full; returns
/// how many.
pub(crate) fn write_rows<'a, C>(
    batch: &'a RecordBatch,
    resolve: impl Fn(&'a dyn Array) -> Result<C>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(&[C], usize, &mut Vec<u8>) -> Result<()>,
) -> Result<usize> {
    let columns = batch.columns().iter().map(|column| resolve(column)).collect::<Result<Vec<_>>>()?;
    for row in 0..batch.num_rows() {
        if row > 0 && out.len() >= CHUNK_BYTES {
            return Ok(row);
        }
        write(&columns, row, out)?;
    }
    Ok(batch.num_rows())
}

/// Whether the text of such cells can contain nothing but digits, letters and `+-.:`, so that no format must quote it.
fn is_plain(data_type: &DataType) -> bool {
    data_type.is_numeric()
        || data_type.is_temporal()
        || matches!(data_type, DataType::Null | DataType::Boolean | DataType::Interval(_) | DataType::Duration(_))
}

fn cells<'a>(array: &'a dyn Array, style: Style) -> Result<Box<dyn Cells + 'a>> {
    let (quote, wide) = (style.quote, style.quote_wide());
    Ok(match array.data_type() {
        DataType::Null => Box::new(Nulls),
        DataType::Boolean => Box::new(Booleans(array.as_boolean())),
        DataType::Int8 => primitive::<Int8Type, _>(array, false, scalar::json),
        DataType::Int16 => primitive::<Int16Type, _>(array, false, scalar::json),
        DataType::Int32 => primitive::<Int32Type, _>(array, false, scalar::json),
        DataType::Int64 => primitive::<Int64Type, _>(array, wide, scalar::json),
        DataType::UInt8 => primitive::<UInt8Type, _>(array, false, scalar::json),
        DataType::UInt16 => primitive::<UInt16Type, _>(array, false, scalar::json),
        DataType::UInt32 => primitive::<UInt32Type, _>(array, false, scalar::json),
        DataType::UInt64 => primitive::<UInt64Type, _>(array, wide, scalar::json),
        DataType::Float16 => {
            primitive::<Float16Type, _>(array, false, move |value, out| float(value.to_f32(), style, out))
        }
        DataType::Float32 => primitive::<Float32Type, _>(array, false, move |value, out| float(value, style, out)),
        DataType::Float64 => primitive::<Float64Type, _>(array, false, move |value, out| float(value, style, out)),
        DataType::Decimal32(_, scale) => decimals::<Decimal32Type>(array, quote, *scale),
        DataType::Decimal64(_, scale) => decimals::<Decimal64Type>(array, quote, *scale),
        DataType::Decimal128(_, scale) => decimals::<Decimal128Type>(array, quote, *scale),
        DataType::Decimal256(_, scale) => decimals::<Decimal256Type>(array, quote, *scale),
        DataType::Utf8 => Box::new(Strings { array: array.as_string::<i32>(), quote }),
        DataType::LargeUtf8 => Box::new(Strings { array: array.as_string::<i64>(), quote }),
        DataType::Utf8View => Box::new(Strings { array: array.as_string_view(), quote }),
        DataType::Binary => Box::new(Binary { array: array.as_binary::<i32>(), quote }),
        DataType::LargeBinary => Box::new(Binary { array: array.as_binary::<i64>(), quote }),
        DataType::BinaryView => Box::new(Binary { array: array.as_binary_view(), quote }),
        DataType::FixedSizeBinary(_) => Box::new(Binary { array: array.as_fixed_size_binary(), quote }),
        DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) | DataType::Timestamp(..) => {
            moments(array, quote)?
        }
        DataType::Duration(_) | DataType::Interval(_) => spans(array, quote),
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::FixedSizeList(..) => nested::lists(array, style)?,
        DataType::Struct(_) => nested::structs(array.as_struct(), style)?,
        DataType::Map(..) => nested::maps(array.as_map(), style)?,
        DataType::Union(..) => nested::unions(array, style)?,
        DataType::Dictionary(..) => nested::dictionary(array.as_any_dictionary(), style)?,
        DataType::RunEndEncoded(run_ends, _) => nested::runs(array, run_ends.data_type(), style)?,
    })
}

fn decimals<'a, T>(array: &'a dyn Array, quote: bool, scale: i8) -> Box<dyn Cells + 'a>
where
    T: arrow::datatypes::DecimalType,
    T::Native: std::fmt::Display,
{
    primitive::<T, _>(array, quote, move |value, out| scalar::decimal(value, scale, out))
}

fn moments<'a>(array: &'a dyn Array, quote: bool) -> Result<Box<dyn Cells + 'a>> {
    Ok(match array.data_type() {
        DataType::Date32 => primitive::<Date32Type, _>(array, quote, |days, out| temporal::date(days.into(), out)),
        DataType::Date64 => primitive::<Date64Type, _>(array, quote, temporal::date_of_milliseconds),
        DataType::Time32(TimeUnit::Second) => {
            primitive::<Time32SecondType, _>(array, quote, |time, out| temporal::time(time.into(), Second::WHOLE, out))
        }
        DataType::Time32(_) => primitive::<Time32MillisecondType, _>(array, quote, |time, out| {
            temporal::time(time.into(), Second::MILLI, out)
        }),
        DataType::Time64(TimeUnit::Nanosecond) => {
            primitive::<Time64NanosecondType, _>(array, quote, |time, out| temporal::time(time, Second::NANO, out))
        }
        DataType::Time64(_) => {
            primitive::<Time64MicrosecondType, _>(array, quote, |time, out| temporal::time(time, Second::MICRO, out))
        }
        DataType::Timestamp(unit, zone) => {
            let zone = zone.as_deref().map(temporal::Zone::parse).transpose()?;
            let second = Second::of(unit);
            let write = move |time: i64, out: &mut Vec<u8>| temporal::timestamp(time, second, zone, out);
            match unit {
                TimeUnit::Second => primitive::<TimestampSecondType, _>(array, quote, write),
                TimeUnit::Millisecond => primitive::<TimestampMillisecondType, _>(array, quote, write),
                TimeUnit::Microsecond => primitive::<TimestampMicrosecondType, _>(array, quote, write),
                TimeUnit::Nanosecond => primitive::<TimestampNanosecondType, _>(array, quote, write),
            }
        }
        other => return Err(Error::internal(format!("type {other} is not a date or time"))),
    })
}

fn spans<'a>(array: &'a dyn Array, quote: bool) -> Box<dyn Cells + 'a> {
    match array.data_type() {
        DataType::Interval(IntervalUnit::YearMonth) => {
            primitive::<IntervalYearMonthType, _>(array, quote, |months, out| {
                temporal::interval(months, 0, 0, Second::NANO, out)
            })
        }
        DataType::Interval(IntervalUnit::DayTime) => primitive::<IntervalDayTimeType, _>(array, quote, |span, out| {
            temporal::interval(0, span.days, span.milliseconds.into(), Second::MILLI, out)
        }),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            primitive::<IntervalMonthDayNanoType, _>(array, quote, |span, out| {
                temporal::interval(span.months, span.days, span.nanoseconds, Second::NANO, out)
            })
        }
        DataType::Duration(TimeUnit::Second) => durations::<DurationSecondType>(array, quote, Second::WHOLE),
        DataType::Duration(TimeUnit::Millisecond) => durations::<DurationMillisecondType>(array, quote, Second::MILLI),
        DataType::Duration(TimeUnit::Microsecond) => durations::<DurationMicrosecondType>(array, quote, Second::MICRO),
        _ => durations::<DurationNanosecondType>(array, quote, Second::NANO),
    }
}

fn durations<'a, T>(array: &'a dyn Array, quote: bool, second: Second) -> Box<dyn Cells + 'a>
where
    T: arrow::datatypes::ArrowPrimitiveType<Native = i64>,
{
    primitive::<T, _>(array, quote, move |span, out| temporal::interval(0, 0, span, second, out))
}
