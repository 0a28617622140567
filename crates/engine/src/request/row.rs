//! Parameters as a row of an Arrow batch.

use arrow::array::RecordBatch;
use datafusion::scalar::ScalarValue;

use super::Parameters;
use crate::error::{Error, Result};

impl Parameters {
    /// Reads one row of a batch as positional parameters: column by column, whatever the columns are called.
    ///
    /// # Errors
    /// `Invalid` for a row that the batch does not have, `Unsupported` for a type that is none of SQL's.
    pub fn from_row(batch: &RecordBatch, row: usize) -> Result<Self> {
        if row >= batch.num_rows() {
            return Err(Error::invalid(format!("a batch of {} rows has no row {row}", batch.num_rows())));
        }
        if batch.num_columns() == 0 {
            return Ok(Self::None);
        }
        let values = batch.columns().iter().map(|column| Ok(ScalarValue::try_from_array(column, row)?));
        Ok(Self::Positional(values.collect::<Result<_>>()?))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, NullArray, StringArray};

    use super::*;

    #[test]
    fn a_row_becomes_values_in_the_order_of_its_columns() {
        let columns: [(&str, ArrayRef); 3] = [
            ("b", Arc::new(Int32Array::from(vec![1, 2]))),
            ("a", Arc::new(StringArray::from(vec![Some("x"), None]))),
            ("n", Arc::new(NullArray::new(2))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let expected = vec![ScalarValue::Int32(Some(2)), ScalarValue::Utf8(None), ScalarValue::Null];
        assert_eq!(Parameters::from_row(&batch, 1).unwrap(), Parameters::Positional(expected));
        assert!(Parameters::from_row(&batch, 2).is_err());
    }
}
