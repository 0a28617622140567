//! The options of each format, in one table: `read_csv('a.csv', header => false)`, `OPTIONS ('format.has_header' 'false')`.

use std::collections::BTreeMap;

use datafusion::catalog::Session;
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::config::{CsvOptions, JsonOptions, TableParquetOptions};

use super::format::{Format, parse_compression};
use crate::plan::suggest;
use crate::{Error, Result};

/// Rows that schema inference reads of each sampled file of a text format.
const INFER_ROWS: usize = 10_000;

/// How the files of one table are read.
#[derive(Debug, Clone)]
pub(super) struct ReadOptions {
    pub(super) csv: CsvOptions,
    pub(super) json: JsonOptions,
    /// Whether a JSON file is one array; `None` looks at the first byte.
    pub(super) json_array: Option<bool>,
    pub(super) parquet: TableParquetOptions,
    /// How the files are compressed; `None` goes by their names.
    pub(super) compression: Option<CompressionTypeVariant>,
    /// Whether `name=value` folders are columns; `None` means if all files agree.
    pub(super) hive: Option<bool>,
}

/// One option: its name, other names it is known by, what it does, and how its value is taken.
struct OptionSpec {
    name: &'static str,
    aliases: &'static [&'static str],
    formats: &'static [Format],
    set: fn(&mut ReadOptions, &str) -> Result<(), String>,
}

const ALL: &[Format] = &[Format::Parquet, Format::Csv, Format::Json, Format::Arrow, Format::Avro];
const TEXT: &[Format] = &[Format::Csv, Format::Json];
const CSV: &[Format] = &[Format::Csv];
const JSON: &[Format] = &[Format::Json];
const PARQUET: &[Format] = &[Format::Parquet];

/// A row of [`OPTIONS`].
macro_rules! option {
    ($(#[doc = $doc:literal])+ $name:literal $(or $alias:literal)*, $formats:expr, $set:expr) => {
        OptionSpec { name: $name, aliases: &[$($alias),*], formats: $formats, set: $set }
    };
}

#[rustfmt::skip]
const OPTIONS: &[OptionSpec] = &[
    option!(/// Whether `name=value` folders are columns; by default, if all files have the same ones.
        "hive_partitioning" or "hive", ALL, |o, v| boolean(v).map(|v| o.hive = Some(v))),
    option!(/// How the files are compressed: gzip, bzip2, xz, zstd, none; by default, as their names say.
        "compression", TEXT, |o, v| parse_compression(v).map(|v| o.compression = Some(v))),
    option!(/// Rows of each sampled file that decide the types of the columns.
        "infer_rows" or "sample_size" or "schema_infer_max_rec", TEXT, |o, v| count(v).map(|v| {
            o.csv.schema_infer_max_rec = Some(v);
            o.json.schema_infer_max_rec = Some(v);
        })),
    option!(/// Whether the first line names the columns; by default yes.
        "header" or "has_header", CSV, |o, v| boolean(v).map(|v| o.csv.has_header = Some(v))),
    option!(/// What separates values; by default a comma, in `.tsv` files a tab.
        "delimiter" or "delim" or "sep", CSV, |o, v| byte(v).map(|v| o.csv.delimiter = v)),
    option!(/// What surrounds values that hold a delimiter; by default `"`.
        "quote", CSV, |o, v| byte(v).map(|v| o.csv.quote = v)),
    option!(/// What stands before a quote inside quotes; by default the quote is doubled instead.
        "escape", CSV, |o, v| byte(v).map(|v| o.csv.escape = Some(v))),
    option!(/// Whether a quote inside quotes is written twice.
        "double_quote", CSV, |o, v| boolean(v).map(|v| o.csv.double_quote = Some(v))),
    option!(/// What ends a line; by default a line feed, with or without a carriage return.
        "terminator", CSV, |o, v| byte(v).map(|v| o.csv.terminator = Some(v))),
    option!(/// Lines that begin with this are skipped.
        "comment", CSV, |o, v| byte(v).map(|v| o.csv.comment = Some(v))),
    option!(/// The text that means NULL: only the empty one, for now.
        "null" or "nullstr" or "null_value" or "null_regex", CSV, |_, v| null_text(v)),
    option!(/// Whether quoted values may hold line breaks; then one file is read by one thread.
        "newlines_in_values", CSV, |o, v| boolean(v).map(|v| o.csv.newlines_in_values = Some(v))),
    option!(/// Whether lines with too few values are filled up with NULL rather than refused.
        "truncated_rows" or "null_padding", CSV, |o, v| boolean(v).map(|v| o.csv.truncated_rows = Some(v))),
    option!(/// `lines` (one object a line), `array` (one array a file) or `auto` (by the first character).
        "layout" or "format", JSON, |o, v| json_layout(v).map(|v| o.json_array = v)),
    option!(/// The same as `layout`, as true or false.
        "newline_delimited", JSON, |o, v| boolean(v).map(|v| o.json_array = Some(!v))),
    option!(/// Whether binary columns are text, which some old writers did not say.
        "binary_as_string", PARQUET, |o, v| boolean(v).map(|v| o.parquet.global.binary_as_string = v)),
    option!(/// Whether key-value metadata is left out, so that files that differ in nothing else can be read together.
        "skip_metadata", PARQUET, |o, v| boolean(v).map(|v| o.parquet.global.skip_metadata = v)),
    option!(/// The unit of timestamps in old INT96 columns: ns, us, ms or s.
        "coerce_int96", PARQUET, |o, v| time_unit(v).map(|v| o.parquet.global.coerce_int96 = Some(v))),
    option!(/// How new files are compressed, such as zstd(3).
        "compression", PARQUET, |o, v| { o.parquet.global.compression = Some(v.to_owned()); Ok(()) }),
];

impl ReadOptions {
    /// The session's options, overridden by `given`.
    ///
    /// # Errors
    /// `Invalid` for an option that the format does not have, naming those it has, and for a bad value.
    pub(super) fn parse(format: Format, given: &BTreeMap<String, String>, session: &dyn Session) -> Result<Self> {
        let defaults = session.default_table_options();
        let mut options = Self {
            csv: CsvOptions { schema_infer_max_rec: Some(INFER_ROWS), ..defaults.csv },
            json: JsonOptions { schema_infer_max_rec: Some(INFER_ROWS), ..defaults.json },
            json_array: None,
            parquet: defaults.parquet,
            compression: None,
            hive: None,
        };
        for (name, value) in given {
            let spec = find(format, name)?;
            (spec.set)(&mut options, value)
                .map_err(|wanted| Error::invalid(format!("option '{name}' can not be '{value}': {wanted}")))?;
        }
        Ok(options)
    }
}

/// Names are case-insensitive; `format.` and `csv.` in front are how other engines group them.
fn find(format: Format, name: &str) -> Result<&'static OptionSpec> {
    let lower = name.to_ascii_lowercase();
    let bare = lower.strip_prefix("format.").unwrap_or(&lower);
    let bare = bare.strip_prefix(format.name()).and_then(|rest| rest.strip_prefix('.')).unwrap_or(bare);
    let of_format = || OPTIONS.iter().filter(|spec| spec.formats.contains(&format));
    if let Some(spec) = of_format().find(|spec| spec.name == bare || spec.aliases.contains(&bare)) {
        return Ok(spec);
    }
    let names: Vec<&str> =
        of_format().flat_map(|spec| std::iter::once(spec.name).chain(spec.aliases.iter().copied())).collect();
    let listed: Vec<&str> = of_format().map(|spec| spec.name).collect();
    Err(Error::invalid(format!("{} files have no option '{name}'", format.name()))
        .suggest(suggest::closest(bare, names))
        .hint(format!("the options are {}", listed.join(", "))))
}

fn boolean(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}

fn count(value: &str) -> Result<usize, String> {
    value.parse().ok().filter(|count| *count > 0).ok_or_else(|| "write a whole number above 0".to_owned())
}

fn byte(value: &str) -> Result<u8, String> {
    match value {
        "\\t" => Ok(b'\t'),
        "\\n" => Ok(b'\n'),
        "\\r" => Ok(b'\r'),
        other => match other.as_bytes() {
            [byte] if byte.is_ascii() => Ok(*byte),
            _ => Err("write one ASCII character".to_owned()),
        },
    }
}

fn json_layout(value: &str) -> Result<Option<bool>, String> {
    match value.to_ascii_lowercase().as_str() {
        "auto" => Ok(None),
        "lines" | "newline_delimited" | "nd" => Ok(Some(false)),
        "array" => Ok(Some(true)),
        _ => Err("write lines, array or auto".to_owned()),
    }
}

fn time_unit(value: &str) -> Result<String, String> {
    match value {
        "ns" | "us" | "ms" | "s" => Ok(value.to_owned()),
        _ => Err("write ns, us, ms or s".to_owned()),
    }
}

/// DataFusion 55 minds other texts when it infers types and forgets them when it reads, which makes wrong rows.
fn null_text(value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Ok(());
    }
    Err(format!("only empty values are NULL; write NULLIF(column, '{value}') in the query"))
}
