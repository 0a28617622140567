//! The syntax of `Accept`: media ranges with parameters and weights.

use super::{Codec, FormatOptions, Header, NegotiationError, NotANumber, Numbers, Rows};

/// One range, such as `text/*;q=0.5`.
#[derive(Debug)]
pub(super) struct Range {
    kind: String,
    subtype: String,
    parameters: Vec<(String, String)>,
    /// In thousandths.
    pub(super) quality: u16,
}

impl Range {
    pub(super) fn essence(&self) -> String {
        format!("{}/{}", self.kind, self.subtype)
    }

    /// 0 for `*/*`, 1 for `type/*`, 2 for a media type.
    pub(super) fn specificity(&self) -> u8 {
        u8::from(self.kind != "*") + u8::from(self.subtype != "*")
    }

    pub(super) fn matches(&self, media_type: &str) -> bool {
        let Some((kind, subtype)) = media_type.split_once('/') else { return false };
        (self.kind == "*" || self.kind == kind) && (self.subtype == "*" || self.subtype == subtype)
    }

    /// The parameters that are options of a format; others are ignored, as clients send what they like.
    pub(super) fn options(&self) -> Result<FormatOptions, NegotiationError> {
        let mut options = FormatOptions::default();
        for (name, value) in &self.parameters {
            let lower = value.to_ascii_lowercase();
            let invalid = |accepted| NegotiationError::Option { name: name.clone(), value: value.clone(), accepted };
            match (name.as_str(), lower.as_str()) {
                ("rows", "arrays") => options.rows = Some(Rows::Arrays),
                ("rows", "objects") => options.rows = Some(Rows::Objects),
                ("rows", _) => return Err(invalid("arrays or objects")),
                ("numbers", "native") => options.numbers = Some(Numbers::Native),
                ("numbers", "string") => options.numbers = Some(Numbers::String),
                ("numbers", _) => return Err(invalid("native or string")),
                ("nan", "null") => options.nan = Some(NotANumber::Null),
                ("nan", "string") => options.nan = Some(NotANumber::String),
                ("nan", _) => return Err(invalid("null or string")),
                ("header", "present") => options.header = Some(Header::Present),
                ("header", "absent") => options.header = Some(Header::Absent),
                ("header", _) => return Err(invalid("present or absent")),
                // The client lists what it can read; one that is known will do.
                ("codecs", list) => match list.split(',').find_map(|codec| codec_of(codec.trim())) {
                    Some(codec) => options.codec = Some(codec),
                    None => return Err(invalid("zstd, lz4 or none")),
                },
                _ => {}
            }
        }
        Ok(options)
    }
}

fn codec_of(name: &str) -> Option<Codec> {
    match name {
        "none" => Some(Codec::None),
        "zstd" => Some(Codec::Zstd),
        "lz4" | "lz4_frame" => Some(Codec::Lz4),
        _ => None,
    }
}

/// The ranges of a header; what is not a range is left out.
pub(super) fn parse(header: &str) -> Vec<Range> {
    split(header, ',').into_iter().filter_map(parse_range).collect()
}

fn parse_range(text: &str) -> Option<Range> {
    let mut parts = split(text, ';').into_iter();
    let (kind, subtype) = parts.next()?.trim().split_once('/')?;
    let (kind, subtype) = (kind.trim().to_ascii_lowercase(), subtype.trim().to_ascii_lowercase());
    if kind.is_empty() || subtype.is_empty() || (kind == "*" && subtype != "*") {
        return None;
    }
    let mut range = Range { kind, subtype, parameters: Vec::new(), quality: 1_000 };
    for part in parts {
        let Some((name, value)) = part.split_once('=') else { continue };
        let (name, value) = (name.trim().to_ascii_lowercase(), unquote(value.trim()));
        if name == "q" {
            range.quality = quality(&value)?;
        } else {
            range.parameters.push((name, value));
        }
    }
    Some(range)
}

fn quality(text: &str) -> Option<u16> {
    let weight: f32 = text.parse().ok()?;
    // In range after the test, so that the cast is exact.
    (0.0..=1.0).contains(&weight).then(|| (weight * 1_000.0).round() as u16)
}

/// Splits outside of quoted strings.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if character == separator && !quoted => {
                parts.push(&text[start..at]);
                start = at + separator.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return value.to_owned() };
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next()),
            other => text.push(other),
        }
    }
    text
}
