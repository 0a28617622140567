//! Rows without what they only hold on to.
//!
//! A column of views into strings shares the buffers that the strings were read into, whole: a filter that leaves one row of a
//! thousand leaves all of them. In memory that costs nothing. A file gets every buffer with every batch.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, GenericByteViewArray, RecordBatch, make_array};
use arrow::datatypes::{ByteViewType, DataType};
use arrow::error::ArrowError;

/// Bytes that a column may hold on to besides those that it shows, before it is copied; as many again as it shows are allowed too.
const SLACK: usize = 64 << 10;

/// The batch, with the columns copied that hold on to much more than they show.
pub(super) fn compacted(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut columns = Vec::with_capacity(batch.num_columns());
    let mut is_same = true;
    for column in batch.columns() {
        let compact = compact(column)?;
        is_same &= compact.is_none();
        columns.push(compact.unwrap_or_else(|| Arc::clone(column)));
    }
    if is_same { Ok(batch) } else { RecordBatch::try_new(batch.schema(), columns) }
}

/// A copy of the column, if it is worth it.
fn compact(column: &ArrayRef) -> Result<Option<ArrayRef>, ArrowError> {
    match column.data_type() {
        DataType::Utf8View => Ok(views(column.as_string_view())),
        DataType::BinaryView => Ok(views(column.as_binary_view())),
        of if of.is_nested() => {
            let data = column.to_data();
            let mut children = data.child_data().to_vec();
            let mut is_same = true;
            for child in &mut children {
                if let Some(compact) = compact(&make_array(child.clone()))? {
                    (*child, is_same) = (compact.to_data(), false);
                }
            }
            if is_same {
                return Ok(None);
            }
            Ok(Some(make_array(data.into_builder().child_data(children).build()?)))
        }
        _ => Ok(None),
    }
}

fn views<T: ByteViewType + ?Sized>(views: &GenericByteViewArray<T>) -> Option<ArrayRef> {
    let held: usize = views.data_buffers().iter().map(arrow::buffer::Buffer::len).sum();
    if held <= SLACK {
        return None;
    }
    let shown = views.total_buffer_bytes_used();
    (held > shown.saturating_mul(2).saturating_add(SLACK)).then(|| Arc::new(views.gc()) as ArrayRef)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, ListArray, StringViewArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::Field;

    use super::*;

    /// Rows of a column that was read whole.
    fn some(rows: usize) -> StringViewArray {
        let text = |row: usize| {
            (!row.is_multiple_of(7)).then(|| format!("a text that is too long for its view, of row {row}"))
        };
        (0..100_000).map(text).collect::<StringViewArray>().slice(5000, rows)
    }

    fn held(column: &StringViewArray) -> usize {
        column.data_buffers().iter().map(|buffer| buffer.len()).sum()
    }

    #[test]
    fn what_is_not_shown_is_left() {
        let texts = some(100);
        let list = Field::new_list_field(DataType::Utf8View, true);
        let lists = ListArray::new(Arc::new(list), OffsetBuffer::from_lengths([40, 60]), Arc::new(some(100)), None);
        let numbers: ArrayRef = Arc::new((0..100).collect::<Int64Array>());
        let columns: [(&str, ArrayRef); 2] = [("n", numbers), ("t", Arc::new(texts.clone()))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let compact = compacted(batch.clone()).unwrap();
        assert_eq!(compact, batch);
        let column = compact.column(1).as_string_view();
        assert!(held(&texts) > 1_000_000 && held(column) < 10_000, "{} of {}", held(column), held(&texts));

        let batch = RecordBatch::try_from_iter([("l", Arc::new(lists) as ArrayRef)]).unwrap();
        let compact = compacted(batch.clone()).unwrap();
        assert_eq!(compact, batch);
        assert!(held(compact.column(0).as_list::<i32>().values().as_string_view()) < 10_000);
    }

    #[test]
    fn what_is_shown_is_not_copied() {
        let texts: ArrayRef = Arc::new(some(90_000));
        let batch = RecordBatch::try_from_iter([("t", Arc::clone(&texts))]).unwrap();
        assert!(Arc::ptr_eq(compacted(batch).unwrap().column(0), &texts));
    }
}
