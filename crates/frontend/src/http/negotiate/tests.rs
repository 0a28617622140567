use super::*;
use Header::{Absent, Present};

fn accepting(accept: &str) -> Result<Format, NegotiationError> {
    negotiate(None, [accept], FormatOptions::default())
}

const JSON: Format = Format::Json { rows: Rows::Arrays, numbers: Numbers::Native, nan: NotANumber::Null };

#[test]
fn accept_headers_choose_formats() {
    let arrow = |codec| Format::ArrowStream { codec };
    for (accept, expected) in [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/*", Format::Csv { header: Present }),
        ("text/csv", Format::Csv { header: Present }),
        ("TEXT/CSV; Header=ABSENT", Format::Csv { header: Absent }),
        ("text/tab-separated-values", Format::Tsv { header: Present }),
        ("text/csv, */*", Format::Csv { header: Present }),
        ("*/*, text/csv;q=0.9", JSON),
        ("text/csv;q=0.5, application/vnd.apache.parquet;q=0.8", Format::Parquet),
        ("application/json;q=0, */*", arrow(Codec::None)),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Html),
        ("image/png, text/markdown", Format::Markdown),
        ("text/plain, text/markdown", Format::Text),
        (
            "application/x-ndjson",
            Format::Ndjson { header: Header::Absent, numbers: Numbers::Native, nan: NotANumber::Null },
        ),
        (
            "application/x-ndjson;header=present",
            Format::Ndjson { header: Present, numbers: Numbers::Native, nan: NotANumber::Null },
        ),
        (
            "application/jsonl",
            Format::Ndjson { header: Header::Absent, numbers: Numbers::Native, nan: NotANumber::Null },
        ),
        ("application/vnd.apache.arrow.stream", arrow(Codec::None)),
        ("application/vnd.apache.arrow.stream; codecs=\"zstd, lz4\"", arrow(Codec::Zstd)),
        ("application/vnd.apache.arrow.stream;codecs=\"snappy,lz4\"", arrow(Codec::Lz4)),
        ("application/vnd.apache.arrow.file;codecs=zstd", Format::ArrowFile { codec: Codec::Zstd }),
        (
            "application/json;numbers=string;rows=objects;nan=string",
            Format::Json { rows: Rows::Objects, numbers: Numbers::String, nan: NotANumber::String },
        ),
    ] {
        assert_eq!(accepting(accept), Ok(expected), "{accept}");
    }
}

#[test]
fn what_is_not_offered_is_refused_with_the_list() {
    for accept in ["image/png", "application/json;q=0", "application/xml;q=0.9", "nonsense", "*/csv", "text/csv;q=7"] {
        let error = accepting(accept).unwrap_err();
        assert_eq!(error, NegotiationError::NotAcceptable { asked: accept.to_owned() });
        let problem = Problem::from(error);
        assert_eq!((problem.status, problem.code.as_str()), (406, "NOT_ACCEPTABLE"));
        assert!(problem.hint.unwrap().contains("application/vnd.apache.parquet"));
    }
    for (accept, known) in [
        ("application/json;rows=columns", "arrays or objects"),
        ("application/vnd.apache.arrow.stream;codecs=snappy", "zstd, lz4 or none"),
    ] {
        let problem = Problem::from(accepting(accept).unwrap_err());
        assert_eq!((problem.status, problem.hint.as_deref()), (400, Some(&*format!("use {known}"))), "{accept}");
    }
}

#[test]
fn the_request_overrides_the_header() {
    let options = FormatOptions { numbers: Some(Numbers::String), ..FormatOptions::default() };
    let json = Format::Json { rows: Rows::Arrays, numbers: Numbers::String, nan: NotANumber::Null };
    assert_eq!(negotiate(Some("json"), ["text/csv"], options), Ok(json));
    assert_eq!(negotiate(None, ["application/json;numbers=native"], options), Ok(json));
    assert_eq!(negotiate(Some("Parquet"), [], options), Ok(Format::Parquet));
    assert!(negotiate(Some("xml"), ["*/*"], options).is_err());
}

#[test]
fn every_name_and_media_type_leads_to_its_format() {
    for (name, media_type) in Format::names().zip(Format::media_types()) {
        let format = Format::named(name, FormatOptions::default()).unwrap();
        assert_eq!(accepting(media_type), Ok(format));
        assert!(format.content_type().starts_with(media_type), "{name}");
    }
}
