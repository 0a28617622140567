//! A store whose writes wait for the commit.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::execution::object_store::ObjectStoreRegistry;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use url::Url;

use super::Uploads;
use super::failure::not_written;
use super::local::LocalTarget;
use super::upload::{DeferredUpload, Staged};
use crate::storage::layer::Layer;
use crate::storage::partition::folders_of;
use crate::storage::place::place;

/// The stores of `inner` for a statement that writes.
pub(super) fn deferred(inner: Arc<dyn ObjectStoreRegistry>, uploads: Arc<Uploads>) -> Arc<dyn ObjectStoreRegistry> {
    Layer::over(inner, move |url, inner| {
        Arc::new(DeferredStore { inner, url: url.clone(), uploads: Arc::clone(&uploads) })
    })
}

#[derive(Debug)]
struct DeferredStore {
    inner: Arc<dyn ObjectStore>,
    url: Url,
    uploads: Arc<Uploads>,
}

impl DeferredStore {
    /// Opens the file in a task of its own: a writer that is dropped meanwhile would leave one that nobody knows.
    async fn stage(&self, location: &Path, options: PutMultipartOptions) -> Result<Arc<Staged>> {
        let location = folders_of(location);
        let (inner, uploads) = (Arc::clone(&self.inner), Arc::clone(&self.uploads));
        let place = place(&self.url, location.as_ref());
        let local = (self.url.scheme() == "file").then(|| LocalTarget::new(&location));
        let opened = self.uploads.opening.spawn(async move {
            uploads.refuse_late(&location)?;
            if let Some(local) = &local {
                uploads.folders.before_staging(local).await;
            }
            let upload = match inner.put_multipart_opts(&location, options).await {
                Ok(upload) => upload,
                Err(error) => return Err(uploads.fail(not_written(&place, local.as_ref(), error))),
            };
            let staged = Arc::new(Staged::new(inner, location, place, upload, local));
            if let Err(error) = uploads.add(Arc::clone(&staged)) {
                staged.abort().await?;
                return Err(error);
            }
            Ok(staged)
        });
        opened.await.map_err(|source| Error::JoinError { source })?
    }

    fn not_deferred(&self, operation: &str) -> Error {
        Error::NotImplemented {
            operation: format!("{operation} in a statement that writes files"),
            implementer: self.to_string(),
        }
    }
}

#[async_trait]
impl ObjectStore for DeferredStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if options.mode != PutMode::Overwrite {
            return Err(self.not_deferred("a conditional put"));
        }
        let PutOptions { tags, attributes, extensions, mode: _ } = options;
        let staged = self.stage(location, PutMultipartOptions { tags, attributes, extensions }).await?;
        if payload.content_length() > 0 {
            let written = staged.put_part(payload).await;
            written.map_err(|error| self.uploads.part_failed(&staged, error))?;
        }
        staged.finish();
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let staged = self.stage(location, options).await?;
        Ok(Box::new(DeferredUpload::new(staged, Arc::clone(&self.uploads))))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        futures::stream::iter([Err(self.not_deferred("a deletion"))]).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(self.not_deferred("a copy"))
    }
}

impl fmt::Display for DeferredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
