//! The runtime that queries compute on, kept apart from the runtime that serves connections: a busy query never delays a
//! health check.

use std::future::Future;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use super::STACK_BYTES;
use crate::error::{Error, Result};

/// How many threads compute; an extension of DataFusion's configuration, where `target_partitions` finds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuThreads(pub(crate) usize);

/// The threads that queries compute on.
#[derive(Debug)]
pub(crate) struct CpuPool {
    threads: usize,
    /// Taken only when the pool is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl CpuPool {
    pub(crate) fn new(threads: usize) -> Result<Self> {
        let threads = if threads == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { threads };
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("tidemill-cpu")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|error| Error::internal(format!("cannot start {threads} query threads: {error}")))?;
        let handle = runtime.handle().clone();
        Ok(Self { threads, runtime: Some(runtime), handle })
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.handle.spawn(task)
    }
}

impl Drop for CpuPool {
    fn drop(&mut self) {
        // Dropping a runtime blocks, which is forbidden on the threads of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
