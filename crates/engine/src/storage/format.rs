//! The file formats, and how files tell which one they have.

use datafusion::common::parsers::CompressionTypeVariant;

use crate::plan::suggest;
use crate::{Error, Result};

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Parquet,
    Csv,
    Json,
    Arrow,
    Avro,
}

/// What the name of a file tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recognized {
    pub(super) format: Format,
    pub(super) compression: CompressionTypeVariant,
    /// Values are separated by tabs.
    pub(super) tabs: bool,
}

/// File name extensions (and names in SQL) with their formats.
const EXTENSIONS: [(&str, Format); 14] = [
    ("parquet", Format::Parquet),
    ("parq", Format::Parquet),
    ("pq", Format::Parquet),
    ("csv", Format::Csv),
    ("tsv", Format::Csv),
    ("tab", Format::Csv),
    ("json", Format::Json),
    ("ndjson", Format::Json),
    ("jsonl", Format::Json),
    ("arrow", Format::Arrow),
    ("arrows", Format::Arrow),
    ("feather", Format::Arrow),
    ("ipc", Format::Arrow),
    ("avro", Format::Avro),
];

const COMPRESSIONS: [(&str, CompressionTypeVariant); 6] = [
    ("gz", CompressionTypeVariant::GZIP),
    ("gzip", CompressionTypeVariant::GZIP),
    ("bz2", CompressionTypeVariant::BZIP2),
    ("xz", CompressionTypeVariant::XZ),
    ("zst", CompressionTypeVariant::ZSTD),
    ("zstd", CompressionTypeVariant::ZSTD),
];

impl Format {
    /// The format that `name` names, as in `STORED AS name`.
    ///
    /// # Errors
    /// `Unsupported`, with the names there are.
    pub(super) fn parse(name: &str) -> Result<(Self, bool)> {
        let lower = name.to_ascii_lowercase();
        match EXTENSIONS.iter().find(|(known, _)| *known == lower) {
            Some((known, format)) => Ok((*format, matches!(*known, "tsv" | "tab"))),
            None => Err(Error::unsupported(format!("file format '{name}' is not supported"))
                .suggest(suggest::closest(name, EXTENSIONS.iter().map(|(known, _)| *known)))
                .hint("the formats are parquet, csv, tsv, json, arrow and avro")),
        }
    }

    /// The name in SQL.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Arrow => "arrow",
            Self::Avro => "avro",
        }
    }

    /// Whether files may be compressed as a whole; the others compress inside.
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Csv | Self::Json)
    }
}

impl Recognized {
    /// What the file name says: `a.csv.gz`, `b.parquet`.
    pub(super) fn of(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let (rest, last) = lower.rsplit_once('.')?;
        let (extension, compression) = match COMPRESSIONS.iter().find(|(known, _)| *known == last) {
            Some((_, compression)) => (rest.rsplit_once('.')?.1, *compression),
            None => (last, CompressionTypeVariant::UNCOMPRESSED),
        };
        let (_, format) = EXTENSIONS.iter().find(|(known, _)| *known == extension)?;
        if compression.is_compressed() && !format.is_text() {
            return None;
        }
        Some(Self { format: *format, compression, tabs: matches!(extension, "tsv" | "tab") })
    }
}

/// The name without the extensions that [`Recognized::of`] understands.
pub(super) fn stem(name: &str) -> &str {
    let Some((rest, last)) = name.rsplit_once('.').filter(|(rest, _)| !rest.is_empty()) else { return name };
    let is_compression = COMPRESSIONS.iter().any(|(known, _)| known.eq_ignore_ascii_case(last));
    match rest.rsplit_once('.') {
        Some((inner, extension)) if is_compression && !inner.is_empty() && Format::parse(extension).is_ok() => inner,
        _ => rest,
    }
}

/// The compression that `name` names, as in `compression => 'gzip'`.
pub(super) fn parse_compression(name: &str) -> Result<CompressionTypeVariant, String> {
    let lower = name.to_ascii_lowercase();
    if matches!(lower.as_str(), "none" | "uncompressed" | "") {
        return Ok(CompressionTypeVariant::UNCOMPRESSED);
    }
    let known = match lower.as_str() {
        "bzip2" => Some(CompressionTypeVariant::BZIP2),
        other => COMPRESSIONS.iter().find(|(known, _)| *known == other).map(|(_, compression)| *compression),
    };
    known.ok_or_else(|| "write gzip, bzip2, xz, zstd or none".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_format_and_compression() {
        let csv = Recognized::of("a.b.CSV.gz").unwrap();
        assert_eq!((csv.format, csv.compression), (Format::Csv, CompressionTypeVariant::GZIP));
        assert!(Recognized::of("x.tsv").unwrap().tabs);
        assert_eq!(Recognized::of("x.snappy.parquet").unwrap().format, Format::Parquet);
        for unknown in ["README", "a.txt", "a.gz", "a.parquet.gz"] {
            assert_eq!(Recognized::of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn stems_lose_the_extensions_only() {
        assert_eq!(stem("orders.csv.gz"), "orders");
        assert_eq!(stem("orders.2024.parquet"), "orders.2024");
        assert_eq!(stem("orders"), "orders");
    }
}
