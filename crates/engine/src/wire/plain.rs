//! Text and bytes in views, made plain.
//!
//! Arrow's own cast appends value by value. Views that were made in a row lie in a row in their buffer too, so that here what
//! touches is copied at once.

use std::ops::Range;

use arrow::array::{
    Array, BinaryArray, BinaryViewArray, ByteView, GenericByteViewArray, MAX_INLINE_VIEW_LEN, StringArray,
    StringViewArray,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::ByteViewType;

use crate::error::{Error, ErrorKind, Result, Subject};

/// The same text as a plain array.
///
/// # Errors
/// If it is longer than plain arrays can be, 2 GiB.
pub(super) fn plain_text(views: &StringViewArray) -> Result<StringArray> {
    let (offsets, bytes) = plain(views)?;
    Ok(StringArray::try_new(offsets, bytes, views.nulls().cloned())?)
}

/// The same bytes as a plain array.
///
/// # Errors
/// If they are more than plain arrays can have, 2 GiB.
pub(super) fn plain_bytes(views: &BinaryViewArray) -> Result<BinaryArray> {
    let (offsets, bytes) = plain(views)?;
    Ok(BinaryArray::try_new(offsets, bytes, views.nulls().cloned())?)
}

/// Where each value begins, and the values one after the other.
fn plain<T: ByteViewType + ?Sized>(views: &GenericByteViewArray<T>) -> Result<(OffsetBuffer<i32>, Buffer)> {
    let offsets = offsets(views)?;
    let mut bytes = Vec::with_capacity(offsets.last().map_or(0, |end| usize::try_from(*end).unwrap_or_default()));
    // What lies in a row in one of the buffers, and was not copied yet.
    let mut run = Run { buffer: 0, bytes: 0..0 };
    for (place, view) in views.views().iter().enumerate() {
        if views.is_null(place) {
            continue;
        }
        let long = ByteView::from(*view);
        if long.length > MAX_INLINE_VIEW_LEN {
            let (buffer, begin, length) = (long.buffer_index as usize, long.offset as usize, long.length as usize);
            if buffer != run.buffer || begin != run.bytes.end {
                run.take(views, &mut bytes);
                run = Run { buffer, bytes: begin..begin };
            }
            run.bytes.end += length;
        } else {
            run.take(views, &mut bytes);
            bytes.extend_from_slice(&view.to_le_bytes()[INLINE_BEGINS..][..long.length as usize]);
        }
    }
    run.take(views, &mut bytes);
    Ok((OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(bytes)))
}

/// In the view of a short value, its length comes first.
const INLINE_BEGINS: usize = size_of::<u32>();

struct Run {
    buffer: usize,
    bytes: Range<usize>,
}

impl Run {
    /// Copies what it holds; what follows is another one.
    fn take<T: ByteViewType + ?Sized>(&mut self, views: &GenericByteViewArray<T>, bytes: &mut Vec<u8>) {
        if !self.bytes.is_empty() {
            bytes.extend_from_slice(&views.data_buffers()[self.buffer][self.bytes.clone()]);
            self.bytes.start = self.bytes.end;
        }
    }
}

fn offsets<T: ByteViewType + ?Sized>(views: &GenericByteViewArray<T>) -> Result<Vec<i32>> {
    let mut offsets = Vec::with_capacity(views.len() + 1);
    let mut end = 0_i32;
    offsets.push(end);
    for (place, length) in views.lengths().enumerate() {
        if views.is_valid(place) {
            end = i32::try_from(length).ok().and_then(|length| end.checked_add(length)).ok_or_else(too_long)?;
        }
        offsets.push(end);
    }
    Ok(offsets)
}

fn too_long() -> Error {
    Error::new(ErrorKind::Resources, "the values of a column in one batch of the result are longer than 2 GiB together")
        .about(Subject::ResultSize)
        .hint("ask for parts of the values, or for smaller batches by SET batch_size")
}

#[cfg(test)]
mod tests {
    use arrow::compute::cast;
    use arrow::datatypes::DataType;

    use super::*;

    /// Long and short values, in a row and not, missing ones, and slices of them.
    fn views() -> Vec<StringViewArray> {
        let long = |number: usize| format!("a value that is longer than a view, {number}: \u{fc}");
        let values = (0..200).map(|number| match number % 7 {
            0 => None,
            1 | 2 => Some(String::from("short")),
            3 => Some(String::new()),
            _ => Some(long(number)),
        });
        let mixed: StringViewArray = values.collect();
        let row: StringViewArray = (0..100).map(|number| Some(long(number))).collect();
        let places = arrow::array::UInt32Array::from(vec![3, 99, 4, 5, 6, 3]);
        let taken = arrow::compute::take(&row, &places, None).unwrap();
        let taken = taken.as_any().downcast_ref::<StringViewArray>().unwrap().clone();
        let small: StringViewArray = StringViewArray::from(vec!["a", "b"]);
        vec![mixed.slice(5, 90), mixed.slice(0, 0), mixed, row.slice(10, 20), row, taken, small]
    }

    #[test]
    fn values_are_those_of_the_views() {
        for views in views() {
            let plain = plain_text(&views).unwrap();
            assert_eq!(plain.iter().collect::<Vec<_>>(), views.iter().collect::<Vec<_>>());
            assert_eq!(&plain, cast(&views, &DataType::Utf8).unwrap().as_any().downcast_ref::<StringArray>().unwrap());
            let bytes = plain_bytes(&views.clone().to_binary_view()).unwrap();
            assert!(bytes.iter().eq(views.iter().map(|value| value.map(str::as_bytes))));
        }
    }

    #[test]
    fn what_a_missing_value_points_to_is_not_copied() {
        let whole = StringViewArray::from(vec!["a value that is longer than a view", "another one of these values"]);
        let missing =
            StringViewArray::new(whole.views().clone(), whole.data_buffers().to_vec(), Some(vec![true, false].into()));
        let plain = plain_text(&missing).unwrap();
        assert_eq!((plain.value_data().len(), plain.null_count()), (whole.value(0).len(), 1));
    }
}
