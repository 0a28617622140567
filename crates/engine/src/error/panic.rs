//! Panics as errors: a bug in one statement must not take its thread, or another statement, with it.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;

use super::{Error, Result};

/// Runs fallible work; a panic in it is an error of kind `Internal`.
pub(crate) async fn catch_panic<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| Err(panicked(&*panic)))
}

/// The error for a panic that was caught.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(panic = %text, "a query panicked");
    Error::internal(format!("the query panicked: {text}"))
}
