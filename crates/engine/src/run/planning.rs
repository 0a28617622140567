//! The threads that statements are planned on.
//!
//! Planning computes without a pause, so that on the thread that waits for it neither a cancel nor a deadline would be heard,
//! and nobody else would be answered there. Here whoever waits can leave: the work notices where it waits next, and where the
//! planner asks whether anybody waits ([`check_attended`]). In between it is bounded by the limits on what a statement may be.

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::error::DataFusionError;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::STACK_BYTES;
use crate::error::{Error, Result, catch_panic};

thread_local! {
    /// Cancelled when whoever waited for the work of this thread has left.
    static LEFT: RefCell<Option<CancellationToken>> = const { RefCell::new(None) };
}

/// Goes on only if somebody waits for what this thread plans. On other threads it always does.
///
/// # Errors
/// If nobody does; so nobody hears of it.
pub(crate) fn check_attended() -> Result<(), DataFusionError> {
    let left = LEFT.with_borrow(|left| left.as_ref().is_some_and(CancellationToken::is_cancelled));
    if left { Err(DataFusionError::Execution("nobody waits for this plan".to_owned())) } else { Ok(()) }
}

/// Threads that come when statements are planned and go when there are none.
#[derive(Debug)]
pub(crate) struct PlanningThreads {
    /// Taken only when the threads are dropped. It runs nothing itself: it owns the threads.
    runtime: Option<Runtime>,
    owner: Handle,
    /// Where planning waits for files and stores.
    io: Handle,
    /// How many plan at this moment, for someone or for nobody.
    busy: Arc<AtomicUsize>,
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
        Ok(Self { runtime: Some(runtime), owner, io, busy: Arc::default() })
    }

    /// Runs the work on a thread of its own. Who drops the future leaves the work, which then ends where it waits next, or
    /// does not begin. The future holds nothing of the work, which may be large.
    pub(crate) fn run<T, F>(&self, work: F) -> impl Future<Output = Result<T>> + use<T, F>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let (sender, outcome) = oneshot::channel();
        let (io, busy, left) = (self.io.clone(), Arc::clone(&self.busy), CancellationToken::new());
        let leaving = left.clone().drop_guard();
        self.owner.spawn_blocking(move || {
            let _busy = Busy::new(busy);
            LEFT.set(Some(left.clone()));
            let done = io.block_on(async {
                tokio::select! {
                    biased;
                    () = left.cancelled() => None,
                    done = catch_panic(work) => Some(done),
                }
            });
            if let Some(done) = done {
                // Who left does not hear it.
                let _ = sender.send(done);
            }
        });
        async {
            let _leaving = leaving;
            outcome.await.unwrap_or_else(|_| Err(Error::internal("the thread that planned the statement was lost")))
        }
    }

    /// How many threads plan at this moment, those among them for which nobody waits any more.
    pub(crate) fn busy(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }
}

/// A thread that plans.
#[derive(Debug)]
struct Busy(Arc<AtomicUsize>);

impl Busy {
    fn new(busy: Arc<AtomicUsize>) -> Self {
        busy.fetch_add(1, Ordering::Relaxed);
        Self(busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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
    async fn work_that_nobody_waits_for_can_tell() {
        let threads = PlanningThreads::new(1, Handle::current()).unwrap();
        let (go_on, stuck) = mpsc::channel::<()>();
        let ((begin, begun), (end, ended)) = (oneshot::channel(), oneshot::channel());
        let work = threads.run(async move {
            let _ = begin.send(check_attended().is_ok());
            let _ = stuck.recv();
            let _ = end.send(check_attended().is_ok());
            Ok(())
        });
        assert_eq!((begun.await, threads.busy()), (Ok(true), 1));
        drop(work);
        go_on.send(()).unwrap();
        assert_eq!(ended.await, Ok(false));
        threads.run(async { Ok(check_attended()?) }).await.unwrap();
        assert!(check_attended().is_ok());
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let threads = PlanningThreads::new(1, Handle::current()).unwrap();
        let error = threads.run(async { panic!("of planning") as Result<()> }).await.unwrap_err();
        assert!(error.message().contains("of planning"), "{error}");
    }
}
