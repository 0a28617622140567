//! Where the rows of a query go: to the client, in the wire schema, within the limits of the request, and into the cache.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tokio::sync::mpsc;

use crate::cache::Recording;
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::query::QueryHandle;
use crate::units::ByteSize;
use crate::wire::to_wire;

/// Where the rows go, and how many bytes may.
pub(super) struct Output<'a> {
    pub(super) schema: SchemaRef,
    pub(super) byte_limit: Option<u64>,
    pub(super) sink: &'a mpsc::Sender<Result<RecordBatch>>,
    pub(super) handle: &'a Arc<QueryHandle>,
    /// Present as long as the result may be kept.
    pub(super) recording: Option<Box<Recording>>,
}

impl Output<'_> {
    /// Every row was sent.
    pub(super) fn keep(&mut self) {
        if let Some(recording) = self.recording.take() {
            recording.keep();
        }
    }

    pub(super) async fn send(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = to_wire(batch, &self.schema)?;
        self.handle.meter().produced(&batch);
        if let Some(limit) = self.byte_limit.filter(|limit| self.handle.meter().bytes_produced() > *limit) {
            let message = format!("the result is larger than the request's limit of {}", ByteSize(limit));
            return Err(Error::new(ErrorKind::Resources, message)
                .about(Subject::ResultSize)
                .hint("raise byte_limit, or ask for fewer rows or columns"));
        }
        self.recording = self.recording.take().and_then(|recording| recording.with(&batch));
        self.sink.send(Ok(batch)).await.map_err(|_| self.handle.cancelled())
    }
}
