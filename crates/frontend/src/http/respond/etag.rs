//! Entity tags (RFC 9110, section 8.8.3): a kept result never changes, so that who has it need not fetch it again.

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};

use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, ETAG, IF_NONE_MATCH, IF_RANGE};
use axum::http::{HeaderMap, HeaderValue};
use tidemill_engine::QueryId;

use super::Wanted;
use crate::http::negotiate::Format;

/// Whoever keeps a result asks before each use whether it is still there; no cache in between keeps it for others.
const KEEP_AND_ASK: HeaderValue = HeaderValue::from_static("private, no-cache");

/// Validators that one request may send; a client has a few versions of an answer at most.
const MAX_VALIDATORS: usize = 100;

/// The tag of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntityTag {
    /// The name between the quotes.
    opaque: String,
    /// Whether documents with this tag are the same byte by byte.
    strong: bool,
}

impl EntityTag {
    /// The tag of these rows of a kept result, in this format.
    pub(crate) fn new(id: QueryId, extent: &impl Debug, wanted: &Wanted, headers: &HeaderMap) -> Self {
        let mut hasher = DefaultHasher::new();
        // Another version may encode in another way.
        format!("{} {:?} {extent:?}", env!("CARGO_PKG_VERSION"), wanted.format).hash(&mut hasher);
        let identity = headers.get(ACCEPT_ENCODING).is_none_or(|codings| codings == "identity");
        // The costs in a JSON document come from history, which forgets; other documents are compressed on their way.
        let strong = wanted.format.is_compressed() || (identity && !matches!(wanted.format, Format::Json { .. }));
        Self { opaque: format!("{id}-{:016x}", hasher.finish()), strong }
    }

    /// The tag of the answer with this validator, in this format. It is weak: another run may give the rows in another order.
    pub(crate) fn of_answer(validator: &str, wanted: &Wanted) -> Self {
        Self { opaque: format!("{validator}-{:016x}", of_format(wanted)), strong: false }
    }

    /// The validators of the answers in this format that the client says it has (`If-None-Match`).
    pub(crate) fn validators(headers: &HeaderMap, wanted: &Wanted) -> Vec<String> {
        let format = format!("-{:016x}", of_format(wanted));
        // Whether there is any answer, which `*` asks, takes a run to tell.
        let own = tags(headers).filter_map(|tag| opaque(tag)?.strip_suffix(format.as_str()));
        own.take(MAX_VALIDATORS).map(str::to_owned).collect()
    }

    /// Whether the client says that it has the document (`If-None-Match`).
    pub(crate) fn is_known(&self, headers: &HeaderMap) -> bool {
        tags(headers).any(|tag| tag == "*" || opaque(tag) == Some(self.opaque.as_str()))
    }

    /// Whether a range is of the document that the client began to fetch (`If-Range`).
    pub(crate) fn allows_range(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(IF_RANGE) else { return true };
        self.strong && value.to_str().is_ok_and(|tag| unquoted(tag.trim()) == Some(self.opaque.as_str()))
    }

    /// Puts the tag into the headers of a response.
    pub(crate) fn mark(&self, headers: &mut HeaderMap) {
        let weak = if self.strong { "" } else { "W/" };
        if let Ok(value) = HeaderValue::from_str(&format!("{weak}\"{}\"", self.opaque)) {
            headers.insert(ETAG, value);
        }
        headers.insert(CACHE_CONTROL, KEEP_AND_ASK);
    }
}

/// The tags of `If-None-Match`.
fn tags(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// The name between the quotes, whether the tag is weak or strong.
fn opaque(tag: &str) -> Option<&str> {
    unquoted(tag.strip_prefix("W/").unwrap_or(tag))
}

/// What stands for a format in a tag. Another version may encode in another way.
fn of_format(wanted: &Wanted) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{} {:?}", env!("CARGO_PKG_VERSION"), wanted.format).hash(&mut hasher);
    hasher.finish()
}

fn unquoted(tag: &str) -> Option<&str> {
    tag.strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::negotiate::FormatOptions;

    fn tag(id: QueryId, format: &str, extent: usize, headers: &HeaderMap) -> EntityTag {
        let format = Format::named(format, FormatOptions::default()).unwrap();
        EntityTag::new(id, &extent, &Wanted { format, download: false }, headers)
    }

    fn header(name: axum::http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_tag_is_of_one_result_in_one_format() {
        let (id, none) = (QueryId::new(), HeaderMap::new());
        let own = tag(id, "csv", 0, &none);
        assert_eq!(own, tag(id, "csv", 0, &none));
        for other in [tag(QueryId::new(), "csv", 0, &none), tag(id, "tsv", 0, &none), tag(id, "csv", 1, &none)] {
            assert_ne!(own.opaque, other.opaque);
        }
    }

    #[test]
    fn a_tag_is_strong_only_where_bytes_are_the_same() {
        let (id, packed) = (QueryId::new(), header(ACCEPT_ENCODING, "gzip, br"));
        assert!(tag(id, "parquet", 0, &packed).strong);
        assert!(tag(id, "csv", 0, &HeaderMap::new()).strong);
        assert!(!tag(id, "csv", 0, &packed).strong);
        assert!(!tag(id, "json", 0, &HeaderMap::new()).strong);
    }

    #[test]
    fn a_tag_of_an_answer_is_known_again_in_its_format_alone() {
        let wanted = |name| Wanted { format: Format::named(name, FormatOptions::default()).unwrap(), download: false };
        let mut marked = HeaderMap::new();
        EntityTag::of_answer("abc", &wanted("csv")).mark(&mut marked);
        let sent = header(IF_NONE_MATCH, &format!("\"other\", {}", marked[ETAG].to_str().unwrap()));
        assert_eq!(EntityTag::validators(&sent, &wanted("csv")), ["abc"]);
        assert!(EntityTag::validators(&sent, &wanted("tsv")).is_empty());
        assert!(EntityTag::validators(&header(IF_NONE_MATCH, "*"), &wanted("csv")).is_empty());
    }

    #[test]
    fn conditions() {
        let own = tag(QueryId::new(), "parquet", 0, &HeaderMap::new());
        let mut marked = HeaderMap::new();
        own.mark(&mut marked);
        let value = marked[ETAG].to_str().unwrap();
        assert!(own.is_known(&header(IF_NONE_MATCH, value)));
        assert!(own.is_known(&header(IF_NONE_MATCH, &format!("\"other\", W/{value}"))));
        assert!(own.is_known(&header(IF_NONE_MATCH, "*")));
        assert!(!own.is_known(&header(IF_NONE_MATCH, "\"other\"")));
        assert!(!own.is_known(&HeaderMap::new()));
        assert!(own.allows_range(&HeaderMap::new()));
        assert!(own.allows_range(&header(IF_RANGE, value)));
        assert!(!own.allows_range(&header(IF_RANGE, &format!("W/{value}"))));
        assert!(!own.allows_range(&header(IF_RANGE, "Tue, 01 Sep 2026 10:00:00 GMT")));
    }
}
