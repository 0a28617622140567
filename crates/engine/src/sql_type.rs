//! The SQL names of types: one vocabulary for results, listings, `DESCRIBE`, `SHOW CREATE TABLE` and `information_schema`.
//!
//! A statement can use these names, except those of types that SQL has no way to declare: structs, maps, unions.

use std::fmt::Write;

use arrow::datatypes::{DataType, Field};

/// The SQL name of an Arrow type, such as `DECIMAL(10,2)`, `BIGINT[]` or `STRUCT(a BIGINT, b VARCHAR)`.
pub fn sql_type(data_type: &DataType) -> String {
    let mut name = String::new();
    write_type(data_type, &mut name);
    name
}

fn write_type(data_type: &DataType, out: &mut String) {
    let name = match data_type {
        DataType::Null => "NULL",
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INTEGER",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "TINYINT UNSIGNED",
        DataType::UInt16 => "SMALLINT UNSIGNED",
        DataType::UInt32 => "INTEGER UNSIGNED",
        DataType::UInt64 => "BIGINT UNSIGNED",
        DataType::Float16 => "FLOAT16",
        DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "BYTEA",
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        DataType::Duration(_) | DataType::Interval(_) => "INTERVAL",
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => return append(out, format_args!("DECIMAL({precision},{scale})")),
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
            write_type(item.data_type(), out);
            "[]"
        }
        DataType::FixedSizeList(item, size) => {
            write_type(item.data_type(), out);
            return append(out, format_args!("[{size}]"));
        }
        DataType::Struct(fields) => return write_fields("STRUCT", fields.iter().map(AsRef::as_ref), out),
        DataType::Union(fields, _) => {
            return write_fields("UNION", fields.iter().map(|(_, field)| field.as_ref()), out);
        }
        DataType::Map(entries, _) => return write_map(entries, out),
        DataType::Dictionary(_, value) => return write_type(value, out),
        DataType::RunEndEncoded(_, value) => return write_type(value.data_type(), out),
    };
    out.push_str(name);
}

fn write_fields<'a>(kind: &str, fields: impl Iterator<Item = &'a Field>, out: &mut String) {
    out.push_str(kind);
    out.push('(');
    for (n, field) in fields.enumerate() {
        if n > 0 {
            out.push_str(", ");
        }
        out.push_str(field.name());
        out.push(' ');
        write_type(field.data_type(), out);
    }
    out.push(')');
}

fn write_map(entries: &Field, out: &mut String) {
    out.push_str("MAP(");
    if let DataType::Struct(fields) = entries.data_type() {
        for (n, field) in fields.iter().enumerate() {
            if n > 0 {
                out.push_str(", ");
            }
            write_type(field.data_type(), out);
        }
    }
    out.push(')');
}

fn append(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn sql_names_of_types() {
        let key = Field::new("keys", DataType::Utf8, false);
        let entries = vec![key, Field::new("values", DataType::Int64, true)];
        let map = DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries.into()), false)), false);
        let fields = vec![
            Field::new("a", DataType::Int64, true),
            Field::new("b", DataType::new_list(DataType::Utf8View, true), true),
        ];
        for (data_type, name) in [
            (DataType::Decimal128(10, 2), "DECIMAL(10,2)"),
            (DataType::Timestamp(TimeUnit::Second, Some("UTC".into())), "TIMESTAMP WITH TIME ZONE"),
            (DataType::Struct(fields.into()), "STRUCT(a BIGINT, b VARCHAR[])"),
            (map, "MAP(VARCHAR, BIGINT)"),
            (DataType::new_fixed_size_list(DataType::Float32, 3, true), "REAL[3]"),
            (DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)), "VARCHAR"),
        ] {
            assert_eq!(sql_type(&data_type), name);
        }
    }
}
