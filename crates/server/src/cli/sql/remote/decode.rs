//! An Arrow IPC stream, as it arrives over HTTP.

use std::collections::VecDeque;

use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;
use arrow::record_batch::RecordBatch;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use reqwest::Response;

use crate::cli::sql::client::Answer;
use crate::cli::sql::failure::{Failure, Fault};

/// What we ask the server for.
pub(super) const MEDIA_TYPE: &str = "application/vnd.apache.arrow.stream";

/// The answer in this response, once its schema has arrived. `post_mortem` is asked when the stream breaks off.
pub(super) async fn answer(
    response: Response,
    post_mortem: BoxFuture<'static, Option<Fault>>,
) -> Result<Answer, Failure> {
    let mut arrival =
        Arrival { response, decoder: StreamDecoder::new(), ready: VecDeque::new(), post_mortem: Some(post_mortem) };
    let schema = loop {
        if let Some(schema) = arrival.decoder.schema() {
            break schema;
        }
        if !arrival.receive().await? {
            return Err(garbled("it has no schema"));
        }
    };
    let batches = stream::try_unfold(arrival, |mut arrival| async move {
        let batch = arrival.next().await?;
        Ok(batch.map(|batch| (batch, arrival)))
    });
    Ok(Answer { schema, batches: batches.boxed() })
}

struct Arrival {
    response: Response,
    decoder: StreamDecoder,
    ready: VecDeque<RecordBatch>,
    post_mortem: Option<BoxFuture<'static, Option<Fault>>>,
}

impl Arrival {
    async fn next(&mut self) -> Result<Option<RecordBatch>, Failure> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            if !self.receive().await? {
                return Ok(None);
            }
        }
    }

    /// Takes in one more chunk; false at the proper end of the stream.
    async fn receive(&mut self) -> Result<bool, Failure> {
        let chunk = match self.response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) if self.has_ended() => return Ok(false),
            Ok(None) => return Err(self.broken_off("the server ended it without its end marker").await),
            Err(error) => {
                let reason = super::describe(error);
                return Err(self.broken_off(&reason).await);
            }
        };
        let mut buffer = Buffer::from(chunk);
        while !buffer.is_empty() {
            match self.decoder.decode(&mut buffer) {
                Ok(batch) => self.ready.extend(batch),
                Err(error) => return Err(garbled(&error.to_string())),
            }
        }
        Ok(true)
    }

    /// Whether the end marker has come. The decoder tells only by refusing whatever would follow it.
    fn has_ended(&mut self) -> bool {
        self.decoder.decode(&mut Buffer::from(&[0_u8])).is_err()
    }

    async fn broken_off(&mut self, reason: &str) -> Failure {
        let known = match self.post_mortem.take() {
            Some(post_mortem) => post_mortem.await,
            None => None,
        };
        let detail = || format!("the result broke off, rows are missing: {reason}");
        Failure::Statement(known.unwrap_or_else(|| Fault { detail: detail(), ..Fault::default() }))
    }
}

fn garbled(reason: &str) -> Failure {
    let detail = format!("the server's answer is not an Arrow stream: {reason}");
    Failure::Statement(Fault { detail, ..Fault::default() })
}
