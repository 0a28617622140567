//! Compression of responses by `Accept-Encoding`: zstd, br and gzip, where the format is not compressed by itself.

use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::compression::{CompressionLayer, CompressionLevel};

/// An extension of a response that is compressed already, or whose bytes are counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct AsIs;

#[derive(Debug, Clone, Copy)]
struct NotAsIs;

impl Predicate for NotAsIs {
    fn should_compress<B: http_body::Body>(&self, response: &axum::http::Response<B>) -> bool {
        response.extensions().get::<AsIs>().is_none()
    }
}

pub(super) fn layer() -> CompressionLayer<impl Predicate> {
    let predicate = SizeAbove::new(256).and(NotAsIs).and(NotForContentType::const_new("text/event-stream"));
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(predicate)
}
