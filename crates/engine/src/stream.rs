//! The rows of a running query.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::Stream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::DropGuard;

use crate::error::{Error, Result};
use crate::plan::StatementKind;
use crate::query::{QueryHandle, QueryId};

/// The rows of a query, as they come. It owns its query: dropping it cancels the query and frees everything the query holds.
#[derive(Debug)]
pub struct QueryStream {
    schema: SchemaRef,
    kind: StatementKind,
    handle: Arc<QueryHandle>,
    batches: mpsc::Receiver<Result<RecordBatch>>,
    over: bool,
    /// Told to a query that waits until its result is kept.
    settled: Option<oneshot::Sender<()>>,
    _cancel: DropGuard,
}

impl QueryStream {
    pub(crate) fn new(
        schema: SchemaRef,
        kind: StatementKind,
        handle: Arc<QueryHandle>,
        batches: mpsc::Receiver<Result<RecordBatch>>,
        settled: oneshot::Sender<()>,
    ) -> Self {
        let cancel = handle.token().clone().drop_guard();
        Self { schema, kind, handle, batches, over: false, settled: Some(settled), _cancel: cancel }
    }

    /// The schema of every batch. A statement without a result has no columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The query's id.
    pub fn id(&self) -> QueryId {
        self.handle.id()
    }

    /// The query, for everybody else: state, progress, cancel.
    pub fn handle(&self) -> &Arc<QueryHandle> {
        &self.handle
    }

    /// Ends a query whose result was to be kept, and is.
    pub(crate) fn settle(&mut self) {
        if let Some(settled) = self.settled.take() {
            // A query that was cancelled meanwhile does not listen.
            let _ = settled.send(());
        }
    }

    /// What sort of statement it is.
    pub fn kind(&self) -> StatementKind {
        self.kind
    }
}

impl Stream for QueryStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let next = std::task::ready!(self.batches.poll_recv(context));
        self.over = !matches!(next, Some(Ok(_)));
        // An end without the word "finished" would be a truncated result that looks whole.
        if next.is_none() && !self.handle.is_complete() {
            let error = Error::internal("the query ended without saying how").of_query(self.id());
            return Poll::Ready(Some(Err(error)));
        }
        Poll::Ready(next)
    }
}
