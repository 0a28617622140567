//! Stores that give nothing: they are given up after a while, whatever is tried below meanwhile. Time that a reader takes between
//! two pieces of a file does not count.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{BoxStream, Stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use url::Url;

use super::place::place;
use crate::error::{ErrorKind, Subject};
use crate::units::Span;

/// A store whose reads fail when nothing comes for `limit`.
#[derive(Debug)]
pub(super) struct WatchedStore {
    inner: Arc<dyn ObjectStore>,
    url: Url,
    limit: Duration,
}

impl WatchedStore {
    /// The store of `url`, watched if there is a limit.
    pub(super) fn of(inner: Arc<dyn ObjectStore>, url: &Url, limit: Option<Duration>) -> Arc<dyn ObjectStore> {
        match limit {
            Some(limit) => Arc::new(Self { inner, url: url.clone(), limit }),
            None => inner,
        }
    }

    fn watched<T: Send + 'static>(
        &self,
        pieces: impl Stream<Item = Result<T>> + Send + Unpin + 'static,
        path: &str,
    ) -> BoxStream<'static, Result<T>> {
        let (limit, error) = (self.limit, stalled(&self.url, path, self.limit));
        let next = move |(mut pieces, error): (_, Option<crate::Error>)| async move {
            let error = error?;
            match tokio::time::timeout(limit, StreamExt::next(&mut pieces)).await {
                Ok(piece) => piece.map(|piece| (piece, (pieces, Some(error)))),
                Err(_) => Some((Err(generic(error)), (pieces, None))),
            }
        };
        futures::stream::unfold((pieces, Some(error)), next).boxed()
    }
}

fn stalled(url: &Url, path: &str, limit: Duration) -> crate::Error {
    let message = format!("'{}' gave nothing for {} (storage.stall_timeout)", place(url, path), Span(limit));
    crate::Error::new(ErrorKind::Storage, message).about(Subject::File).hint("try again when the store answers")
}

fn generic(error: crate::Error) -> Error {
    Error::Generic { store: "storage", source: Box::new(error) }
}

#[async_trait]
impl ObjectStore for WatchedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    // Ranges come through here one by one.
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let answer = tokio::time::timeout(self.limit, self.inner.get_opts(location, options)).await;
        let mut result = answer.map_err(|_| generic(stalled(&self.url, location.as_ref(), self.limit)))??;
        result.payload = match result.payload {
            GetResultPayload::Stream(pieces) => GetResultPayload::Stream(self.watched(pieces, location.as_ref())),
            file @ GetResultPayload::File(..) => file,
        };
        Ok(result)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.watched(self.inner.list(prefix), prefix.map_or("", AsRef::as_ref))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.watched(self.inner.list_with_offset(prefix, offset), prefix.map_or("", AsRef::as_ref))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

impl fmt::Display for WatchedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn store(limit: Duration) -> WatchedStore {
        let inner = Arc::new(object_store::memory::InMemory::new());
        WatchedStore { inner, url: Url::parse("s3://bucket").unwrap(), limit }
    }

    #[tokio::test]
    async fn a_file_that_comes_no_further_is_given_up() {
        let pieces = stream::iter([Ok(1)]).chain(stream::pending());
        let mut watched = store(Duration::from_millis(50)).watched(pieces, "a.csv");
        assert!(matches!(watched.next().await, Some(Ok(1))));
        let error = crate::Error::from(watched.next().await.unwrap().unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Storage);
        assert_eq!(error.message(), "'s3://bucket/a.csv' gave nothing for 50ms (storage.stall_timeout)");
        assert!(watched.next().await.is_none());
    }

    #[tokio::test]
    async fn a_slow_reader_is_not_a_slow_store() {
        let mut watched = store(Duration::from_millis(10)).watched(stream::iter([Ok(1), Ok(2)]), "a.csv");
        assert!(matches!(watched.next().await, Some(Ok(1))));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(matches!(watched.next().await, Some(Ok(2))));
    }
}
