//! The numbers that `sum` adds exactly: what comes in, what is kept, what goes out.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, Decimal128Array, PrimitiveArray};
use arrow::datatypes::{DataType, Decimal32Type, Decimal64Type, Decimal128Type, Int64Type, UInt64Type};
use arrow::error::ArrowError;
use datafusion::error::Result;
use datafusion::scalar::ScalarValue;

use crate::sql_type::sql_type;

/// The digits of a state: of integers, enough for more values than there can be.
const DIGITS: u8 = 38;

/// Whether sums of this type are kept in 128 bits.
pub(super) fn is_exact(sum: &DataType) -> bool {
    matches!(
        sum,
        DataType::Int64
            | DataType::UInt64
            | DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
    )
}

/// The type of the state of a sum of this type.
pub(super) fn state_type(sum: &DataType) -> DataType {
    match sum {
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
            DataType::Decimal128(DIGITS, *scale)
        }
        _ => DataType::Decimal128(DIGITS, 0),
    }
}

/// The states of a sum of this type as an array.
pub(super) fn states(sums: impl Iterator<Item = Option<i128>>, sum: &DataType) -> ArrayRef {
    Arc::new(sums.collect::<Decimal128Array>().with_data_type(state_type(sum)))
}

/// Hands the array to a function that is generic over its type: values, or states.
macro_rules! with_numbers {
    ($array:expr, $values:ident => $body:expr) => {{
        use arrow::array::{Array, AsArray};
        use arrow::datatypes::{DataType, Decimal32Type, Decimal64Type, Decimal128Type, Int64Type, UInt64Type};
        match $array.data_type() {
            DataType::Int64 => {
                let $values = $array.as_primitive::<Int64Type>();
                Ok($body)
            }
            DataType::UInt64 => {
                let $values = $array.as_primitive::<UInt64Type>();
                Ok($body)
            }
            DataType::Decimal32(..) => {
                let $values = $array.as_primitive::<Decimal32Type>();
                Ok($body)
            }
            DataType::Decimal64(..) => {
                let $values = $array.as_primitive::<Decimal64Type>();
                Ok($body)
            }
            DataType::Decimal128(..) => {
                let $values = $array.as_primitive::<Decimal128Type>();
                Ok($body)
            }
            other => datafusion::common::internal_err!("an exact sum got {other}"),
        }
    }};
}
pub(super) use with_numbers;

/// A sum outgrew even its state.
pub(super) fn overflow(sum: &DataType) -> ArrowError {
    ArrowError::ArithmeticOverflow(format!("the sum does not fit into {}", sql_type(sum)))
}

/// The sums as values of the type of the result.
pub(super) fn results(sums: impl Iterator<Item = Option<i128>>, sum: &DataType) -> Result<ArrayRef> {
    Ok(match sum {
        DataType::UInt64 => column::<UInt64Type>(sums, sum, None)?,
        DataType::Decimal32(digits, _) => column::<Decimal32Type>(sums, sum, Some(*digits))?,
        DataType::Decimal64(digits, _) => column::<Decimal64Type>(sums, sum, Some(*digits))?,
        DataType::Decimal128(digits, _) => column::<Decimal128Type>(sums, sum, Some(*digits))?,
        _ => column::<Int64Type>(sums, sum, None)?,
    })
}

/// One sum as a value of the type of the result.
pub(super) fn result(value: Option<i128>, sum: &DataType) -> Result<ScalarValue> {
    ScalarValue::try_from_array(&results(std::iter::once(value), sum)?, 0)
}

fn column<T: ArrowPrimitiveType<Native: TryFrom<i128>>>(
    sums: impl Iterator<Item = Option<i128>>,
    data_type: &DataType,
    digits: Option<u8>,
) -> Result<ArrayRef, ArrowError> {
    // Ten to the 38 fits into the 128 bits.
    let bound = digits.map_or(u128::MAX, |digits| 10_u128.pow(u32::from(digits)));
    let fitting = |sum: i128| match T::Native::try_from(sum) {
        Ok(value) if sum.unsigned_abs() < bound => Ok(value),
        _ => Err(too_large(sum, data_type)),
    };
    let values = sums.map(|sum| sum.map(fitting).transpose());
    let values = values.collect::<Result<PrimitiveArray<T>, ArrowError>>()?;
    Ok(Arc::new(values.with_data_type(data_type.clone())))
}

fn too_large(sum: i128, data_type: &DataType) -> ArrowError {
    if data_type.is_decimal() {
        return overflow(data_type);
    }
    ArrowError::ArithmeticOverflow(format!("the sum {sum} does not fit into {}", sql_type(data_type)))
}
