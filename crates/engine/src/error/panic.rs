//! Panics as errors: a bug in one statement must not take its thread, or another statement, with it.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;

use super::{Error, ErrorKind, Result, Subject};

/// Runs fallible work; a panic in it is an error of kind `Internal`.
pub(crate) async fn catch_panic<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| Err(panicked(&*panic)))
}

/// How Arrow and the standard library say that a value or a column is larger than can be counted. Functions that make large
/// values are measured beforehand; this is for what nobody measures.
const TOO_LARGE: [&str; 6] = [
    "offset overflow",
    "capacity overflow",
    "capacity integer overflow",
    "length overflow",
    "usize overflow",
    "buffer index overflow",
];

/// The error for a value or a column that is larger than there can be.
pub(super) fn too_large() -> Error {
    Error::new(ErrorKind::Resources, "a column of one batch of rows would take more than the 2GiB that there can be")
        .about(Subject::Memory)
        .hint("make smaller values, or SET batch_size so that fewer rows are computed at once")
}

/// The error for a panic that was caught.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    if TOO_LARGE.iter().any(|part| text.contains(part)) {
        tracing::debug!(panic = %text, "a query made too much of something");
        return too_large();
    }
    tracing::error!(panic = %text, "a query panicked");
    Error::internal(format!("the query panicked: {text}"))
}
