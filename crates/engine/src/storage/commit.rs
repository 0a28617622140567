//! Writes that become visible together, or not at all.
//!
//! A statement that writes files gets its stores from [`FileCommit::registry`]. Everything it writes is staged: a local file
//! under a name that listings leave out, an object as a multipart upload that the store shows to nobody. [`FileCommit::commit`]
//! completes all uploads; dropping the commit, which is what a failed or cancelled statement does, aborts them.

mod failure;
mod local;
mod store;
mod upload;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use datafusion::execution::object_store::ObjectStoreRegistry;
use futures::StreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::{Error, ErrorKind, Result, Subject};
use local::MadeFolders;
use upload::Staged;

/// Uploads that are completed or aborted at once.
const CONCURRENCY: usize = 16;

/// How long aborting may take when nobody waits for it.
const ABORT_TIMEOUT: Duration = Duration::from_secs(30);

/// The writes of one statement.
#[derive(Debug)]
pub(crate) struct FileCommit {
    uploads: Arc<Uploads>,
    io: Handle,
}

/// What has been staged so far.
#[derive(Debug, Default)]
struct Uploads {
    staged: Mutex<Vec<Arc<Staged>>>,
    closed: AtomicBool,
    /// Files that are being opened. They are waited for, so that none appears when the statement has ended.
    opening: TaskTracker,
    folders: MadeFolders,
    /// Why the first upload failed that did. DataFusion's writers hand on that one did, but not why.
    failure: Mutex<Option<Error>>,
}

impl FileCommit {
    /// No writes yet; what is left over when this is dropped is cleaned up on `io`.
    pub(crate) fn new(io: Handle) -> Self {
        Self { uploads: Arc::default(), io }
    }

    /// The stores of `inner` for a statement that writes.
    pub(crate) fn registry(&self, inner: Arc<dyn ObjectStoreRegistry>) -> Arc<dyn ObjectStoreRegistry> {
        store::deferred(inner, Arc::clone(&self.uploads))
    }

    /// Why a file could not be written, if one could not.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.uploads.failure.lock().as_ref().map(Error::copied)
    }

    /// Makes everything visible; returns the number of files.
    ///
    /// # Errors
    /// The failure of the first upload that could not be completed. Files that this commit had made visible before it are
    /// deleted again, unless they replaced a file that existed: the message counts those.
    pub(crate) async fn commit(self) -> Result<usize> {
        let staged = self.uploads.close();
        // A statement that is cancelled now must not leave half of its files: the task goes on without it.
        let uploads = Arc::clone(&self.uploads);
        let committed = self.io.spawn(async move { uploads.commit_all(staged).await }).await;
        committed.unwrap_or_else(|error| Err(Error::internal("the commit of written files panicked").caused_by(error)))
    }

    /// Throws everything away and waits until that is done.
    pub(crate) async fn abort(self) {
        let staged = self.uploads.close();
        self.uploads.abort_all(staged).await;
    }
}

impl Drop for FileCommit {
    fn drop(&mut self) {
        let staged = self.uploads.close();
        if !staged.is_empty() || !self.uploads.opening.is_empty() || !self.uploads.folders.is_empty() {
            let uploads = Arc::clone(&self.uploads);
            self.io.spawn(async move {
                if tokio::time::timeout(ABORT_TIMEOUT, uploads.abort_all(staged)).await.is_err() {
                    tracing::warn!("staged files of a failed statement could not be removed in time");
                }
            });
        }
    }
}

impl Uploads {
    /// Adds an upload, unless the statement has ended.
    fn add(&self, upload: Arc<Staged>) -> object_store::Result<()> {
        let mut staged = self.staged.lock();
        self.refuse_late(upload.location())?;
        staged.push(upload);
        Ok(())
    }

    fn refuse_late(&self, location: &Path) -> object_store::Result<()> {
        if self.closed.load(Ordering::Relaxed) { Err(upload::ended(location)) } else { Ok(()) }
    }

    fn remove(&self, upload: &Arc<Staged>) {
        self.staged.lock().retain(|other| !Arc::ptr_eq(other, upload));
    }

    /// Takes what is staged; nothing can be added afterwards, not even by tasks that have not noticed the end yet.
    fn close(&self) -> Vec<Arc<Staged>> {
        let mut staged = self.staged.lock();
        self.closed.store(true, Ordering::Relaxed);
        std::mem::take(&mut *staged)
    }

    async fn commit_all(&self, staged: Vec<Arc<Staged>>) -> Result<usize> {
        if let Some(unfinished) = staged.iter().find(|upload| !upload.is_finished()) {
            let place = unfinished.place().to_owned();
            self.abort_all(staged).await;
            return Err(Error::internal(format!("'{place}' was not written to its end")));
        }
        let files = staged.len();
        let failed = AtomicBool::new(false);
        let outcomes: Vec<(Arc<Staged>, Outcome)> = futures::stream::iter(staged)
            .map(|upload| {
                let failed = &failed;
                async move {
                    let outcome = complete(&upload, failed).await;
                    (upload, outcome)
                }
            })
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        if !failed.load(Ordering::Relaxed) {
            self.folders.keep();
            return Ok(files);
        }
        let error = roll_back(outcomes).await;
        self.folders.remove_empty().await;
        Err(error)
    }

    async fn abort_all(&self, staged: Vec<Arc<Staged>>) {
        self.opening.close();
        self.opening.wait().await;
        abort_uploads(staged).await;
        self.folders.remove_empty().await;
    }
}

enum Outcome {
    New,
    Replaced,
    Failed(object_store::Error),
    NotTried,
}

async fn complete(upload: &Staged, failed: &AtomicBool) -> Outcome {
    if failed.load(Ordering::Relaxed) {
        return Outcome::NotTried;
    }
    let replaces = upload.store().head(upload.location()).await.is_ok();
    match upload.complete().await {
        Ok(()) if replaces => Outcome::Replaced,
        Ok(()) => Outcome::New,
        Err(error) => {
            failed.store(true, Ordering::Relaxed);
            Outcome::Failed(error)
        }
    }
}

async fn roll_back(outcomes: Vec<(Arc<Staged>, Outcome)>) -> Error {
    let (mut cause, mut deleted, mut replaced, mut left) = (None, 0, 0, Vec::new());
    let mut unused = Vec::new();
    for (upload, outcome) in outcomes {
        match outcome {
            Outcome::New => match upload.delete().await {
                Ok(()) => deleted += 1,
                Err(_) => left.push(upload.place().to_owned()),
            },
            Outcome::Replaced => replaced += 1,
            Outcome::Failed(error) => {
                cause.get_or_insert(error);
                unused.push(upload);
            }
            Outcome::NotTried => unused.push(upload),
        }
    }
    abort_uploads(unused).await;
    let mut message = format!("the written files could not be made visible; {deleted} of them were removed again");
    if replaced > 0 {
        message.push_str(&format!(", {replaced} replaced existing files and stay"));
    }
    if !left.is_empty() {
        message.push_str(&format!(", and these could not be removed: {}", left.join(", ")));
    }
    let error = Error::new(ErrorKind::Storage, message).about(Subject::File);
    match cause {
        Some(cause) => error.hint(cause.to_string()).caused_by(cause),
        None => error,
    }
}

/// Best effort: a store that does not answer keeps its unfinished uploads until its own clean-up rule removes them.
async fn abort_uploads(staged: Vec<Arc<Staged>>) {
    futures::stream::iter(staged)
        .for_each_concurrent(CONCURRENCY, |upload| async move {
            if let Err(error) = upload.abort().await {
                tracing::warn!(place = upload.place(), %error, "a staged file could not be removed");
            }
        })
        .await;
}
