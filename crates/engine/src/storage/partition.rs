//! Hive partitions: folders such as `year=2024/month=01` whose names are the values of columns.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use object_store::ObjectMeta;
use object_store::path::Path;
use url::Url;

use super::open::PartitionColumn;
use super::place::place;
use crate::{Error, ErrorKind, Result, Subject};

mod written;

pub(crate) use written::folder_value;
pub(super) use written::{folders_of, with_folder_values};

/// What Hive writes for NULL.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The `name=value` folders of a path, outermost first: the column, and its value unless that is NULL.
fn folders(path: &Path) -> impl Iterator<Item = (String, Option<String>)> {
    let parents = path.as_ref().rsplit_once('/').map_or("", |(parents, _)| parents);
    let named = parents.split('/').filter_map(|segment| segment.split_once('=')).filter(|(name, _)| !name.is_empty());
    // Who encodes a text that is spelled as NULL is means the text.
    named.map(|(name, value)| (percent_decode(name), (value != NULL).then(|| percent_decode(value))))
}

/// The columns that the folders of `files` make, if all files have the same ones. A column is whole numbers or dates if
/// all its values are, and text otherwise.
pub(super) fn infer(files: &[ObjectMeta]) -> Vec<PartitionColumn> {
    let names = |file: &ObjectMeta| -> Vec<String> { folders(&file.location).map(|(name, _)| name).collect() };
    let Some(common) = files.first().map(names) else { return Vec::new() };
    let distinct: BTreeSet<&String> = common.iter().collect();
    if distinct.len() != common.len() || files.iter().any(|file| names(file) != common) {
        return Vec::new();
    }
    common.into_iter().map(|name| PartitionColumn { data_type: infer_type(&name, files), name }).collect()
}

/// The type of the column `name`, by its values in `files`.
pub(super) fn infer_type(name: &str, files: &[ObjectMeta]) -> DataType {
    let known: BTreeSet<String> = files.iter().filter_map(|file| value(&file.location, name).flatten()).collect();
    let all_cast_to = |data_type: &DataType| {
        !known.is_empty() && known.iter().all(|value| ScalarValue::try_from_string((*value).clone(), data_type).is_ok())
    };
    // A cast to a date takes more than dates.
    let all_dates = || known.iter().all(|value| value.len() == 10) && all_cast_to(&DataType::Date32);
    if all_cast_to(&DataType::Int64) {
        DataType::Int64
    } else if all_dates() {
        DataType::Date32
    } else {
        DataType::Utf8
    }
}

/// The values of `columns` for the file at `path` in the store of `store`.
///
/// # Errors
/// `Data` when the path lacks a column, or its value does not have the column's type.
pub(super) fn values(path: &Path, columns: &[PartitionColumn], store: &Url) -> Result<Vec<ScalarValue>> {
    let failed = |what: String| Error::new(ErrorKind::Data, what).about(Subject::File);
    let at = || place(store, path.as_ref());
    let of_column = |column: &PartitionColumn| {
        let name = &column.name;
        let text = value(path, name).ok_or_else(|| failed(format!("'{}' is in no folder '{name}=...'", at())))?;
        let Some(text) = text else { return Ok(ScalarValue::try_from(&column.data_type)?) };
        ScalarValue::try_from_string(text.clone(), &column.data_type).map_err(|_| {
            failed(format!("'{}': partition value {name}='{text}' is not of type {}", at(), column.data_type))
                .hint("declare the type of the partition column, or set hive_partitioning to false")
        })
    };
    columns.iter().map(of_column).collect()
}

/// What the path says of the column, if it does: its value, unless that is NULL.
fn value(path: &Path, name: &str) -> Option<Option<String>> {
    folders(path).find(|(folder, _)| *folder == name).map(|(_, value)| value)
}

/// Writers encode what a folder's name can not hold; text that is no valid encoding is taken as it is.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let encoded = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match encoded {
            Some((high, low)) => {
                bytes.push(high * 16 + low);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> ObjectMeta {
        ObjectMeta {
            location: Path::from(path),
            last_modified: chrono::Utc::now(),
            size: 1,
            e_tag: None,
            version: None,
        }
    }

    fn inferred(paths: &[&str]) -> Vec<(String, DataType)> {
        let files: Vec<_> = paths.iter().map(|path| file(path)).collect();
        infer(&files).into_iter().map(|column| (column.name, column.data_type)).collect()
    }

    #[test]
    fn types_come_from_all_values() {
        let columns = inferred(&["t/y=2024/d=2024-01-31/k=1/a.csv", "t/y=2025/d=2024-02-01/k=x/b.csv"]);
        let types: Vec<&DataType> = columns.iter().map(|(_, data_type)| data_type).collect();
        assert_eq!(types, [&DataType::Int64, &DataType::Date32, &DataType::Utf8]);
    }

    #[test]
    fn files_that_disagree_have_no_partitions() {
        assert!(inferred(&["t/y=1/a.csv", "t/b.csv"]).is_empty());
        assert!(inferred(&["t/y=1/a.csv", "t/z=1/b.csv"]).is_empty());
    }

    #[test]
    fn null_and_encoded_values_are_understood() {
        let text = PartitionColumn { name: "k".to_owned(), data_type: DataType::Utf8 };
        let store = Url::parse("s3://bucket").unwrap();
        let read = |path: &str| values(&Path::parse(path).unwrap(), std::slice::from_ref(&text), &store).unwrap();
        assert_eq!(read("t/k=a%2Fb/x"), [ScalarValue::from("a/b")]);
        assert_eq!(read("t/k=/x"), [ScalarValue::from("")]);
        assert_eq!(read(&format!("t/k={NULL}/x")), [ScalarValue::Utf8(None)]);
        assert_eq!(read("t/k=%5F_HIVE_DEFAULT_PARTITION__/x"), [ScalarValue::from(NULL)]);
        let error = values(&Path::from("t/x"), &[text], &store).unwrap_err();
        assert_eq!(error.message(), "'s3://bucket/t/x' is in no folder 'k=...'");
    }
}
