//! Compression of responses by `Accept-Encoding`: zstd, br and gzip, where the format is not compressed by itself.


use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::compression::{CompressionLayer, CompressionLevel};

/// What is compressed already, or must arrive bit by bit.
#[derive(Debug, Clone, Copy)]
struct NotMarked;

/// A response with this header stays as it is.
pub(super) const AS_IS: &str = "x-tidemill-as-is";

impl Predicate for NotMarked {
    fn should_compress<B: http_body::Body>(&self, response: &axum::http::Response<B>) -> bool {
        !response.headers().contains_key(AS_IS)
    }
}

pub(super) fn layer() -> CompressionLayer<impl Predicate> {
    let predicate = SizeAbove::new(256)
        .and(NotMarked)
        .and(NotForContentType::const_new("text/event-stream"))
        .and(NotForContentType::const_new("application/vnd.apache.parquet"));
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(predicate)
}
