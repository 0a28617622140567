//! Drives an encoder over a stream of batches: chunks on demand, so that a slow client slows the query and a client that
//! leaves ends it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, Stream, StreamExt};
use parking_lot::Mutex;
use tidemill_engine::{Error, QueryId, Result};

use super::{CHUNK_BYTES, Cost, Encoder, Failure, Summary, encoder};
use crate::http::negotiate::Format;
use crate::http::problem::Problem;

/// Cells that are encoded where the stream is polled. More of them are encoded on the blocking pool: the IO runtime has
/// other clients to answer within milliseconds.
const INLINE_CELLS: usize = 4_096;

/// What is said of the query inside the document.
#[derive(Debug, Clone, Default)]
pub struct Labels {
    /// The query.
    pub query_id: Option<QueryId>,
    /// The trace the request belongs to.
    pub trace_id: Option<String>,
}

/// How a result ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Every row was encoded.
    Finished(Summary),
    /// It broke off.
    Failed(Box<Problem>),
}

/// The bytes of a response. An error item means that the body must break off without a clean end.
pub struct EncodedStream {
    chunks: BoxStream<'static, io::Result<Bytes>>,
    outcome: Arc<OnceLock<Outcome>>,
}

impl EncodedStream {
    /// How the result ended; known once the stream is at its end.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.get()
    }

    /// The same, for whoever gives the stream away and writes trailers or the log later.
    pub fn outcome_handle(&self) -> Arc<OnceLock<Outcome>> {
        Arc::clone(&self.outcome)
    }
}

impl std::fmt::Debug for EncodedStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncodedStream").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

impl Stream for EncodedStream {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.poll_next_unpin(context)
    }
}

/// Encodes a result. `cost` is asked once, when every row is encoded. To be polled inside a tokio runtime.
///
/// # Errors
/// `Unsupported` if the format has no room for a type of the schema; before any byte, so that the status line can tell.
pub fn encode_stream<S>(
    batches: S,
    schema: &SchemaRef,
    format: &Format,
    labels: Labels,
    cost: impl FnOnce() -> Option<Cost> + Send + 'static,
) -> Result<EncodedStream>
where
    S: Stream<Item = Result<RecordBatch>> + Send + Unpin + 'static,
{
    let outcome = Arc::new(OnceLock::new());
    let driver = Driver {
        batches,
        pending: None,
        page: Arc::new(Mutex::new(Page { encoder: encoder(format, schema)?, out: Vec::new() })),
        ready: Bytes::new(),
        rows: 0,
        phase: Phase::Start,
        labels,
        cost: Some(Box::new(cost)),
        outcome: Arc::clone(&outcome),
    };
    Ok(EncodedStream { chunks: stream::try_unfold(driver, Driver::next).boxed(), outcome })
}

/// The encoder and what it wrote since the last chunk. Never locked across an await, never contended.
struct Page {
    encoder: Box<dyn Encoder>,
    out: Vec<u8>,
}

impl Page {
    fn rows(&mut self, batch: &RecordBatch) -> Result<usize> {
        self.encoder.rows(batch, &mut self.out)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Start,
    Rows,
    End,
}

struct Driver<S> {
    batches: S,
    /// Rows of a batch that did not fit the last chunk.
    pending: Option<RecordBatch>,
    page: Arc<Mutex<Page>>,
    /// Encoded, to be sent in pieces.
    ready: Bytes,
    rows: u64,
    phase: Phase,
    labels: Labels,
    cost: Option<Box<dyn FnOnce() -> Option<Cost> + Send>>,
    outcome: Arc<OnceLock<Outcome>>,
}

impl<S> Driver<S>
where
    S: Stream<Item = Result<RecordBatch>> + Send + Unpin + 'static,
{
    /// The next chunk.
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        loop {
            if !self.ready.is_empty() {
                let chunk = self.ready.split_to(self.ready.len().min(CHUNK_BYTES));
                return Ok(Some((chunk, self)));
            }
            if self.phase == Phase::End {
                return Ok(None);
            }
            if let Err(error) = self.fill().await {
                self.fail(error)?;
            }
            self.ready = Bytes::from(std::mem::take(&mut self.page.lock().out));
        }
    }

    /// Encodes until a chunk is full, the query has nothing more right now, or the result is complete.
    async fn fill(&mut self) -> Result<()> {
        if self.phase == Phase::Start {
            let mut page = self.page.lock();
            let Page { encoder, out } = &mut *page;
            encoder.start(out)?;
            self.phase = Phase::Rows;
        }
        while self.page.lock().out.len() < CHUNK_BYTES {
            let batch = match self.pending.take() {
                Some(rest) => rest,
                None => {
                    let next = match self.batches.next().now_or_never() {
                        Some(next) => next,
                        // The client should not wait for the query to see what is done.
                        None if !self.page.lock().out.is_empty() => return Ok(()),
                        None => self.batches.next().await,
                    };
                    match next {
                        Some(batch) => batch?,
                        None => return self.finish(),
                    }
                }
            };
            if batch.num_rows() > 0 {
                self.encode(batch).await?;
            }
            tokio::task::coop::consume_budget().await;
        }
        Ok(())
    }

    async fn encode(&mut self, batch: RecordBatch) -> Result<()> {
        let cells = batch.num_rows().saturating_mul(batch.num_columns());
        let written = if cells <= INLINE_CELLS {
            self.page.lock().rows(&batch)?
        } else {
            let (page, batch) = (Arc::clone(&self.page), batch.clone());
            tokio::task::spawn_blocking(move || page.lock().rows(&batch))
                .await
                .map_err(|cause| Error::internal("the encoder of the result broke").caused_by(cause))??
        };
        self.rows += written as u64;
        if written < batch.num_rows() {
            self.pending = Some(batch.slice(written, batch.num_rows() - written));
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let summary = Summary {
            rows: self.rows,
            query_id: self.labels.query_id.map(|id| id.to_string()),
            cost: self.cost.take().and_then(|cost| cost()),
        };
        let mut page = self.page.lock();
        let Page { encoder, out } = &mut *page;
        encoder.finish(&summary, out)?;
        self.phase = Phase::End;
        // Set once: the phase ends here.
        let _ = self.outcome.set(Outcome::Finished(summary));
        Ok(())
    }

    /// Ends the document, or the body if the document cannot tell.
    fn fail(&mut self, error: Error) -> io::Result<()> {
        self.phase = Phase::End;
        let error = match self.labels.query_id {
            Some(id) => error.of_query(id),
            None => error,
        };
        let problem = Problem::of_statement(&error).traced(self.labels.trace_id.as_deref());
        let mut page = self.page.lock();
        let Page { encoder, out } = &mut *page;
        let told = encoder.fail(&problem, out).unwrap_or(Failure::Abort);
        let _ = self.outcome.set(Outcome::Failed(Box::new(problem)));
        match told {
            Failure::Told => Ok(()),
            Failure::Abort => Err(io::Error::other(error)),
        }
    }
}
