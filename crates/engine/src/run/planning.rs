//! The threads that statements are planned on.
//!
//! Planning computes without a pause, so that on the thread that waits for it neither a cancel nor a deadline would be heard,
//! and nobody else would be answered there. Here whoever waits can leave: the work notices where it waits next, and until then
//! it is bounded by the limits on what a statement may be.

use std::future::Future;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use super::STACK_BYTES;
use crate::error::{Error, Result, catch_panic};

/// Threads that come when statements are planned and go when there are none.
#[derive(Debug)]
pub(crate) struct PlanningThreads {
    /// Taken only when the threads are dropped. It runs nothing itself: it owns the threads.
    runtime: Option<Runtime>,
    owner: Handle,
    /// Where planning waits for files and stores.
    io: Handle,
}

impl PlanningThreads {
    /// At most so many threads; who comes when all are taken waits.
    pub(crate) fn new(threads: usize, io: Handle) -> Result<Self> {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(threads.max(1))
            .thread_name("tidemill-plan")
            .thread_stack_size(STACK_BYTES)
            .build()
            .map_err(|error| Error::internal(format!("cannot make the threads that plan: {error}")))?;
        let owner = runtime.handle().clone();
        Ok(Self { runtime: Some(runtime), owner, io })
    }

    /// Runs the work on a thread of its own. Who drops the future leaves the work, which then ends where it waits next, or
    /// does not begin. The future holds nothing of the work, which may be large.
    pub(crate) fn run<T, F>(&self, work: F) -> impl Future<Output = Result<T>> + use<T, F>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let (mut sender, outcome) = oneshot::channel();
        let io = self.io.clone();
        self.owner.spawn_blocking(move || {
            let done = io.block_on(async {
                tokio::select! {
                    biased;
                    () = sender.closed() => None,
                    done = catch_panic(work) => Some(done),
                }
            });
            if let Some(done) = done {
                // Who left does not hear it.
                let _ = sender.send(done);
            }
        });
        async {
            outcome.await.unwrap_or_else(|_| Err(Error::internal("the thread that planned the statement was lost")))
        }
    }
}

impl Drop for PlanningThreads {
    fn drop(&mut self) {
        // Dropping a runtime blocks, which is forbidden on the threads of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn who_leaves_does_not_wait_for_work_that_never_pauses() {
        let threads = PlanningThreads::new(1, Handle::current()).unwrap();
        let (go_on, stuck) = mpsc::channel::<()>();
        let (tell, ended) = oneshot::channel();
        let work = threads.run(async move {
            // As planning does, it keeps its thread.
            let _ = stuck.recv();
            let _ = tell.send(());
            Ok(())
        });
        let mut work = Box::pin(work);
        assert!(futures::poll!(work.as_mut()).is_pending());
        drop(work);
        go_on.send(()).unwrap();
        ended.await.unwrap_or(());
        threads.run(async { Ok(()) }).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let threads = PlanningThreads::new(1, Handle::current()).unwrap();
        let error = threads.run(async { panic!("of planning") as Result<()> }).await.unwrap_err();
        assert!(error.message().contains("of planning"), "{error}");
    }
}
