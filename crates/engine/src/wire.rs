//! The one schema of a result on the wire: what every door announces, and what every batch is cast to.
//!
//! View types become plain ones and dictionaries become their values, because many Arrow clients know neither; every column is
//! nullable, because plans and their streams disagree on nullability.

mod plain;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};

use crate::error::{Error, Result};
use plain::{plain_bytes, plain_text};

/// The schema that clients see of a result with this schema. With `views`, view types stay.
pub fn wire_schema(schema: &Schema, views: bool) -> SchemaRef {
    let fields: Fields = schema.fields().iter().map(|field| wire_field(field, views)).collect();
    Arc::new(Schema::new(fields))
}

/// The schema of a table with the types that its columns have in results, and with what it says of missing values.
pub(crate) fn plain_schema(schema: &Schema) -> SchemaRef {
    let plain = |field: &FieldRef| {
        let data_type = wire_type(field.data_type(), false);
        Arc::new(field.as_ref().clone().with_data_type(data_type))
    };
    Arc::new(Schema::new(schema.fields().iter().map(plain).collect::<Fields>()))
}

/// The batch with the columns cast to the wire's schema.
pub fn to_wire(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.num_columns() != schema.fields().len() {
        let (has, wants) = (batch.num_columns(), schema.fields().len());
        return Err(Error::internal(format!("a batch has {has} columns where the result has {wants}")));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        match (column.data_type(), field.data_type()) {
            (DataType::Utf8View, DataType::Utf8) => Ok(Arc::new(plain_text(column.as_string_view())?) as ArrayRef),
            (DataType::BinaryView, DataType::Binary) => Ok(Arc::new(plain_bytes(column.as_binary_view())?) as ArrayRef),
            (_, other) => cast_with_options(column, other, &options).map_err(Error::from),
        }
    });
    let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect::<Result<_>>()?, &rows)?)
}

fn wire_field(field: &FieldRef, views: bool) -> FieldRef {
    let data_type = wire_type(field.data_type(), views);
    Arc::new(Field::new(field.name(), data_type, true).with_metadata(field.metadata().clone()))
}

/// The type on the wire of what has this type.
pub(crate) fn wire_type(data_type: &DataType, views: bool) -> DataType {
    // Inside a map, Arrow demands keys and entries that are not null.
    let nested = |field: &FieldRef| {
        let inner = wire_type(field.data_type(), views);
        Arc::new(field.as_ref().clone().with_data_type(inner))
    };
    match data_type {
        DataType::Utf8View if !views => DataType::Utf8,
        DataType::BinaryView if !views => DataType::Binary,
        DataType::ListView(item) if !views => DataType::List(nested(item)),
        DataType::LargeListView(item) if !views => DataType::LargeList(nested(item)),
        DataType::Dictionary(_, value) => wire_type(value, views),
        DataType::RunEndEncoded(_, values) => wire_type(values.data_type(), views),
        DataType::List(item) => DataType::List(nested(item)),
        DataType::LargeList(item) => DataType::LargeList(nested(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(nested(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(nested).collect()),
        DataType::Map(entries, sorted) => DataType::Map(nested(entries), *sorted),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, Int32Array, StringArray, StringViewArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn views_and_dictionaries_become_plain_and_nullable() {
        let views: ArrayRef = Arc::new(StringViewArray::from(vec!["a long enough string to leave the view", "b"]));
        let words: ArrayRef = Arc::new(vec!["x", "x"].into_iter().collect::<DictionaryArray<Int32Type>>());
        let batch = RecordBatch::try_from_iter([("v", views), ("d", words)]).unwrap();
        let schema = wire_schema(&batch.schema(), false);
        assert!(schema.fields().iter().all(|field| field.data_type() == &DataType::Utf8 && field.is_nullable()));
        let wire = to_wire(&batch, &schema).unwrap();
        assert_eq!(wire.column(1).as_ref(), &StringArray::from(vec!["x", "x"]) as &dyn arrow::array::Array);
        assert_eq!(wire_schema(&batch.schema(), true).field(0).data_type(), &DataType::Utf8View);
    }

    #[test]
    fn views_inside_structs_and_lists_are_found() {
        let item = Arc::new(Field::new("item", DataType::Utf8View, false));
        let inner = Fields::from(vec![Field::new("names", DataType::List(item), false)]);
        let schema = Schema::new(vec![Field::new("s", DataType::Struct(inner), false)]);
        let wire = wire_schema(&schema, false);
        assert!(!format!("{wire:?}").contains("Utf8View"), "{wire:?}");
    }

    #[test]
    fn a_batch_without_columns_keeps_its_rows() {
        let schema = Arc::new(Schema::empty());
        let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(3));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), vec![], &rows).unwrap();
        assert_eq!(to_wire(&batch, &schema).unwrap().num_rows(), 3);
        let one = RecordBatch::try_from_iter([("a", Arc::new(Int32Array::from(vec![1])) as ArrayRef)]).unwrap();
        assert!(to_wire(&one, &schema).is_err());
    }
}
