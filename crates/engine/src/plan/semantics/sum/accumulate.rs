//! The accumulators of `sum` over integers.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, PrimitiveArray};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, UInt64Type};
use arrow::error::ArrowError;
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use datafusion::scalar::ScalarValue;

/// The digits of a state: enough for more values than there can be.
const DIGITS: u8 = 38;

/// The type of a state.
pub(super) const STATE: DataType = DataType::Decimal128(DIGITS, 0);

/// Hands the array to a function that is generic over its type: values of one of the two types, or states.
macro_rules! with_integers {
    ($array:expr, $values:ident => $body:expr) => {
        match $array.data_type() {
            DataType::Int64 => {
                let $values = $array.as_primitive::<Int64Type>();
                Ok($body)
            }
            DataType::UInt64 => {
                let $values = $array.as_primitive::<UInt64Type>();
                Ok($body)
            }
            DataType::Decimal128(_, 0) => {
                let $values = $array.as_primitive::<Decimal128Type>();
                Ok($body)
            }
            other => internal_err!("the sum of integers got {other}"),
        }
    };
}

/// The sum as a value of the type of the result.
fn fitting<T: TryFrom<i128>>(sum: i128, data_type: &DataType) -> Result<T, ArrowError> {
    T::try_from(sum).map_err(|_| ArrowError::ArithmeticOverflow(format!("the sum {sum} does not fit into {data_type}")))
}

fn states(sums: impl Iterator<Item = Option<i128>>) -> Result<ArrayRef> {
    Ok(Arc::new(sums.collect::<Decimal128Array>().with_precision_and_scale(DIGITS, 0)?))
}

/// The sum of all rows, or of those in a frame that slides over them.
#[derive(Debug)]
pub(super) struct TotalSum {
    sum: i128,
    /// Values in the sum; without any it is NULL.
    count: u64,
    data_type: DataType,
}

impl TotalSum {
    pub(super) fn new(data_type: &DataType) -> Self {
        Self { sum: 0, count: 0, data_type: data_type.clone() }
    }
}

fn total<T: ArrowPrimitiveType<Native: Into<i128>>>(values: &PrimitiveArray<T>) -> (i128, u64) {
    let count = (values.len() - values.null_count()) as u64;
    if values.null_count() == 0 {
        return (values.values().iter().map(|value| (*value).into()).sum(), count);
    }
    (values.iter().flatten().map(Into::into).sum(), count)
}

impl Accumulator for TotalSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (sum, count) = with_integers!(values[0], values => total(values))?;
        self.sum += sum;
        self.count += count;
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (sum, count) = with_integers!(values[0], values => total(values))?;
        self.sum -= sum;
        self.count -= count;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.count == 0 {
            return ScalarValue::try_from(&self.data_type);
        }
        Ok(match self.data_type {
            DataType::UInt64 => ScalarValue::UInt64(Some(fitting(self.sum, &self.data_type)?)),
            _ => ScalarValue::Int64(Some(fitting(self.sum, &self.data_type)?)),
        })
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Decimal128((self.count > 0).then_some(self.sum), DIGITS, 0)])
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }
}

/// The sum of each group.
#[derive(Debug)]
pub(super) struct GroupSums {
    sums: Vec<i128>,
    /// Whether the group has a value at all.
    seen: Vec<bool>,
    data_type: DataType,
}

impl GroupSums {
    pub(super) fn new(data_type: &DataType) -> Self {
        Self { sums: Vec::new(), seen: Vec::new(), data_type: data_type.clone() }
    }

    fn add<T: ArrowPrimitiveType<Native: Into<i128>>>(
        &mut self,
        values: &PrimitiveArray<T>,
        groups: &[usize],
        filter: Option<&BooleanArray>,
    ) {
        let rows = values.values().iter().zip(groups);
        if filter.is_none() && values.null_count() == 0 {
            for (value, group) in rows {
                self.sums[*group] += (*value).into();
                self.seen[*group] = true;
            }
            return;
        }
        for (row, (value, group)) in rows.enumerate() {
            if values.is_valid(row) && passes(filter, row) {
                self.sums[*group] += (*value).into();
                self.seen[*group] = true;
            }
        }
    }

    fn take(&mut self, emit_to: EmitTo) -> impl Iterator<Item = Option<i128>> + use<> {
        let sums = emit_to.take_needed(&mut self.sums);
        let seen = emit_to.take_needed(&mut self.seen);
        sums.into_iter().zip(seen).map(|(sum, seen)| seen.then_some(sum))
    }
}

/// The states of groups of one row each.
fn single<T: ArrowPrimitiveType<Native: Into<i128>>>(
    values: &PrimitiveArray<T>,
    filter: Option<&BooleanArray>,
) -> Result<ArrayRef> {
    let passing = values.iter().enumerate().map(|(row, value)| value.filter(|_| passes(filter, row)));
    states(passing.map(|value| value.map(Into::into)))
}

fn passes(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

impl GroupsAccumulator for GroupSums {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.sums.resize(total_num_groups, 0);
        self.seen.resize(total_num_groups, false);
        with_integers!(values[0], values => self.add(values, group_indices, opt_filter))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.update_batch(values, group_indices, None, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        fn column<T: ArrowPrimitiveType<Native: TryFrom<i128>>>(
            sums: impl Iterator<Item = Option<i128>>,
        ) -> Result<ArrayRef, ArrowError> {
            let values = sums.map(|sum| sum.map(|sum| fitting(sum, &T::DATA_TYPE)).transpose());
            Ok(Arc::new(values.collect::<Result<PrimitiveArray<T>, ArrowError>>()?))
        }
        let sums = self.take(emit_to);
        Ok(match self.data_type {
            DataType::UInt64 => column::<UInt64Type>(sums)?,
            _ => column::<Int64Type>(sums)?,
        })
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![states(self.take(emit_to))?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let converted = with_integers!(values[0], values => single(values, opt_filter))?;
        Ok(vec![converted?])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.seen.capacity()
    }
}
