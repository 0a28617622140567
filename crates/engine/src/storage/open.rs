//! From the definition of a table of files to its format, schema and partitions: all that needs a look into the files.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::avro::AvroFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::definition::TableDefinition;
use super::external::{Accept, ExternalTable};
use super::format::{Format, Recognized};
use super::location::{Location, Shape};
use super::options::ReadOptions;
use super::policy::StoragePolicy;
use super::{listing, partition};
use crate::{Error, ErrorKind, Result, Subject};

mod schema;

/// Bytes that are read to tell a JSON array from JSON lines.
const PEEK_BYTES: u64 = 256;

/// A column whose values are the names of folders.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PartitionColumn {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
}

/// Looks into the files and makes a table of them.
pub(super) async fn open(
    definition: TableDefinition,
    policy: Arc<StoragePolicy>,
    session: &dyn Session,
) -> Result<ExternalTable> {
    let locations = locate(&definition, &policy)?;
    let mut files = Vec::new();
    for location in &locations {
        files.extend(listing::list(session, &policy, location).await?);
    }
    let nothing_needed = definition.schema.is_some() && definition.format.is_some();
    if files.is_empty() && !nothing_needed {
        return Err(nothing_found(&locations).await);
    }
    let recognized = recognize(&definition, &locations, &files)?;
    let options = ReadOptions::parse(recognized.format, &definition.options, session)?;
    let compression = options.compression.unwrap_or(recognized.compression);
    let accept = accept(&locations, &files, Recognized { compression, ..recognized });
    files.retain(|file| accept.accepts(&file.location));
    if recognized.format.is_text() && files.iter().all(|file| file.size == 0) {
        // Of an empty file of another format, it is told what it lacks.
        if let Some(file) = files.first().filter(|_| definition.schema.is_none()) {
            return Err(schema::no_columns(file));
        }
        files.clear();
    }
    let store = session.runtime_env().object_store(locations[0].store())?;
    let format = file_format(recognized, compression, &options, &store, &files).await?;
    let partitions = partitions(&definition, &options, &files);
    let whole = match &definition.schema {
        Some(schema) => Arc::clone(schema),
        None if files.is_empty() => return Err(nothing_found(&locations).await),
        None => schema::infer(session, &store, recognized.format, &format, &options, &files).await?,
    };
    let file_schema = without(&whole, &partitions);
    Ok(ExternalTable::new(policy, locations, accept, format, file_schema, partitions))
}

fn locate(definition: &TableDefinition, policy: &StoragePolicy) -> Result<Vec<Location>> {
    let locations: Vec<Location> =
        definition.locations.iter().map(|text| Location::parse(text)).collect::<Result<_>>()?;
    let Some(first) = locations.first() else { return Err(Error::invalid("no path is given")) };
    for location in &locations {
        if !definition.by_operator {
            policy.check_allowed(location.url())?;
        }
        if location.store() != first.store() {
            return Err(Error::unsupported(format!("one table can not span two stores: '{first}' and '{location}'"))
                .hint("read each by itself and combine them with UNION ALL"));
        }
    }
    Ok(locations)
}

async fn nothing_found(locations: &[Location]) -> Error {
    match locations {
        [only] => listing::nothing_found(only).await,
        many => {
            let names: Vec<String> = many.iter().map(Location::to_string).collect();
            Error::not_found(Subject::File, format!("no files match any of '{}'", names.join("', '")))
        }
    }
}

/// The declared format, or the one that the names agree on.
fn recognize(definition: &TableDefinition, locations: &[Location], files: &[ObjectMeta]) -> Result<Recognized> {
    let mut by_name = files.iter().filter_map(|file| Some((file, Recognized::of(file.location.filename()?)?)));
    if let Some(name) = &definition.format {
        let (format, tabs) = Format::parse(name)?;
        let of_format = by_name.find(|(_, recognized)| recognized.format == format).map(|(_, recognized)| recognized);
        let by_pattern = || Recognized::of(locations[0].last_segment()).filter(|known| known.format == format);
        let plain = Recognized { format, compression: CompressionTypeVariant::UNCOMPRESSED, tabs };
        let known = of_format.or_else(by_pattern).unwrap_or(plain);
        return Ok(Recognized { tabs: known.tabs || tabs, ..known });
    }
    let Some((first, recognized)) = by_name.next() else {
        let named = files.first().map_or_else(|| locations[0].to_string(), |file| file.location.to_string());
        return Err(Error::invalid(format!("the name of '{named}' does not tell its format"))
            .about(Subject::File)
            .hint("name the format: read_csv('...'), read_parquet('...') or STORED AS"));
    };
    match by_name.find(|(_, other)| *other != recognized) {
        Some((second, _)) => Err(Error::invalid(format!(
            "the files have more than one format: '{}' and '{}'",
            first.location, second.location
        ))
        .about(Subject::File)
        .hint("choose the files of one format with a pattern such as *.parquet")),
        None => Ok(recognized),
    }
}

/// A folder takes the files whose names have the format's extension, unless none has; a pattern takes what it matches.
fn accept(locations: &[Location], files: &[ObjectMeta], recognized: Recognized) -> Accept {
    let by_name = Accept::Named(recognized);
    let chosen_by_hand = locations.iter().all(|location| !matches!(location.shape, Shape::Folder))
        && files.iter().all(|file| {
            locations.iter().any(|location| *location.base() == file.location)
                || locations.iter().any(|location| matches!(location.shape, Shape::Glob(..)))
        });
    if chosen_by_hand || !files.is_empty() && !files.iter().any(|file| by_name.accepts(&file.location)) {
        return Accept::All;
    }
    by_name
}

async fn file_format(
    recognized: Recognized,
    compression: CompressionTypeVariant,
    options: &ReadOptions,
    store: &Arc<dyn ObjectStore>,
    files: &[ObjectMeta],
) -> Result<Arc<dyn FileFormat>> {
    Ok(match recognized.format {
        Format::Parquet => Arc::new(ParquetFormat::new().with_options(options.parquet.clone())),
        Format::Csv => {
            let mut csv = options.csv.clone();
            csv.compression = compression;
            let is_default = csv.delimiter == datafusion::config::CsvOptions::default().delimiter;
            if recognized.tabs && is_default {
                csv.delimiter = b'\t';
            }
            Arc::new(CsvFormat::default().with_options(csv))
        }
        Format::Json => {
            let mut json = options.json.clone();
            json.compression = compression;
            let array = match (options.json_array, files.first()) {
                (Some(array), _) => array,
                (None, Some(file)) if !compression.is_compressed() => begins_with_bracket(store, file).await?,
                (None, _) => false,
            };
            json.newline_delimited = !array;
            Arc::new(JsonFormat::default().with_options(json))
        }
        Format::Arrow => Arc::new(ArrowFormat),
        Format::Avro => Arc::new(AvroFormat),
    })
}

async fn begins_with_bracket(store: &Arc<dyn ObjectStore>, file: &ObjectMeta) -> Result<bool> {
    let head = store.get_range(&file.location, 0..file.size.min(PEEK_BYTES)).await?;
    Ok(head.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'['))
}

fn partitions(definition: &TableDefinition, options: &ReadOptions, files: &[ObjectMeta]) -> Vec<PartitionColumn> {
    if options.hive == Some(false) {
        return Vec::new();
    }
    if definition.partitioned_by.is_empty() {
        return partition::infer(files);
    }
    let in_schema = |name: &str| {
        let field = definition.schema.as_ref()?.field_with_name(name).ok()?;
        Some(field.data_type().clone())
    };
    let column = |name: &String| PartitionColumn {
        name: name.clone(),
        data_type: in_schema(name).unwrap_or_else(|| partition::infer_type(name, files)),
    };
    definition.partitioned_by.iter().map(column).collect()
}

/// What is in the files: a folder's value wins over a column of the same name.
fn without(schema: &SchemaRef, partitions: &[PartitionColumn]) -> SchemaRef {
    let in_files = |name: &str| !partitions.iter().any(|column| column.name == name);
    let fields: Vec<_> = schema.fields().iter().filter(|field| in_files(field.name())).map(Arc::clone).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Names the file that could not be understood.
fn unreadable(file: &ObjectMeta, error: Error) -> Error {
    match error.kind() {
        ErrorKind::Data | ErrorKind::Internal => {
            Error::new(ErrorKind::Data, format!("'{}' can not be read: {}", file.location, error.message()))
                .about(Subject::File)
                .caused_by(error)
        }
        _ => error,
    }
}
