//! Arrow values as the texts of the corpus; `tests/sql/README.md` has the table.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};
use sqllogictest::ColumnType;

const NULL: &str = "NULL";
const EMPTY: &str = "(empty)";
/// Digits that survive another order of summation.
const SIGNIFICANT: usize = 12;

/// The letter of a column after `query`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    Boolean,
    Integer,
    Real,
    Text,
    DateTime,
    Timestamp,
    Other,
}

impl ColumnType for ColumnKind {
    fn from_char(letter: char) -> Option<Self> {
        match letter {
            'B' => Some(Self::Boolean),
            'I' => Some(Self::Integer),
            'R' => Some(Self::Real),
            'T' => Some(Self::Text),
            'D' => Some(Self::DateTime),
            'P' => Some(Self::Timestamp),
            '?' => Some(Self::Other),
            _ => None,
        }
    }

    fn to_char(&self) -> char {
        match self {
            Self::Boolean => 'B',
            Self::Integer => 'I',
            Self::Real => 'R',
            Self::Text => 'T',
            Self::DateTime => 'D',
            Self::Timestamp => 'P',
            Self::Other => '?',
        }
    }
}

/// The letters of a result.
pub(crate) fn kinds(schema: &Schema) -> Vec<ColumnKind> {
    schema.fields().iter().map(|field| kind(field.data_type())).collect()
}

fn kind(data_type: &DataType) -> ColumnKind {
    match data_type {
        DataType::Dictionary(_, value) => kind(value),
        DataType::Boolean => ColumnKind::Boolean,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnKind::Text,
        DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) => ColumnKind::DateTime,
        DataType::Timestamp(_, _) => ColumnKind::Timestamp,
        integer if integer.is_integer() => ColumnKind::Integer,
        number if number.is_numeric() => ColumnKind::Real,
        _ => ColumnKind::Other,
    }
}

/// All rows of a result.
pub(crate) fn rows(batches: &[RecordBatch]) -> Result<Vec<Vec<String>>, ArrowError> {
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<Vec<String>> = batch.columns().iter().map(column).collect::<Result<_, _>>()?;
        rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|column| column[row].clone()).collect()));
    }
    Ok(rows)
}

fn column(array: &ArrayRef) -> Result<Vec<String>, ArrowError> {
    let options = FormatOptions::new().with_null(NULL).with_duration_format(DurationFormat::Pretty);
    let formatter = ArrayFormatter::try_new(array, &options)?;
    (0..array.len())
        .map(|row| {
            if array.is_null(row) {
                return Ok(NULL.to_owned());
            }
            Ok(match array.data_type() {
                DataType::Float16 => float(array.as_primitive::<Float16Type>().value(row).to_f64()),
                DataType::Float32 => float(array.as_primitive::<Float32Type>().value(row).into()),
                DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
                _ => text(&formatter.value(row).try_to_string()?),
            })
        })
        .collect()
}

/// One line, never empty; blanks at the end can not be seen in a file and do not count.
fn text(value: &str) -> String {
    match value.trim_end_matches(' ') {
        "" => EMPTY.to_owned(),
        value => value.replace('\r', "\\r").replace('\n', "\\n").replace('\t', "\\t"),
    }
}

fn float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let scientific = format!("{value:.*e}", SIGNIFICANT - 1);
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    match exponent.parse::<i32>() {
        Ok(power @ -5..15) => {
            let digits = mantissa.chars().filter(char::is_ascii_digit).count() as i32;
            let decimals = (digits - 1 - power).max(0) as usize;
            // The digits beyond are zeros of the rounded value, not noise of the binary one.
            let rounded: f64 = scientific.parse().unwrap_or(value);
            format!("{rounded:.decimals$}")
        }
        _ => format!("{mantissa}e{exponent}"),
    }
}

#[cfg(test)]
mod tests {
    use super::float;

    #[test]
    fn floats_have_at_most_twelve_significant_digits() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (100.0, "100"),
            (0.1 + 0.2, "0.3"),
            (1.0 / 3.0, "0.333333333333"),
            (-2.5, "-2.5"),
            (0.00001, "0.00001"),
            (0.000001, "1e-6"),
            (123_456_789_012_345.0, "123456789012000"),
            (1e15, "1e15"),
            (1.5e300, "1.5e300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, expected) in cases {
            assert_eq!(float(value), expected);
        }
    }
}
