//! The accumulator of `sum(DISTINCT ...)`.

use std::mem::size_of;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::DataType;
use datafusion::common::HashMap;
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::error::Result;
use datafusion::logical_expr::Accumulator;
use datafusion::scalar::ScalarValue;

use super::number::{overflow, result, states, with_numbers};

/// The sum of the values that differ, of all rows or of those in a frame that slides over them.
#[derive(Debug)]
pub(super) struct DistinctSum {
    /// The values, each with the rows that have it.
    rows: HashMap<i128, u64>,
    data_type: DataType,
}

impl DistinctSum {
    pub(super) fn new(data_type: &DataType) -> Self {
        Self { rows: HashMap::new(), data_type: data_type.clone() }
    }

    fn add(&mut self, value: impl Into<i128>) {
        *self.rows.entry(value.into()).or_default() += 1;
    }

    fn remove(&mut self, value: impl Into<i128>) {
        let value = value.into();
        if let Some(rows) = self.rows.get_mut(&value) {
            *rows -= 1;
            if *rows == 0 {
                self.rows.remove(&value);
            }
        }
    }
}

impl Accumulator for DistinctSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        with_numbers!(values[0], values => values.iter().flatten().for_each(|value| self.add(value)))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states[0].as_list::<i32>().iter().flatten().try_for_each(|values| self.update_batch(&[values]))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        with_numbers!(values[0], values => values.iter().flatten().for_each(|value| self.remove(value)))
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.rows.is_empty() {
            return ScalarValue::try_from(&self.data_type);
        }
        let sum = self.rows.keys().try_fold(0_i128, |sum, value| sum.checked_add(*value));
        result(Some(sum.ok_or_else(|| overflow(&self.data_type))?), &self.data_type)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = states(self.rows.keys().copied().map(Some), &self.data_type);
        Ok(vec![SingleRowListArrayBuilder::new(values).with_nullable(true).build_list_scalar()])
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.rows.capacity() * (size_of::<(i128, u64)>() + 1)
    }
}
