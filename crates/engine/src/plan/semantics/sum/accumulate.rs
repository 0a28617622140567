//! The accumulators of `sum` over every value.

use std::mem::size_of;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use datafusion::scalar::ScalarValue;

use super::number::{overflow, result, results, states, with_numbers};

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

    fn total(&self, values: &ArrayRef) -> Result<(i128, u64)> {
        let sum = with_numbers!(values, values => total(values))?;
        let count = (values.len() - values.null_count()) as u64;
        Ok((sum.ok_or_else(|| overflow(&self.data_type))?, count))
    }
}

/// `None` if the sum outgrows 128 bits.
fn total<T: ArrowPrimitiveType<Native: Into<i128>>>(values: &PrimitiveArray<T>) -> Option<i128> {
    if values.null_count() == 0 {
        return values.values().iter().try_fold(0_i128, |sum, value| sum.checked_add((*value).into()));
    }
    values.iter().flatten().try_fold(0_i128, |sum, value| sum.checked_add(value.into()))
}

impl Accumulator for TotalSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (sum, count) = self.total(&values[0])?;
        self.sum = self.sum.checked_add(sum).ok_or_else(|| overflow(&self.data_type))?;
        self.count += count;
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (sum, count) = self.total(&values[0])?;
        self.sum = self.sum.checked_sub(sum).ok_or_else(|| overflow(&self.data_type))?;
        self.count -= count;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        result((self.count > 0).then_some(self.sum), &self.data_type)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let state = states(std::iter::once((self.count > 0).then_some(self.sum)), &self.data_type);
        Ok(vec![ScalarValue::try_from_array(&state, 0)?])
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

    /// Tells whether a sum outgrew its 128 bits.
    fn add<T: ArrowPrimitiveType<Native: Into<i128>>>(
        &mut self,
        values: &PrimitiveArray<T>,
        groups: &[usize],
        filter: Option<&BooleanArray>,
    ) -> bool {
        let mut overflowed = false;
        let mut add = |group: usize, value: i128| {
            let (sum, over) = self.sums[group].overflowing_add(value);
            self.sums[group] = sum;
            self.seen[group] = true;
            overflowed |= over;
        };
        let rows = values.values().iter().zip(groups);
        if filter.is_none() && values.null_count() == 0 {
            rows.for_each(|(value, group)| add(*group, (*value).into()));
            return overflowed;
        }
        for (row, (value, group)) in rows.enumerate() {
            if values.is_valid(row) && passes(filter, row) {
                add(*group, (*value).into());
            }
        }
        overflowed
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
    data_type: &DataType,
) -> ArrayRef {
    let passing = values.iter().enumerate().map(|(row, value)| value.filter(|_| passes(filter, row)));
    states(passing.map(|value| value.map(Into::into)), data_type)
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
        let overflowed = with_numbers!(values[0], values => self.add(values, group_indices, opt_filter))?;
        if overflowed { Err(overflow(&self.data_type).into()) } else { Ok(()) }
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.update_batch(values, group_indices, None, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = self.take(emit_to);
        results(sums, &self.data_type)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let sums = self.take(emit_to);
        Ok(vec![states(sums, &self.data_type)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        Ok(vec![with_numbers!(values[0], values => single(values, opt_filter, &self.data_type))?])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.seen.capacity()
    }
}
