//! The schema of a table of files, from a sample of the files.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::datasource::file_format::FileFormat;
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::unreadable;
use crate::error::catch_panic;
use crate::storage::format::Format;
use crate::storage::options::ReadOptions;
use crate::{Error, ErrorKind, Result, Subject};

/// Files that are looked into; new columns tend to come with new files, so the first and the last by name.
const MAX_FILES: usize = 64;

/// The same for formats without a schema of their own, whose rows must be read.
const MAX_TEXT_FILES: usize = 16;

const CONCURRENCY: usize = 8;

/// The columns of all sampled files. A column that some files lack is NULL there.
pub(super) async fn infer(
    session: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    kind: Format,
    format: &Arc<dyn FileFormat>,
    options: &ReadOptions,
    files: &[ObjectMeta],
) -> Result<SchemaRef> {
    let sampled = sample(files, if kind.is_text() { MAX_TEXT_FILES } else { MAX_FILES });
    let schemas: Vec<(ObjectMeta, SchemaRef)> = futures::stream::iter(sampled)
        .map(|file| async move {
            // A reader may panic on a file that lies about itself.
            let looking = async { Ok(format.infer_schema(session, store, std::slice::from_ref(&file)).await?) };
            match catch_panic(looking).await {
                Ok(schema) => Ok((file, schema)),
                Err(error) if kind == Format::Parquet => {
                    Err(footer_error(store, &file).await.unwrap_or_else(|| unreadable(&file, error)))
                }
                Err(error) => Err(unreadable(&file, error)),
            }
        })
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    if kind == Format::Csv && options.csv.truncated_rows != Some(true) {
        same_columns(&schemas)?;
    }
    let merged = merge(&schemas, kind.is_text())?;
    match schemas.first() {
        Some((file, _)) if merged.fields().is_empty() && kind.is_text() => Err(no_columns(file)),
        _ => Ok(merged),
    }
}

/// A file of text without rows, and without a line that names its columns.
pub(super) fn no_columns(file: &ObjectMeta) -> Error {
    let what = if file.size == 0 { "is empty" } else { "holds no rows" };
    Error::new(ErrorKind::Data, format!("'{}' {what}, so it does not tell its columns", file.location))
        .about(Subject::File)
        .hint("declare them: CREATE EXTERNAL TABLE name (column type, ...) STORED AS format LOCATION 'file'")
}

/// What is wrong with the end of a Parquet file, where readers start: how long the metadata before it are, and `PAR1`.
async fn footer_error(store: &Arc<dyn ObjectStore>, file: &ObjectMeta) -> Option<Error> {
    const FOOTER_BYTES: u64 = 8;
    let broken = |what: &str| {
        let message = format!("'{}' is no Parquet file: {what}", file.location);
        Some(Error::new(ErrorKind::Data, message).about(Subject::File))
    };
    if file.size < FOOTER_BYTES {
        return broken("it is shorter than a footer");
    }
    let footer = store.get_range(&file.location, file.size - FOOTER_BYTES..file.size).await.ok()?;
    let (length, magic) = footer.split_first_chunk::<4>()?;
    if magic != b"PAR1" {
        return broken("it does not end in PAR1");
    }
    if u64::from(u32::from_le_bytes(*length)) > file.size - FOOTER_BYTES {
        return broken("its footer promises more metadata than the file is long");
    }
    None
}

fn sample(files: &[ObjectMeta], max: usize) -> Vec<ObjectMeta> {
    if files.len() <= max {
        return files.to_vec();
    }
    let half = max / 2;
    [&files[..half], &files[files.len() - half..]].concat()
}

/// A CSV file is read by position: one whose columns stand in another order would be read wrong without an error.
fn same_columns(schemas: &[(ObjectMeta, SchemaRef)]) -> Result<()> {
    let names = |schema: &Schema| -> Vec<String> { schema.fields().iter().map(|field| field.name().clone()).collect() };
    let Some((first, schema)) = schemas.first() else { return Ok(()) };
    let wanted = names(schema);
    match schemas.iter().find(|(_, other)| names(other) != wanted) {
        Some((other, _)) => Err(Error::new(
            ErrorKind::Data,
            format!("'{}' and '{}' have different columns", first.location, other.location),
        )
        .about(Subject::File)
        .hint("read them one by one and combine them with UNION ALL BY NAME")),
        None => Ok(()),
    }
}

fn merge(schemas: &[(ObjectMeta, SchemaRef)], widen: bool) -> Result<SchemaRef> {
    let mut merged: Vec<FieldRef> = Vec::new();
    for (file, schema) in schemas {
        for field in schema.fields() {
            match merged.iter_mut().find(|known| known.name() == field.name()) {
                None => merged.push(Arc::clone(field)),
                Some(known) => {
                    *known = merge_fields(known, field, widen).ok_or_else(|| conflict(file, known, field))?
                }
            }
        }
    }
    let metadata = match schemas {
        [(_, only)] => only.metadata().clone(),
        _ => Default::default(),
    };
    Ok(Arc::new(Schema::new_with_metadata(merged, metadata)))
}

fn merge_fields(known: &FieldRef, field: &FieldRef, widen: bool) -> Option<FieldRef> {
    let mut merged = known.as_ref().clone().with_nullable(known.is_nullable() || field.is_nullable());
    if merged.try_merge(field).is_ok() {
        return Some(Arc::new(merged));
    }
    let data_type = common_type(known.data_type(), field.data_type(), widen)?;
    Some(Arc::new(Field::new(known.name(), data_type, known.is_nullable() || field.is_nullable())))
}

/// The narrowest type that holds both; text only for formats in which everything is text.
fn common_type(a: &DataType, b: &DataType, widen: bool) -> Option<DataType> {
    if a == b {
        return Some(a.clone());
    }
    if a.is_null() || b.is_null() {
        return Some(if a.is_null() { b } else { a }.clone());
    }
    if a.is_integer() && b.is_integer() {
        return Some(if a.is_unsigned_integer() && b.is_unsigned_integer() {
            DataType::UInt64
        } else {
            DataType::Int64
        });
    }
    if (a.is_integer() || a.is_floating()) && (b.is_integer() || b.is_floating()) {
        return Some(DataType::Float64);
    }
    (widen && !a.is_nested() && !b.is_nested()).then_some(DataType::Utf8)
}

fn conflict(file: &ObjectMeta, known: &Field, field: &Field) -> Error {
    let (name, expected, found) = (field.name(), known.data_type(), field.data_type());
    Error::new(
        ErrorKind::Data,
        format!("column '{name}' is {found} in '{}' and {expected} in other files", file.location),
    )
    .about(Subject::File)
    .hint("read the files apart, or declare the columns with CREATE EXTERNAL TABLE")
}
