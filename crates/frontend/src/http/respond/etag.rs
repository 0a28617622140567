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

    /// Whether the client says that it has the document (`If-None-Match`).
    pub(crate) fn is_known(&self, headers: &HeaderMap) -> bool {
        let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
        tags.any(|tag| tag == "*" || unquoted(tag.strip_prefix("W/").unwrap_or(tag)) == Some(self.opaque.as_str()))
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
