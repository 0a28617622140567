//! States of tasks, taken exactly once.
//!
//! A worker repeats a message until it is acknowledged, and outputs of a task that are taken twice are rows that are counted
//! twice. So messages are numbered, and a number is processed once.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// The name of the metadata that holds the number, which counts up from 1.
pub const SEQUENCE: &str = "tidemill-sequence";

/// The last message of each worker that was processed.
#[derive(Debug, Default)]
pub struct Deliveries {
    workers: Mutex<HashMap<String, Arc<tokio::sync::Mutex<u64>>>>,
}

impl Deliveries {
    /// Processes a message of the worker unless that was done before. Messages of one worker are processed one after another,
    /// and to the end even when the worker does not wait for it.
    ///
    /// # Errors
    /// A message without a number; what `work` answers, which leaves the number for a repetition.
    pub async fn once<F>(&self, worker: &str, metadata: &MetadataMap, work: F) -> Result<(), Status>
    where
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        let number = metadata.get(SEQUENCE).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let number = number.ok_or_else(|| Status::invalid_argument("the message has no number"))?;
        let last = Arc::clone(self.workers.lock().entry(worker.to_owned()).or_default());
        let processing = async move {
            let mut last = last.lock().await;
            if number > *last {
                work.await?;
                *last = number;
            }
            Ok(())
        };
        // The caller's time may run out before, and then nobody would know what became of it.
        let processed = tokio::spawn(processing).await;
        processed.map_err(|error| Status::internal(format!("the message was lost: {error}")))?
    }

    /// Forgets a worker that is gone.
    pub fn forget(&self, worker: &str) {
        self.workers.lock().remove(worker);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn numbered(number: u64) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert(SEQUENCE, number.into());
        metadata
    }

    async fn deliver(deliveries: &Deliveries, worker: &str, number: u64, count: &Arc<AtomicU32>) {
        let count = Arc::clone(count);
        let work = async move {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        deliveries.once(worker, &numbered(number), work).await.unwrap();
    }

    #[tokio::test]
    async fn a_repetition_is_acknowledged_and_not_processed() {
        let (deliveries, count) = (Deliveries::default(), Arc::<AtomicU32>::default());
        for number in [1, 1, 2, 1, 2, 3] {
            deliver(&deliveries, "a", number, &count).await;
        }
        deliver(&deliveries, "b", 1, &count).await;
        assert_eq!(count.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn what_failed_can_be_repeated() {
        let (deliveries, count) = (Deliveries::default(), Arc::<AtomicU32>::default());
        let failing = async { Err(Status::unavailable("not now")) };
        deliveries.once("a", &numbered(1), failing).await.unwrap_err();
        deliver(&deliveries, "a", 1, &count).await;
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_caller_who_leaves_does_not_end_the_work() {
        let deliveries = Arc::new(Deliveries::default());
        let (begin, begun) = tokio::sync::oneshot::channel();
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let (done, finished) = tokio::sync::oneshot::channel();
        let caller = tokio::spawn({
            let deliveries = Arc::clone(&deliveries);
            async move {
                let work = async move {
                    begin.send(()).unwrap();
                    gone.await.unwrap();
                    done.send(()).unwrap();
                    Ok(())
                };
                deliveries.once("a", &numbered(1), work).await
            }
        });
        begun.await.unwrap();
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        go.send(()).unwrap();
        finished.await.unwrap();
        let count = Arc::<AtomicU32>::default();
        deliver(&deliveries, "a", 1, &count).await;
        assert_eq!(count.load(Ordering::SeqCst), 0);
    }
}
