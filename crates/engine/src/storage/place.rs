//! Places as users write them. Stores know only paths, and so do their errors, until they come through here.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use url::{Position, Url};

use crate::error::{ErrorKind, Subject};

/// What is at `path` in the store of `url`, without credentials and query.
pub(super) fn place(url: &Url, path: &str) -> String {
    let path = path.trim_start_matches('/');
    match url.scheme() {
        "file" => format!("/{path}"),
        scheme => format!("{scheme}://{}/{path}", &url[Position::BeforeHost..Position::BeforePath]),
    }
}

/// A store whose errors name places.
#[derive(Debug)]
pub(super) struct PlacedStore {
    inner: Arc<dyn ObjectStore>,
    url: Url,
}

impl PlacedStore {
    /// The store of `url`.
    pub(super) fn new(inner: Arc<dyn ObjectStore>, url: Url) -> Self {
        Self { inner, url }
    }

    fn named<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| name(error, &self.url))
    }
}

fn name(error: Error, url: &Url) -> Error {
    match error {
        Error::NotFound { path, source } => Error::NotFound { path: place(url, &path), source },
        Error::AlreadyExists { path, source } => Error::AlreadyExists { path: place(url, &path), source },
        Error::Precondition { path, source } => Error::Precondition { path: place(url, &path), source },
        Error::NotModified { path, source } => Error::NotModified { path: place(url, &path), source },
        Error::PermissionDenied { path, source } => Error::PermissionDenied { path: place(url, &path), source },
        Error::Unauthenticated { path, source } => Error::Unauthenticated { path: place(url, &path), source },
        other => other,
    }
}

/// The error of a body that broke off, which names nothing by itself.
fn broken_off(error: Error, url: &Url, path: &Path) -> Error {
    let (store, source) = match name(error, url) {
        Error::Generic { store, source } => (store, source),
        other => return other,
    };
    if source.downcast_ref::<crate::Error>().is_some() {
        return Error::Generic { store, source };
    }
    let message = format!("'{}' broke off: {source}", place(url, path.as_ref()));
    let told = crate::Error::new(ErrorKind::Storage, message).about(Subject::File).hint("try again");
    Error::Generic { store, source: Box::new(told) }
}

#[async_trait]
impl ObjectStore for PlacedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.named(self.inner.put_opts(location, payload, options).await)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.named(self.inner.put_multipart_opts(location, options).await)
    }

    // Ranges come through here one by one.
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut result = self.named(self.inner.get_opts(location, options).await)?;
        let (url, location) = (self.url.clone(), location.clone());
        result.payload = match result.payload {
            GetResultPayload::Stream(stream) => {
                GetResultPayload::Stream(stream.map_err(move |error| broken_off(error, &url, &location)).boxed())
            }
            file @ GetResultPayload::File(..) => file,
        };
        Ok(result)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let url = self.url.clone();
        self.inner.delete_stream(locations).map_err(move |error| name(error, &url)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let url = self.url.clone();
        self.inner.list(prefix).map_err(move |error| name(error, &url)).boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let url = self.url.clone();
        self.inner.list_with_offset(prefix, offset).map_err(move |error| name(error, &url)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.named(self.inner.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.named(self.inner.copy_opts(from, to, options).await)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.named(self.inner.rename_opts(from, to, options).await)
    }
}

impl fmt::Display for PlacedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    #[test]
    fn places_are_as_users_write_them() {
        for (store, path, written) in [
            ("file:///", "tmp/a.csv", "/tmp/a.csv"),
            ("s3://bucket", "a/b.csv", "s3://bucket/a/b.csv"),
            ("https://query-c2lnPXg@example.org:8443/", "/a.csv", "https://example.org:8443/a.csv"),
        ] {
            assert_eq!(place(&Url::parse(store).unwrap(), path), written);
        }
    }

    #[tokio::test]
    async fn the_errors_of_a_store_name_the_place() {
        let store = PlacedStore::new(Arc::new(InMemory::new()), Url::parse("s3://bucket").unwrap());
        let error = crate::Error::from(store.get(&Path::from("a/b.csv")).await.unwrap_err());
        assert_eq!(error.message(), "no file or object at 's3://bucket/a/b.csv'");
    }
}
