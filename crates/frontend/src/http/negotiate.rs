//! Which format a client gets: `Accept` by RFC 9110, overridden by `?format=` and by options of the request.

use serde::{Deserialize, Serialize};
use tidemill_engine::{Error, Subject};
use utoipa::ToSchema;

use super::problem::Problem;

mod accept;
#[cfg(test)]
mod tests;

use accept::Range;

/// The format of a result, with its options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The Arrow IPC stream.
    ArrowStream {
        /// Compression of buffers.
        codec: Codec,
    },
    /// The Arrow IPC file.
    ArrowFile {
        /// Compression of buffers.
        codec: Codec,
    },
    /// One JSON document.
    Json {
        /// What a row is.
        rows: Rows,
        /// How wide integers are written.
        numbers: Numbers,
        /// How floats without a number are written.
        nan: NotANumber,
    },
    /// One JSON object per line.
    Ndjson {
        /// Whether the first line has the columns.
        header: Header,
        /// How wide integers are written.
        numbers: Numbers,
        /// How floats without a number are written.
        nan: NotANumber,
    },
    /// Comma-separated values.
    Csv {
        /// Whether the first line has the names.
        header: Header,
    },
    /// Tab-separated values.
    Tsv {
        /// Whether the first line has the names.
        header: Header,
    },
    /// A Parquet file.
    Parquet,
    /// A Markdown table.
    Markdown,
    /// A table for eyes.
    Text,
    /// A table for pages: a fragment of HTML.
    Html,
}

/// What a row of a JSON document is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rows {
    /// An array of values, in the order of the schema.
    #[default]
    Arrays,
    /// An object of values by column name.
    Objects,
}

/// How integers of 64 bits are written in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Numbers {
    /// As numbers.
    #[default]
    Native,
    /// As strings, for clients that keep 53 bits of a number only.
    String,
}

/// How `NaN` and the infinities, for which JSON has no number, are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NotANumber {
    /// As `null`.
    #[default]
    Null,
    /// As `"NaN"`, `"Infinity"` and `"-Infinity"`.
    String,
}

/// Whether the first line has the names of the columns; by default in CSV and TSV, not in NDJSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Header {
    /// It has.
    #[default]
    Present,
    /// It is the first row.
    Absent,
}

/// Compression of the buffers inside Arrow IPC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// None.
    #[default]
    None,
    /// Zstandard.
    Zstd,
    /// LZ4 frames.
    Lz4,
}

/// Options of a format that a request names itself: as `format_options` of a JSON body, or as parameters of the URL. Each holds
/// only for formats that have it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FormatOptions {
    /// What a row of a JSON document is.
    #[serde(default)]
    pub rows: Option<Rows>,
    /// How integers of 64 bits are written in JSON.
    #[serde(default)]
    pub numbers: Option<Numbers>,
    /// How `NaN` and the infinities are written in JSON.
    #[serde(default)]
    pub nan: Option<NotANumber>,
    /// Whether CSV and TSV begin with the names.
    #[serde(default)]
    pub header: Option<Header>,
    /// Compression of the buffers inside Arrow IPC.
    #[serde(default)]
    pub codec: Option<Codec>,
}

impl FormatOptions {
    /// These options, and those of `other` where these say nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            rows: self.rows.or(other.rows),
            numbers: self.numbers.or(other.numbers),
            nan: self.nan.or(other.nan),
            header: self.header.or(other.header),
            codec: self.codec.or(other.codec),
        }
    }
}

/// A format as it is offered, in the order of preference among formats that a client likes equally well.
struct Offer {
    name: &'static str,
    media_type: &'static str,
    /// Other names for it: of `?format=`, and media types in use.
    aliases: &'static [&'static str],
    format: fn(FormatOptions) -> Format,
}

const OFFERS: [Offer; 10] = [
    Offer {
        name: "json",
        media_type: "application/json",
        aliases: &[],
        format: |options| Format::Json {
            rows: options.rows.unwrap_or_default(),
            numbers: options.numbers.unwrap_or_default(),
            nan: options.nan.unwrap_or_default(),
        },
    },
    Offer {
        name: "arrow",
        media_type: "application/vnd.apache.arrow.stream",
        aliases: &["arrow_stream", "arrows"],
        format: |options| Format::ArrowStream { codec: options.codec.unwrap_or_default() },
    },
    Offer {
        name: "arrow_file",
        media_type: "application/vnd.apache.arrow.file",
        aliases: &["feather"],
        format: |options| Format::ArrowFile { codec: options.codec.unwrap_or_default() },
    },
    Offer {
        name: "ndjson",
        media_type: "application/x-ndjson",
        aliases: &["jsonl", "application/ndjson", "application/jsonl"],
        // Who reads line by line expects rows alone, so that the first line must be asked for.
        format: |options| Format::Ndjson {
            header: options.header.unwrap_or(Header::Absent),
            numbers: options.numbers.unwrap_or_default(),
            nan: options.nan.unwrap_or_default(),
        },
    },
    Offer {
        name: "csv",
        media_type: "text/csv",
        aliases: &[],
        format: |options| Format::Csv { header: options.header.unwrap_or_default() },
    },
    Offer {
        name: "tsv",
        media_type: "text/tab-separated-values",
        aliases: &[],
        format: |options| Format::Tsv { header: options.header.unwrap_or_default() },
    },
    Offer {
        name: "parquet",
        media_type: "application/vnd.apache.parquet",
        aliases: &["application/parquet"],
        format: |_| Format::Parquet,
    },
    Offer { name: "markdown", media_type: "text/markdown", aliases: &["md"], format: |_| Format::Markdown },
    Offer { name: "text", media_type: "text/plain", aliases: &["table"], format: |_| Format::Text },
    Offer { name: "html", media_type: "text/html", aliases: &[], format: |_| Format::Html },
];

impl Format {
    /// The names that `?format=` and `--format` take, one per format.
    pub fn names() -> impl Iterator<Item = &'static str> {
        OFFERS.iter().map(|offer| offer.name)
    }

    /// The media types that are offered.
    pub fn media_types() -> impl Iterator<Item = &'static str> {
        OFFERS.iter().map(|offer| offer.media_type)
    }

    /// The format of this name or media type.
    pub fn named(name: &str, options: FormatOptions) -> Option<Self> {
        let offer = OFFERS.iter().find(|offer| offer.is(name))?;
        Some((offer.format)(options))
    }

    /// The value of `Content-Type`.
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::ArrowStream { codec: Codec::None } => "application/vnd.apache.arrow.stream",
            Self::ArrowStream { codec: Codec::Zstd } => "application/vnd.apache.arrow.stream; codecs=zstd",
            Self::ArrowStream { codec: Codec::Lz4 } => "application/vnd.apache.arrow.stream; codecs=lz4",
            Self::ArrowFile { codec: Codec::None } => "application/vnd.apache.arrow.file",
            Self::ArrowFile { codec: Codec::Zstd } => "application/vnd.apache.arrow.file; codecs=zstd",
            Self::ArrowFile { codec: Codec::Lz4 } => "application/vnd.apache.arrow.file; codecs=lz4",
            Self::Json { .. } => "application/json",
            Self::Ndjson { .. } => "application/x-ndjson",
            Self::Csv { header: Header::Present } => "text/csv; charset=utf-8; header=present",
            Self::Csv { header: Header::Absent } => "text/csv; charset=utf-8; header=absent",
            Self::Tsv { .. } => "text/tab-separated-values; charset=utf-8",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Markdown => "text/markdown; charset=utf-8",
            Self::Text => "text/plain; charset=utf-8",
            Self::Html => "text/html; charset=utf-8",
        }
    }

    /// The extension of a file with such a result, without the dot.
    pub fn extension(&self) -> &'static str {
        match self {
            Self::ArrowStream { .. } => "arrows",
            Self::ArrowFile { .. } => "arrow",
            Self::Json { .. } => "json",
            Self::Ndjson { .. } => "ndjson",
            Self::Csv { .. } => "csv",
            Self::Tsv { .. } => "tsv",
            Self::Parquet => "parquet",
            Self::Markdown => "md",
            Self::Text => "txt",
            Self::Html => "html",
        }
    }

    /// Whether the bytes are compressed already, so that `Content-Encoding` would only cost time.
    pub fn is_compressed(&self) -> bool {
        match self {
            Self::ArrowStream { codec } | Self::ArrowFile { codec } => *codec != Codec::None,
            Self::Parquet => true,
            Self::Json { .. }
            | Self::Ndjson { .. }
            | Self::Csv { .. }
            | Self::Tsv { .. }
            | Self::Markdown
            | Self::Text
            | Self::Html => false,
        }
    }
}

impl Offer {
    fn is(&self, name: &str) -> bool {
        let mut names = [self.name, self.media_type].into_iter().chain(self.aliases.iter().copied());
        names.any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// Why no format was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NegotiationError {
    /// Nothing that the client takes is offered.
    NotAcceptable {
        /// What it takes.
        asked: String,
    },
    /// An option has a value that it cannot have.
    Option {
        /// The option.
        name: String,
        /// What it has.
        value: String,
        /// What it can have.
        accepted: &'static str,
    },
}

impl From<NegotiationError> for Problem {
    fn from(error: NegotiationError) -> Self {
        match error {
            NegotiationError::NotAcceptable { asked } => {
                let offered = Format::media_types().collect::<Vec<_>>().join(", ");
                let names = Format::names().collect::<Vec<_>>().join(", ");
                Self::not_acceptable(
                    format!("no format of results matches '{asked}'"),
                    format!("accept one of {offered}; or set ?format= to one of {names}"),
                )
            }
            NegotiationError::Option { name, value, accepted } => Self::of_statement(
                &Error::invalid(format!("format option {name} cannot be '{value}'"))
                    .about(Subject::Parameter)
                    .hint(format!("use {accepted}")),
            ),
        }
    }
}

/// The format of a response: by name if the request names one, else by the values of its `Accept` headers, else JSON. `options`
/// win over parameters in `Accept`.
///
/// # Errors
/// A name or media types that are not offered (406), or an option that cannot be (400).
pub fn negotiate<'a>(
    name: Option<&str>,
    accept: impl IntoIterator<Item = &'a str>,
    options: FormatOptions,
) -> Result<Format, NegotiationError> {
    if let Some(name) = name {
        return Format::named(name, options).ok_or_else(|| NegotiationError::NotAcceptable { asked: name.to_owned() });
    }
    let accept = accept.into_iter().collect::<Vec<_>>().join(", ");
    if accept.trim().is_empty() {
        return Ok((OFFERS[0].format)(options));
    }
    let ranges = accept::parse(&accept);
    // Later offers win only if strictly better, so that their order decides among equals.
    let mut best: Option<(&Offer, &Range, (u16, u8, usize))> = None;
    for offer in &OFFERS {
        let Some((at, range)) = matching(offer, &ranges) else { continue };
        let rank = (range.quality, range.specificity(), ranges.len() - at);
        if range.quality > 0 && best.is_none_or(|(_, _, other)| rank > other) {
            best = Some((offer, range, rank));
        }
    }
    let Some((offer, range, _)) = best else { return Err(NegotiationError::NotAcceptable { asked: accept }) };
    Ok((offer.format)(options.or(range.options()?)))
}

/// The range that decides over an offer: the most specific; of those, the best liked.
fn matching<'a>(offer: &Offer, ranges: &'a [Range]) -> Option<(usize, &'a Range)> {
    ranges
        .iter()
        .enumerate()
        .filter(|(_, range)| {
            range.matches(offer.media_type) || (range.specificity() == 2 && offer.is(&range.essence()))
        })
        .max_by_key(|(at, range)| (range.specificity(), range.quality, ranges.len() - at))
}
