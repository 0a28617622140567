//! One staged file.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::FutureExt;
use object_store::path::Path;
use object_store::{Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, PutResult, Result, UploadPart};
use parking_lot::Mutex;

use super::Uploads;
use super::local::LocalTarget;

/// An upload whose completion waits for the commit.
pub(super) struct Staged {
    store: Arc<dyn ObjectStore>,
    location: Path,
    /// As users write it.
    place: String,
    /// Gone once completed or aborted.
    upload: Mutex<Option<Box<dyn MultipartUpload>>>,
    finished: AtomicBool,
    /// Where the file will be, if it is local.
    local: Option<LocalTarget>,
}

impl Staged {
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        location: Path,
        place: String,
        upload: Box<dyn MultipartUpload>,
        local: Option<LocalTarget>,
    ) -> Self {
        Self { store, location, place, upload: Mutex::new(Some(upload)), finished: AtomicBool::new(false), local }
    }

    pub(super) fn location(&self) -> &Path {
        &self.location
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn local(&self) -> Option<&LocalTarget> {
        self.local.as_ref()
    }

    pub(super) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Whether the writer wrote to the end.
    pub(super) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Whether it was completed or aborted.
    pub(super) fn is_over(&self) -> bool {
        self.upload.lock().is_none()
    }

    pub(super) fn finish(&self) {
        self.finished.store(true, Ordering::Release);
    }

    pub(super) fn put_part(&self, data: PutPayload) -> UploadPart {
        match self.upload.lock().as_mut() {
            Some(upload) => upload.put_part(data),
            None => futures::future::ready(Err(ended(&self.location))).boxed(),
        }
    }

    /// Makes the file visible.
    pub(super) async fn complete(&self) -> Result<()> {
        let Some(mut upload) = self.take() else { return Err(ended(&self.location)) };
        let completed = upload.complete().await;
        if completed.is_err() {
            // Some stores keep the parts; the error that matters is the first one.
            let _ = upload.abort().await;
            if let Some(local) = &self.local {
                local.remove_staged().await;
            }
        }
        completed.map(drop)
    }

    /// Throws the file away; more than once is fine.
    pub(super) async fn abort(&self) -> Result<()> {
        let Some(mut upload) = self.take() else { return Ok(()) };
        upload.abort().await
    }

    /// Deletes the file after it was made visible.
    pub(super) async fn delete(&self) -> Result<()> {
        self.store.delete(&self.location).await
    }

    fn take(&self) -> Option<Box<dyn MultipartUpload>> {
        self.upload.lock().take()
    }
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staged").field("location", &self.location).finish_non_exhaustive()
    }
}

/// The upload as the writer sees it.
#[derive(Debug)]
pub(super) struct DeferredUpload {
    staged: Arc<Staged>,
    uploads: Arc<Uploads>,
}

impl DeferredUpload {
    pub(super) fn new(staged: Arc<Staged>, uploads: Arc<Uploads>) -> Self {
        Self { staged, uploads }
    }
}

#[async_trait]
impl MultipartUpload for DeferredUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = self.staged.put_part(data);
        let (staged, uploads) = (Arc::clone(&self.staged), Arc::clone(&self.uploads));
        part.map(move |written| written.map_err(|error| uploads.part_failed(&staged, error))).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.staged.finish();
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        self.uploads.remove(&self.staged);
        self.staged.abort().await
    }
}

/// The statement ended before this file was written.
pub(super) fn ended(location: &Path) -> Error {
    Error::Generic { store: "deferred", source: format!("the statement that writes '{location}' has ended").into() }
}
