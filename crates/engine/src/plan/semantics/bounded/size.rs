//! What the result of a call will take, in bytes, found before it is computed.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

/// What one number, date or other value of fixed width takes at most in a list.
const SLOT: u64 = 16;

/// How the arguments tell the size of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Size {
    /// The first argument, as often as the second says.
    Times,
    /// As many characters as the second argument says.
    Length,
    /// All arguments one after the other.
    Sum,
    /// The same, with the first one between the others.
    Separated,
    /// The first argument, with the third in place of each occurrence of the second.
    Replaced,
    /// The same for a regular expression, of which nobody knows where it occurs.
    Matched,
    /// A list as long as the second argument says, filled with the third.
    Resized,
    /// The numbers, dates or times from one argument to the next, in steps of the third.
    Series,
    /// The elements of a list as text, with the second argument between them.
    Joined,
    /// A list of the parts of a text.
    Split,
}

/// The arguments of a call, by their rows.
struct Rows<'a> {
    arguments: &'a ScalarFunctionArgs,
    /// One, if all arguments are constants, whatever the number of rows.
    count: usize,
}

impl Size {
    /// What the results are, in the plural or as a mass.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Length | Self::Separated | Self::Replaced | Self::Matched | Self::Joined => "text",
            Self::Resized | Self::Series | Self::Split => "lists",
            Self::Times | Self::Sum => "values",
        }
    }

    /// Whether the result may well take less.
    pub(super) fn is_a_guess(self) -> bool {
        self == Self::Matched
    }

    /// Bytes that the result will take; 0 for arguments that the function refuses itself.
    pub(super) fn of(self, arguments: &ScalarFunctionArgs) -> Result<u64> {
        let is_constant = |argument: &ColumnarValue| matches!(argument, ColumnarValue::Scalar(_));
        let count = if arguments.args.iter().all(is_constant) { 1 } else { arguments.number_rows };
        let rows = Rows { arguments, count };
        match self {
            Self::Times => rows.sum_of([Measure::Size, Measure::Number], |[size, times]| size.saturating_mul(times)),
            Self::Length => rows.sum_of([Measure::None, Measure::Number], |[_, length]| length),
            Self::Sum => rows.total(0),
            Self::Separated => {
                let between = arguments.args.len().saturating_sub(2) as u64;
                let separators = rows.sum_of([Measure::Size], |[size]| size.saturating_mul(between))?;
                Ok(rows.total(1)?.saturating_add(separators))
            }
            Self::Replaced => rows.replaced(),
            Self::Matched => rows.matched(),
            Self::Resized => rows.sum_of([Measure::None, Measure::Number, Measure::Size], |[_, length, size]| {
                length.saturating_mul(size.max(SLOT))
            }),
            Self::Series => rows.series(),
            Self::Joined => rows
                .sum_of([Measure::Elements, Measure::Size, Measure::Size], |[elements, between, null]| {
                    elements.saturating_mul(between + null + SLOT)
                })?
                .checked_add(rows.total(0)?)
                .map_or(Ok(u64::MAX), Ok),
            Self::Split => rows.sum_of([Measure::Size], |[text]| text.saturating_mul(SLOT)),
        }
    }
}

/// What is asked of an argument.
#[derive(Clone, Copy)]
enum Measure {
    None,
    /// The number that it is.
    Number,
    /// The bytes that it takes.
    Size,
    /// The elements that it has.
    Elements,
}

impl Rows<'_> {
    /// The sum, over the rows, of what follows from the measures of the first arguments; absent ones measure 0.
    fn sum_of<const N: usize>(&self, measures: [Measure; N], of_row: impl Fn([u64; N]) -> u64) -> Result<u64> {
        let mut numbers: Vec<Option<Numbers>> = Vec::with_capacity(N);
        for (index, measure) in measures.into_iter().enumerate() {
            numbers.push(match self.arguments.args.get(index) {
                Some(argument) => measure.of(argument)?,
                None => None,
            });
        }
        let row =
            |row: usize| std::array::from_fn(|index| numbers[index].as_ref().map_or(0, |numbers| numbers.at(row)));
        Ok((0..self.count).fold(0, |total: u64, at| total.saturating_add(of_row(row(at)))))
    }

    /// What the arguments from this one on take, constants once for each row.
    fn total(&self, from: usize) -> Result<u64> {
        let mut total = 0_u64;
        for argument in self.arguments.args.iter().skip(from) {
            let bytes = match argument {
                ColumnarValue::Array(array) => of_values(array)?,
                ColumnarValue::Scalar(_) => of_values(&as_given(argument)?)?.saturating_mul(self.count as u64),
            };
            total = total.saturating_add(bytes);
        }
        Ok(total)
    }

    /// Occurrences are counted only where there could be too many of them.
    fn replaced(&self) -> Result<u64> {
        let [text, from, to] = self.arguments.args.as_slice() else { return Ok(0) };
        let most = self.sum_of([Measure::Size, Measure::Size, Measure::Size], |[text, from, to]| {
            text.saturating_add((text / from.max(1) + 1).saturating_mul(to))
        })?;
        if most <= super::LIMIT {
            return Ok(most);
        }
        let [text, from, to] = [Texts::of(text)?, Texts::of(from)?, Texts::of(to)?];
        let row = |row: usize| {
            let (text, from, to) = (text.at(row), from.at(row), to.at(row));
            let found = text.matches(from).count() as u64;
            (text.len() as u64).saturating_add(found.saturating_mul(to.len() as u64))
        };
        Ok((0..self.count).fold(0, |total: u64, at| total.saturating_add(row(at))))
    }

    /// Without flags only the first occurrence is replaced; with them each place may be one. What the replacement repeats of
    /// the occurrences is at most the text, as often as it refers to it.
    fn matched(&self) -> Result<u64> {
        let [text, _, replacement, flags @ ..] = self.arguments.args.as_slice() else { return Ok(0) };
        let (text, replacement) = (sizes(&as_given(text)?)?, Texts::of(replacement)?);
        let row = |row: usize| {
            let (text, replacement) = (text.at(row), replacement.at(row));
            let references = replacement.matches(['\\', '$']).count() as u64;
            let occurrences = if flags.is_empty() { 1 } else { text.saturating_add(1) };
            let literal = occurrences.saturating_mul(replacement.len() as u64);
            text.saturating_add(literal).saturating_add(text.saturating_mul(references))
        };
        Ok((0..self.count).fold(0, |total: u64, at| total.saturating_add(row(at))))
    }

    fn series(&self) -> Result<u64> {
        let bounds = self.arguments.args.as_slice();
        let (from, to) = match bounds {
            [to] => (None, to),
            [from, to, ..] => (Some(Steps::of(from)?), to),
            [] => return Ok(0),
        };
        let to = Steps::of(to)?;
        let step = bounds.get(2).map(Steps::of).transpose()?;
        let row = |row: usize| {
            let distance = (to.at(row) - from.as_ref().map_or(0.0, |from| from.at(row))).abs();
            let step = step.as_ref().map_or(1.0, |step| step.at(row).abs());
            // None of no step at all, which the function refuses itself.
            if step > 0.0 { (distance / step + 1.0) as u64 } else { 0 }
        };
        Ok((0..self.count).fold(0, |total: u64, at| total.saturating_add(row(at).saturating_mul(8))))
    }
}

impl Measure {
    fn of(self, argument: &ColumnarValue) -> Result<Option<Numbers>> {
        match self {
            Self::None => Ok(None),
            Self::Number => Numbers::of(&as_given(argument)?).map(Some),
            Self::Size => sizes(&as_given(argument)?).map(Some),
            Self::Elements => {
                let lists = as_given(argument)?;
                match lists.data_type() {
                    DataType::List(_) | DataType::LargeList(_) => {
                        Numbers::of(&arrow::compute::kernels::length::length(&lists)?).map(Some)
                    }
                    DataType::FixedSizeList(_, length) => Ok(Some(Numbers::constant(i64::from(*length)))),
                    _ => Ok(None),
                }
            }
        }
    }
}

/// The values of an argument: one, if it is a constant, for the rows of the batch could be more than there is memory for.
fn as_given(value: &ColumnarValue) -> Result<ArrayRef> {
    value.to_array(1)
}

fn is_text(data_type: &DataType) -> bool {
    use DataType::{Binary, BinaryView, LargeBinary, LargeUtf8, Utf8, Utf8View};
    matches!(data_type, Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView)
}

/// What each value takes.
fn sizes(values: &ArrayRef) -> Result<Numbers> {
    match values.data_type() {
        DataType::Null => Ok(Numbers::constant(0)),
        text if is_text(text) => Numbers::of(&arrow::compute::kernels::length::length(values)?),
        data_type => match data_type.primitive_width() {
            Some(width) => Ok(Numbers::constant(i64::try_from(width).unwrap_or(i64::MAX))),
            None => {
                let size = |row| values.slice(row, 1).to_data().get_slice_memory_size();
                let sizes = (0..values.len()).map(|row| Ok(size(row)? as i64)).collect::<Result<Vec<i64>>>()?;
                Ok(Numbers(PrimitiveArray::from(sizes)))
            }
        },
    }
}

/// What the values take together.
fn of_values(values: &ArrayRef) -> Result<u64> {
    match values.data_type() {
        text if is_text(text) => of_texts(values),
        _ => Ok(values.to_data().get_slice_memory_size()? as u64),
    }
}

/// What texts take together: of views, only what they show.
pub(super) fn of_texts(texts: &ArrayRef) -> Result<u64> {
    if !is_text(texts.data_type()) {
        return Ok(0);
    }
    let lengths = sizes(texts)?;
    Ok((0..texts.len()).fold(0, |total: u64, row| total.saturating_add(lengths.at(row))))
}

/// Numbers that count something, of which there may be one for all rows.
struct Numbers(PrimitiveArray<Int64Type>);

impl Numbers {
    fn of(numbers: &ArrayRef) -> Result<Self> {
        Ok(Self(cast(numbers, &DataType::Int64)?.as_primitive().clone()))
    }

    fn constant(number: i64) -> Self {
        Self(PrimitiveArray::from(vec![number]))
    }

    /// That of a row; 0 for NULL and for less than nothing.
    fn at(&self, row: usize) -> u64 {
        let row = if self.0.len() == 1 { 0 } else { row };
        if self.0.is_null(row) { 0 } else { u64::try_from(self.0.value(row)).unwrap_or(0) }
    }
}

/// Texts, of which there may be one for all rows.
struct Texts(ArrayRef);

impl Texts {
    fn of(argument: &ColumnarValue) -> Result<Self> {
        Ok(Self(cast(&as_given(argument)?, &DataType::Utf8View)?))
    }

    /// That of a row; empty for NULL.
    fn at(&self, row: usize) -> &str {
        let row = if self.0.len() == 1 { 0 } else { row };
        if self.0.is_null(row) { "" } else { self.0.as_string_view().value(row) }
    }
}

/// Numbers, points in time or intervals, as numbers of one unit; there may be one for all rows.
struct Steps(Vec<Option<f64>>);

const NANOSECONDS_OF_DAY: f64 = 86_400e9;

impl Steps {
    fn of(argument: &ColumnarValue) -> Result<Self> {
        let values = as_given(argument)?;
        let number = |values: &ArrayRef, unit: f64| -> Result<Self> {
            let values = cast(&cast(values, &DataType::Int64)?, &DataType::Float64)?;
            let values = values.as_primitive::<arrow::datatypes::Float64Type>();
            Ok(Self(values.iter().map(|value| value.map(|value| value * unit)).collect()))
        };
        match values.data_type() {
            DataType::Null => Ok(Self(vec![None])),
            DataType::Date32 => {
                let days = cast(&values, &DataType::Int32)?;
                number(&days, NANOSECONDS_OF_DAY)
            }
            DataType::Timestamp(TimeUnit::Second, _) => number(&values, 1e9),
            DataType::Timestamp(TimeUnit::Millisecond, _) => number(&values, 1e6),
            DataType::Timestamp(TimeUnit::Microsecond, _) => number(&values, 1e3),
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                let length = |interval: arrow::datatypes::IntervalMonthDayNano| {
                    let days = f64::from(interval.months) * 30.0 + f64::from(interval.days);
                    days * NANOSECONDS_OF_DAY + interval.nanoseconds as f64
                };
                let intervals = values.as_primitive::<IntervalMonthDayNanoType>();
                Ok(Self(intervals.iter().map(|interval| interval.map(length)).collect()))
            }
            integer if integer.is_integer() => number(&values, 1.0),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => number(&values, 1.0),
            // The function takes no other, or makes one of them of it.
            _ => Ok(Self(vec![None])),
        }
    }

    /// That of a row; 0 for NULL.
    fn at(&self, row: usize) -> f64 {
        let row = if self.0.len() == 1 { 0 } else { row };
        self.0.get(row).copied().flatten().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::Field;
    use datafusion::common::config::ConfigOptions;
    use datafusion::scalar::ScalarValue;

    use super::*;

    fn size(size: Size, arguments: &[ScalarValue]) -> u64 {
        let field = Arc::new(Field::new("x", DataType::Utf8, true));
        let arguments = ScalarFunctionArgs {
            args: arguments.iter().cloned().map(ColumnarValue::Scalar).collect(),
            arg_fields: vec![Arc::clone(&field); arguments.len()],
            number_rows: 1000,
            return_field: field,
            config_options: Arc::new(ConfigOptions::new()),
        };
        size.of(&arguments).unwrap()
    }

    #[test]
    fn constants_count_once() {
        assert_eq!(size(Size::Times, &["abc".into(), 5_i64.into()]), 15);
        assert_eq!(size(Size::Length, &["abc".into(), 70_i32.into(), " ".into()]), 70);
        assert_eq!(size(Size::Sum, &["abc".into(), "de".into()]), 5);
        assert_eq!(size(Size::Separated, &[", ".into(), "a".into(), "b".into(), "c".into()]), 7);
    }

    #[test]
    fn a_series_counts_its_steps() {
        assert_eq!(size(Size::Series, &[9_i64.into()]), 80);
        assert_eq!(size(Size::Series, &[10_i64.into(), 0_i64.into(), (-5_i64).into()]), 24);
        let day = ScalarValue::new_interval_mdn(0, 1, 0);
        let nanosecond = ScalarValue::new_interval_mdn(0, 0, 1);
        let dates = [ScalarValue::Date32(Some(0)), ScalarValue::Date32(Some(10))];
        assert_eq!(size(Size::Series, &[dates[0].clone(), dates[1].clone(), day]), 88);
        assert!(size(Size::Series, &[dates[0].clone(), dates[1].clone(), nanosecond]) > super::super::LIMIT);
    }

    #[test]
    fn nothing_and_nonsense_take_nothing() {
        assert_eq!(size(Size::Times, &[ScalarValue::Null, 5_i64.into()]), 0);
        assert_eq!(size(Size::Times, &["abc".into(), (-5_i64).into()]), 0);
        assert_eq!(size(Size::Series, &[0_i64.into(), 9_i64.into(), 0_i64.into()]), 0);
        assert_eq!(size(Size::Replaced, &["abc".into()]), 0);
    }
}
